package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

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
	page.Application, page.ClientID = client.Name, client.ID
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
	again := pages.Login{Transaction: id}
	if text(form.Get("username")) { // or it is nobody's
		again.Username = form.Get("username")
	}
	user, err := h.Passwords.Password(r.Context(), account.Try{Email: form.Get("username"), Password: form.Get("password"),
		Address: h.Address(r), Device: cookie(r, h.cookies.device)})
	if limited, ok := errors.AsType[*account.LimitError](err); ok {
		again.Problem = problemLimited
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(limited.RetryAfter.Seconds()))))
		h.showLogin(w, r, http.StatusTooManyRequests, &tx.Request, again)
		return LoginLimited
	}
	if errors.Is(err, account.ErrRefused) {
		again.Problem = problemRefused
		h.showLogin(w, r, http.StatusForbidden, &tx.Request, again)
		return LoginRefused
	}
	if err == nil {
		tx, err = h.finish(r, id, atLogin)
	}
	if err != nil {
		return h.noLogin(w, r, err)
	}
	return h.welcome(w, r, tx, user)
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
func (h *handler) welcome(w http.ResponseWriter, r *http.Request, tx transaction, user account.User) LoginOutcome {
	client, err := h.client(r, &tx.Request)
	if err != nil {
		return h.noLogin(w, r, err)
	}
	session, err := h.openSession(w, r, user)
	if err != nil {
		h.refuseAuthorization(w, r, &tx.Request, err)
		return LoginFailed
	}
	h.Logger.InfoContext(r.Context(), "signed in", "subject", user.ID, "client_id", client.ID, "session", session.ID,
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

// openSession gives the browser a new login cookie in any case, so that one that somebody else had planted there is worth
// nothing. The same person keeps the session, and with it what other applications hold; another person's is ended.
func (h *handler) openSession(w http.ResponseWriter, r *http.Request, user account.User) (account.Session, error) {
	before, err := h.signedIn(r)
	if err != nil {
		return account.Session{}, fmt.Errorf("looking up the browser's session: %w", err)
	}
	now, value := h.Now(), newCookieValue()
	session := account.Session{ID: resourceid.New("ses"), UserID: user.ID, UserEpoch: user.Epoch, AuthTime: now,
		Expires: now.Add(sessionLifetime)}
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
	h.setCookie(w, h.cookies.device, h.Passwords.Device(user, cookie(r, h.cookies.device)), deviceLifetime)
	return session, nil
}
