package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

// logout is the end-session endpoint (OpenID Connect RP-Initiated Logout 1.0). An ID token of ours proves that the
// request comes from an application the person used; without one, any site could have sent the browser here, and the
// person is asked.
func (h *handler) logout(w http.ResponseWriter, r *http.Request) {
	form, err := anyForm(r)
	if err == nil {
		err = once(form)
	}
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	who, err := h.signedIn(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	form = sent(form)
	hint, err := h.logoutHint(form)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	if hint == nil || who != nil && who.user.ID != hint.Subject {
		h.askLogout(w, r, form, who)
		return
	}
	ends := []string{hint.SessionID}
	if who != nil && who.session.ID != hint.SessionID {
		ends = append(ends, who.session.ID)
	}
	for _, session := range ends {
		if err := h.OAuth.EndSession(r.Context(), session); err != nil {
			h.refusePage(w, r, err)
			return
		}
	}
	h.signedOut(w, r, form, hint.ClientID)
}

// logoutHint reads the id_token_hint; nil without one.
func (h *handler) logoutHint(form url.Values) (*oauth.Hint, error) {
	if !form.Has("id_token_hint") {
		return nil, nil
	}
	hint, err := h.OAuth.IDTokenHint(form.Get("id_token_hint"))
	if err != nil {
		return nil, err
	}
	if form.Has("client_id") && form.Get("client_id") != hint.ClientID {
		return nil, invalidRequest("client_id is not the one that the id_token_hint was issued to")
	}
	return &hint, nil
}

// askLogout asks whether to sign out. Nothing has changed yet.
func (h *handler) askLogout(w http.ResponseWriter, r *http.Request, form url.Values, who *person) {
	if who == nil {
		h.signedOut(w, r, form, form.Get("client_id"))
		return
	}
	page := pages.Logout{Username: who.user.Email, Proof: proofOf("logout", cookie(r, h.cookies.login))}
	if uri, err := h.afterLogout(r, form, form.Get("client_id")); err == nil && uri != "" {
		page.ClientID, page.Destination, page.State = form.Get("client_id"), form.Get("post_logout_redirect_uri"), form.Get("state")
		w.Header().Set("Content-Security-Policy", contentPolicy(formTarget(uri)))
	}
	h.show(w, r, http.StatusOK, func() error { return h.pages.Logout(w, page) })
}

// confirmLogout takes the answer.
func (h *handler) confirmLogout(w http.ResponseWriter, r *http.Request) {
	form, err := strictForm(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	value := cookie(r, h.cookies.login)
	if value == "" || !sameProof(form.Get("proof"), proofOf("logout", value)) {
		h.message(w, r, http.StatusForbidden, pages.Message{Title: "Not signed out", Text: "This page is no longer valid. Nothing was done."})
		return
	}
	who, err := h.signedIn(r)
	if err == nil && who != nil {
		err = h.OAuth.EndSession(r.Context(), who.session.ID)
	}
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	h.signedOut(w, r, form, form.Get("client_id"))
}

// proofOf can be made by nobody who does not have the cookie, and does not show it.
func proofOf(purpose, cookie string) string {
	sum := sha256.Sum256([]byte(purpose + "\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func sameProof(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}

// signedOut forgets the browser and sends it back to the application, if it asked for that and may.
func (h *handler) signedOut(w http.ResponseWriter, r *http.Request, form url.Values, clientID string) {
	if cookie(r, h.cookies.login) != "" {
		h.setCookie(w, h.cookies.login, "", 0)
	}
	uri, err := h.afterLogout(r, form, clientID)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	if uri != "" {
		seeOther(w, uri)
		return
	}
	h.message(w, r, http.StatusOK, pages.Message{Title: "You are signed out", Text: "You can close this page.",
		Way: h.wayTo(r, clientID)})
}

// afterLogout is where to send the browser: a URI that the client registered, to the letter; "" for nowhere.
func (h *handler) afterLogout(r *http.Request, form url.Values, clientID string) (string, error) {
	if !form.Has("post_logout_redirect_uri") {
		return "", nil
	}
	wanted := form.Get("post_logout_redirect_uri")
	client, err := h.Clients.Client(r.Context(), clientID)
	if err != nil && !errors.Is(err, oauth.ErrNotFound) {
		return "", err
	}
	if err != nil || !client.Disabled.IsZero() || !client.PostLogoutAllowed(wanted) {
		return "", invalidRequest("the post_logout_redirect_uri is not one that this application registered")
	}
	if state := form.Get("state"); state != "" {
		separator := "?"
		if strings.Contains(wanted, "?") {
			separator = "&"
		}
		return wanted + separator + url.Values{"state": {state}}.Encode(), nil
	}
	return wanted, nil
}
