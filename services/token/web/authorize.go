package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

// person is who is signed in in a browser.
type person struct {
	user    account.User
	session account.Session
}

// signInAgainFor has somebody sign in again who is signed in, for a page of ours.
func (h *handler) signInAgainFor(w http.ResponseWriter, r *http.Request, next string) {
	h.signInAt(w, r, transaction{At: atLogin, Next: next, Again: true})
}

// signInFor has a person sign in who has opened a page of ours at a path, and come back to it.
func (h *handler) signInFor(w http.ResponseWriter, r *http.Request, next string) {
	h.signInAt(w, r, transaction{At: atLogin, Next: next})
}

func (h *handler) signInAt(w http.ResponseWriter, r *http.Request, tx transaction) {
	id, err := h.begin(w, r, tx)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	seeOther(w, atLogin+"?"+url.Values{"tx": {id}}.Encode())
}

// signedIn returns who is signed in in the browser that sent r, or nil.
func (h *handler) signedIn(r *http.Request) (*person, error) {
	value := cookie(r, h.cookies.login)
	if value == "" {
		return nil, nil
	}
	session, err := h.Sessions.SessionByCookie(r.Context(), hashCookie(value))
	if errors.Is(err, account.ErrNotFound) || err == nil && !session.Live(h.Now()) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	user, err := h.Sessions.User(r.Context(), session.UserID)
	// A session that was opened while everything of its person was being ended is of an epoch that is over.
	if errors.Is(err, account.ErrNotFound) || err == nil && (user.Disabled || session.UserEpoch != user.Epoch) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &person{user, session}, nil
}

// authorize is the authorization endpoint (RFC 6749, section 3.1). A browser comes here to begin, and again once its
// person has signed in.
func (h *handler) authorize(w http.ResponseWriter, r *http.Request) {
	form, err := anyForm(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	if form.Has("tx") || r.URL.Query().Has("tx") {
		h.revisit(w, r, form)
		return
	}
	a, client, err := h.OAuth.Authorize(r.Context(), sent(form), h.browserOf(r))
	if err != nil {
		h.refuseAuthorization(w, r, nil, err)
		return
	}
	who, err := h.signedIn(r)
	if err != nil {
		h.refuseAuthorization(w, r, &a, err)
		return
	}
	h.proceed(w, r, &a, &client, who, false)
}

// revisit goes on with a request that somebody has just signed in for. What is asked for is in the transaction; a link that
// says anything besides is not one of ours.
func (h *handler) revisit(w http.ResponseWriter, r *http.Request, form url.Values) {
	if r.Method == http.MethodPost || len(form) != 1 || len(form["tx"]) != 1 {
		h.refusePage(w, r, invalidRequest("tx stands alone"))
		return
	}
	tx, who, client, err := h.settle(r, form.Get("tx"), atAuthorize)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	h.proceed(w, r, &tx.Request, &client, who, true)
}

// proceed does the next thing that a request needs: log-in, consent, or the answer. fresh says that who signed in for this
// very request.
func (h *handler) proceed(w http.ResponseWriter, r *http.Request, a *oauth.Authorization, client *oauth.Client, who *person, fresh bool) {
	var session *account.Session
	if who != nil {
		session = &who.session
	}
	if a.NeedsLogin(session, fresh, h.Now()) {
		if fresh {
			h.refuseAuthorization(w, r, a, &oauth.Error{Code: oauth.CodeLoginRequired, Description: "another person was asked for"})
			return
		}
		h.interrupt(w, r, a, atLogin, "", oauth.CodeLoginRequired)
		return
	}
	ask, err := h.OAuth.NeedsConsent(r.Context(), a, client, who.user.ID)
	if err != nil {
		h.refuseAuthorization(w, r, a, err)
		return
	}
	if ask {
		h.interrupt(w, r, a, atConsent, who.session.ID, oauth.CodeConsentRequired)
		return
	}
	h.approve(w, r, a, client, who)
}

// interrupt sends the browser to a page of ours, unless the request forbids pages.
func (h *handler) interrupt(w http.ResponseWriter, r *http.Request, a *oauth.Authorization, at, session, otherwise string) {
	if a.Prompt("none") {
		h.refuseAuthorization(w, r, a, &oauth.Error{Code: otherwise, Description: "this needs the person, and prompt is none"})
		return
	}
	id, err := h.begin(w, r, transaction{Request: *a, At: at, SessionID: session})
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	seeOther(w, at+"?"+url.Values{"client_id": {a.ClientID}, "tx": {id}}.Encode())
}

func (h *handler) approve(w http.ResponseWriter, r *http.Request, a *oauth.Authorization, client *oauth.Client, who *person) {
	answer, err := h.OAuth.Approve(r.Context(), a, client, &who.user, &who.session)
	if err != nil {
		h.refuseAuthorization(w, r, a, err)
		return
	}
	h.deliver(w, r, answer)
}

// consentPage asks whether a client may have what it wants.
func (h *handler) consentPage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("tx")
	tx, err := h.resume(r, id, atConsent)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	who, client, err := h.party(r, &tx)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	page := pages.Consent{Application: client.Name, ClientID: client.ID, Transaction: id, Username: who.user.Email,
		Destination: destination(tx.Request.RedirectURI)}
	for _, s := range oauth.Describe(tx.Request.Asked()) {
		page.Scopes = append(page.Scopes, s.Meaning)
	}
	w.Header().Set("Content-Security-Policy", contentPolicy(formTarget(tx.Request.RedirectURI)))
	h.show(w, r, http.StatusOK, func() error { return h.pages.Consent(w, page) })
}

// decided reads the answer to a page that asks: the transaction that it was shown for, and "allow" or "deny".
func decided(r *http.Request) (id, decision string, err error) {
	form, err := strictForm(r)
	if err != nil {
		return "", "", err
	}
	if decision = form.Get("decision"); decision != "allow" && decision != "deny" {
		return "", "", invalidRequest("the decision is neither allow nor deny")
	}
	return form.Get("tx"), decision, nil
}

// consent takes the answer. The transaction says what was asked; of the form only yes or no counts.
func (h *handler) consent(w http.ResponseWriter, r *http.Request) {
	id, decision, err := decided(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	tx, who, client, err := h.settle(r, id, atConsent)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	h.Logger.InfoContext(r.Context(), "consent answered", "subject", who.user.ID, "client_id", client.ID,
		"decision", decision, "scopes", tx.Request.Asked())
	if decision == "deny" {
		h.record(r, audit.Entry{Actor: who.user.ID, ClientID: client.ID, Action: "consent.deny", Target: client.ID,
			Details: map[string]string{"scopes": strings.Join(tx.Request.Scopes, " ")}})
		h.refuseAuthorization(w, r, &tx.Request, &oauth.Error{Code: oauth.CodeAccessDenied, Description: "the person did not allow it"})
		return
	}
	if err := h.OAuth.Consented(r.Context(), &tx.Request, &client, who.user.ID); err != nil {
		h.refuseAuthorization(w, r, &tx.Request, err)
		return
	}
	h.approve(w, r, &tx.Request, &client, who)
}
