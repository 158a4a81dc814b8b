package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

// What a person is told, the same for every account, existing or not.
const (
	problemRefused = "Wrong e-mail or password."
	problemLimited = "Too many attempts. Please wait a while and try again."
)

// loginPage asks for user name and password.
func (h *handler) loginPage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("tx")
	tx, err := h.resume(r, id, atLogin)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	h.showLogin(w, r, http.StatusOK, &tx.Request, pages.Login{Transaction: id, Username: tx.Request.LoginHint})
}

func (h *handler) showLogin(w http.ResponseWriter, r *http.Request, status int, a *oauth.Authorization, page pages.Login) {
	client, err := h.client(r, a)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	page.Application, page.ClientID, page.Recovery = client.Name, client.ID, h.Mail
	if !a.NeedsACR {
		page.Providers = h.providers
	}
	w.Header().Set("Content-Security-Policy", contentPolicy(formTarget(a.RedirectURI)))
	h.show(w, r, status, func() error { return h.pages.Login(w, page) })
}

// LoginOutcome is what came of a login page that was sent.
type LoginOutcome string

// Outcomes of a login page.
const (
	LoginSucceeded LoginOutcome = "succeeded"
	// LoginRefused is wrong credentials.
	LoginRefused LoginOutcome = "refused"
	LoginLimited LoginOutcome = "limited"
	// LoginForeign is a page that was not this browser's, or no longer.
	LoginForeign LoginOutcome = "foreign"
	// LoginFailed is not the person's doing, unless the form was malformed.
	LoginFailed LoginOutcome = "failed"
)

// LoginOutcomes is the list of them.
var LoginOutcomes = []LoginOutcome{LoginSucceeded, LoginRefused, LoginLimited, LoginForeign, LoginFailed}

// login takes user name and password.
func (h *handler) login(w http.ResponseWriter, r *http.Request) { h.Counters.Login(h.takeLogin(w, r)) }

func (h *handler) takeLogin(w http.ResponseWriter, r *http.Request) LoginOutcome {
	form, err := strictForm(r, "username", "password")
	if err != nil {
		h.refusePage(w, r, err)
		return LoginFailed
	}
	id := form.Get("tx")
	tx, err := h.resume(r, id, atLogin)
	if err != nil {
		return h.noLogin(w, r, err)
	}
	user, refused, err := h.checkPassword(w, r, form)
	if refused != nil {
		h.showLogin(w, r, refused.status, &tx.Request, pages.Login{Transaction: id, Username: refused.username, Problem: refused.problem})
		return refused.outcome
	}
	if err == nil {
		tx, err = h.finish(r, id, atLogin)
	}
	if err != nil {
		return h.noLogin(w, r, err)
	}
	return h.welcome(w, r, tx, user, proof{methods: []string{account.MethodPassword}})
}

// refusedLogin is what a page says again that was sent with a password.
type refusedLogin struct {
	username, problem string
	status            int
	outcome           LoginOutcome
}

// checkPassword returns the person whose user name and password a form has, or what the page that it came from says then.
func (h *handler) checkPassword(w http.ResponseWriter, r *http.Request, form url.Values) (account.User, *refusedLogin, error) {
	user, err := h.Passwords.Password(r.Context(), account.Try{Email: form.Get("username"), Password: form.Get("password"),
		Address: h.Address(r), Device: cookie(r, h.cookies.device)})
	var refused *refusedLogin
	if limited, ok := errors.AsType[*account.LimitError](err); ok {
		retryAfter(w, limited.RetryAfter)
		refused = &refusedLogin{problem: problemLimited, status: http.StatusTooManyRequests, outcome: LoginLimited}
	}
	if errors.Is(err, account.ErrRefused) {
		refused = &refusedLogin{problem: problemRefused, status: http.StatusForbidden, outcome: LoginRefused}
	}
	if refused != nil && text(form.Get("username")) { // or it is nobody's
		refused.username = form.Get("username")
	}
	return user, refused, err
}

// proof is how somebody has just proven who they are.
type proof struct {
	// methods are those of account.Session.
	methods []string
	// at is when, if that was not just now.
	at time.Time
}

// noLogin shows why a login page cannot go on.
func (h *handler) noLogin(w http.ResponseWriter, r *http.Request, err error) LoginOutcome {
	h.refuseTransaction(w, r, err)
	if errors.Is(err, errForeign) {
		return LoginForeign
	}
	return LoginFailed
}

// welcome opens the login session of somebody who has just proven who they are, and sends the browser back to the
// authorization endpoint, to go on there with what they came for.
func (h *handler) welcome(w http.ResponseWriter, r *http.Request, tx transaction, user account.User, how proof) LoginOutcome {
	client, err := h.client(r, &tx.Request)
	if err != nil {
		return h.noLogin(w, r, err)
	}
	session, err := h.openSession(w, r, user, how, client.ID)
	if err != nil {
		h.refuseAuthorization(w, r, &tx.Request, err)
		return LoginFailed
	}
	h.Logger.InfoContext(r.Context(), "signed in", "subject", user.ID, "client_id", client.ID, "session", session.ID, "methods", how.methods,
		"address", h.Address(r))
	if tx.Next != "" {
		seeOther(w, tx.Next)
		return LoginSucceeded
	}
	tx.At, tx.SessionID = atAuthorize, session.ID
	again, err := h.keep(r.Context(), tx, revisitLifetime)
	if err != nil {
		h.refuseAuthorization(w, r, &tx.Request, err)
		return LoginFailed
	}
	seeOther(w, atAuthorize+"?tx="+again)
	return LoginSucceeded
}

// maxUserAgent bounds what is kept of what a browser says of itself.
const maxUserAgent = 256

// userAgent is what the browser says of itself, as far as it is text and not too long.
func userAgent(r *http.Request) string {
	said := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, strings.ToValidUTF8(r.UserAgent(), ""))
	if len(said) > maxUserAgent {
		said = strings.ToValidUTF8(said[:maxUserAgent], "")
	}
	return said
}

// openSession gives the browser a new login cookie in any case, so that one that somebody else had planted there is worth
// nothing. The same person keeps the session, and with it what other applications hold; another person's is ended.
func (h *handler) openSession(w http.ResponseWriter, r *http.Request, user account.User, how proof, clientID string) (account.Session, error) {
	before, err := h.signedIn(r)
	if err != nil {
		return account.Session{}, fmt.Errorf("looking up the browser's session: %w", err)
	}
	now, value := h.Now(), newCookieValue()
	session := account.Session{ID: resourceid.New("ses"), UserID: user.ID, UserEpoch: user.Epoch, AuthTime: now, Methods: how.methods,
		Expires: now.Add(sessionLifetime), Address: h.Address(r), UserAgent: userAgent(r), ClientID: clientID}
	if !how.at.IsZero() && how.at.Before(now) {
		session.AuthTime = how.at
	}
	renewed := false
	switch {
	case before == nil:
	case before.user.ID == user.ID:
		session.ID = before.session.ID
		err = h.Sessions.RenewSession(r.Context(), session, hashCookie(value))
		renewed = err == nil
		if errors.Is(err, account.ErrNotFound) { // ended at this moment
			session.ID = resourceid.New("ses")
			err = nil
		}
	default:
		err = h.OAuth.EndSession(r.Context(), before.session.ID)
	}
	if err == nil && !renewed {
		err = h.Sessions.OpenSession(r.Context(), session, hashCookie(value))
	}
	if err != nil {
		return account.Session{}, fmt.Errorf("opening a session: %w", err)
	}
	h.setCookie(w, h.cookies.login, value, sessionLifetime)
	if len(how.methods) == 0 { // a known browser has seen the password
		return session, nil
	}
	h.setCookie(w, h.cookies.device, h.Passwords.Device(user, cookie(r, h.cookies.device)), deviceLifetime)
	return session, nil
}
