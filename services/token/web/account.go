package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
	"github.com/realguardio/realguardio/services/token/password"
)

// OwnAccess is what people see, and can end, of the access to their own account.
type OwnAccess interface {
	// UserSessions lists at most limit live login sessions of a person, the newest first.
	UserSessions(ctx context.Context, user string, now time.Time, limit int) ([]account.Session, error)
	// Consents lists what a person has allowed, by application.
	Consents(ctx context.Context, user string) ([]oauth.Given, error)
	// Links lists the identities at other providers that sign a person in.
	Links(ctx context.Context, user string) ([]account.Link, error)
	// RemoveLink is account.ErrLastWay for the only way in, if no other of these issuers or a password is one.
	RemoveLink(ctx context.Context, user, issuer string, others []string, now time.Time) error
}

// OwnPassword changes passwords; *account.Lifecycle does.
type OwnPassword interface {
	ChangePassword(ctx context.Context, p account.Proof, chosen string) error
}

const (
	// atAccount is the page on which people see their account, and begins the paths of its forms.
	atAccount = "/account"
	// changeWithin is how long ago somebody may have signed in who changes something: a browser that was left open, or a
	// cookie that was stolen, shows the account and changes nothing of it.
	changeWithin = 15 * time.Minute
	// sessionsShown bounds the list of login sessions.
	sessionsShown = 100
)

// notices are what the page says after a change, by the word in its address. Nothing else is said.
var notices = map[string]string{
	"session":  "That browser is signed out.",
	"access":   "The application has no access any more.",
	"provider": "That provider does not sign you in any more.",
	"password": "Your password is changed. Wherever else you were signed in, you are not any more.",
}

// accountPage shows somebody their account.
func (h *handler) accountPage(w http.ResponseWriter, r *http.Request) {
	who := h.self(w, r)
	if who == nil {
		return
	}
	h.showAccount(w, r, http.StatusOK, who, pages.Account{Notice: notices[r.URL.Query().Get("done")]})
}

// self returns who is signed in; nil where nobody is, and the browser is sent to sign in.
func (h *handler) self(w http.ResponseWriter, r *http.Request) *person {
	who, err := h.signedIn(r)
	if err != nil {
		h.refusePage(w, r, err)
		return nil
	}
	if who == nil {
		h.signInFor(w, r, atAccount)
	}
	return who
}

func (h *handler) showAccount(w http.ResponseWriter, r *http.Request, status int, who *person, page pages.Account) {
	page.Name, page.Email, page.Verified = who.user.Name, who.user.Email, who.user.EmailVerified
	page.HasPassword, page.Proof = who.user.PasswordHash != "", h.accountProof(r)
	err := errors.Join(h.listSessions(r, who, &page), h.listApps(r, who, &page), h.listLinks(r, who, &page))
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	h.show(w, r, status, func() error { return h.pages.Account(w, page) })
}

// day is how the page writes a time.
func day(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func (h *handler) listSessions(r *http.Request, who *person, page *pages.Account) error {
	sessions, err := h.Own.UserSessions(r.Context(), who.user.ID, h.Now(), sessionsShown)
	for _, s := range sessions {
		page.Sessions = append(page.Sessions, pages.Session{ID: s.ID, Current: s.ID == who.session.ID, Browser: browserName(s.UserAgent),
			Address: s.Address, Since: day(s.AuthTime)})
	}
	return err
}

func (h *handler) listApps(r *http.Request, who *person, page *pages.Account) error {
	given, err := h.Own.Consents(r.Context(), who.user.ID)
	for _, g := range given {
		app := pages.App{ClientID: g.ClientID, Name: g.ClientName, Since: day(g.Updated)}
		for _, scope := range oauth.Describe(g.Scopes) {
			app.Scopes = append(app.Scopes, scope.Meaning)
		}
		page.Apps = append(page.Apps, app)
	}
	return err
}

func (h *handler) listLinks(r *http.Request, who *person, page *pages.Account) error {
	links, err := h.Own.Links(r.Context(), who.user.ID)
	names := map[string]string{}
	for _, p := range h.Upstreams.Providers() {
		names[p.Issuer] = p.Name
	}
	ways := 0
	for _, l := range links {
		if names[l.Issuer] != "" {
			ways++
		}
	}
	for _, l := range links {
		link := pages.IdentityLink{Issuer: l.Issuer, Provider: names[l.Issuer], Email: l.Email, Since: day(l.Linked)}
		link.Last = link.Provider != "" && ways == 1 && who.user.PasswordHash == ""
		if link.Provider == "" { // not offered any more
			link.Provider = l.Issuer
		}
		page.Links = append(page.Links, link)
	}
	return err
}

// accountProof shows that a form comes from a page that was shown in this login.
func (h *handler) accountProof(r *http.Request) string {
	return proofOf("account", cookie(r, h.cookies.login))
}

// ownAct is something that a person does with a form of their account page.
type ownAct func(w http.ResponseWriter, r *http.Request, who *person)

// ownForm takes a form that was shown to the person in this login.
func (h *handler) ownForm(do ownAct) http.HandlerFunc {
	return h.own(func(w http.ResponseWriter, r *http.Request) {
		form, err := strictForm(r, "current", "password", "repeat")
		if err != nil {
			h.refusePage(w, r, err)
			return
		}
		who := h.self(w, r)
		if who == nil {
			return
		}
		if !sameProof(form.Get("proof"), h.accountProof(r)) {
			h.message(w, r, http.StatusForbidden, pages.Message{Title: "Not from here", Text: "This page is no longer valid. Nothing was done."})
			return
		}
		do(w, r, who)
	})
}

// recently has a person sign in again first who did so long ago.
func (h *handler) recently(do ownAct) ownAct {
	return func(w http.ResponseWriter, r *http.Request, who *person) {
		if h.Now().Sub(who.session.AuthTime) > changeWithin {
			h.signInAgainFor(w, r, atAccount)
			return
		}
		do(w, r, who)
	}
}

// done goes back to the page.
func (h *handler) done(w http.ResponseWriter, r *http.Request, what string, err error) {
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	seeOther(w, atAccount+"?done="+what)
}

// endSession ends one of the person's sessions. Of another person's it says and does as of one that is over.
func (h *handler) endSession(w http.ResponseWriter, r *http.Request, who *person) {
	err := h.OAuth.EndSessionOf(r.Context(), who.user.ID, r.PostForm.Get("session"))
	if errors.Is(err, account.ErrNotFound) {
		err = nil
	}
	h.done(w, r, "session", err)
}

// signOutEverywhere ends all there is of the person, this browser's login too.
func (h *handler) signOutEverywhere(w http.ResponseWriter, r *http.Request, who *person) {
	if err := h.OAuth.SignOutUser(r.Context(), who.user.ID, ""); err != nil {
		h.refusePage(w, r, err)
		return
	}
	h.setCookie(w, h.cookies.login, "", 0)
	h.message(w, r, http.StatusOK, pages.Message{Title: "You are signed out everywhere",
		Text: "Every browser and every application has to ask you again. You can close this page."})
}

// removeAccess ends what an application may do for the person.
func (h *handler) removeAccess(w http.ResponseWriter, r *http.Request, who *person) {
	h.done(w, r, "access", h.OAuth.RevokeConsent(r.Context(), who.user.ID, r.PostForm.Get("client")))
}

// removeProvider ends that another provider signs the person in.
func (h *handler) removeProvider(w http.ResponseWriter, r *http.Request, who *person) {
	var issuers []string
	for _, p := range h.Upstreams.Providers() {
		issuers = append(issuers, p.Issuer)
	}
	issuer := r.PostForm.Get("issuer")
	err := h.Own.RemoveLink(r.Context(), who.user.ID, issuer, issuers, h.Now())
	switch {
	case errors.Is(err, account.ErrLastWay):
		h.showAccount(w, r, http.StatusConflict, who, pages.Account{Problem: "This is the only way in to your account."})
		return
	case errors.Is(err, account.ErrNotFound):
		err = nil
	case err == nil:
		h.Logger.InfoContext(r.Context(), "identity unlinked", "subject", who.user.ID, "issuer", issuer)
	}
	h.done(w, r, "provider", err)
}

// changePasswordPage asks for a password and another one.
func (h *handler) changePasswordPage(w http.ResponseWriter, r *http.Request) {
	if who := h.self(w, r); who != nil {
		h.showChangePassword(w, r, http.StatusOK, who, pages.ChangePassword{})
	}
}

func (h *handler) showChangePassword(w http.ResponseWriter, r *http.Request, status int, who *person, page pages.ChangePassword) {
	if who.user.PasswordHash == "" {
		h.showAccount(w, r, http.StatusConflict, who, pages.Account{Problem: "This account has no password to change."})
		return
	}
	page.Username, page.Proof = who.user.Email, h.accountProof(r)
	h.show(w, r, status, func() error { return h.pages.ChangePassword(w, page) })
}

// changePassword takes them. The password itself shows that it is its person: no matter when they signed in.
func (h *handler) changePassword(w http.ResponseWriter, r *http.Request, who *person) {
	form := r.PostForm
	if form.Get("password") != form.Get("repeat") {
		h.showChangePassword(w, r, http.StatusBadRequest, who, pages.ChangePassword{RepeatProblem: "This is not what you entered above."})
		return
	}
	err := h.OwnPassword.ChangePassword(r.Context(),
		account.Proof{UserID: who.user.ID, SessionID: who.session.ID, Password: form.Get("current")}, form.Get("password"))
	if weak, ok := errors.AsType[*password.WeakError](err); ok {
		h.showChangePassword(w, r, http.StatusBadRequest, who, pages.ChangePassword{Problem: weak.Reason})
		return
	}
	if limited, ok := errors.AsType[*account.LimitError](err); ok {
		retryAfter(w, limited.RetryAfter)
		h.showChangePassword(w, r, http.StatusTooManyRequests, who, pages.ChangePassword{CurrentProblem: problemLimited})
		return
	}
	if errors.Is(err, account.ErrRefused) {
		h.showChangePassword(w, r, http.StatusForbidden, who, pages.ChangePassword{CurrentProblem: "That is not your password."})
		return
	}
	h.done(w, r, "password", err)
}
