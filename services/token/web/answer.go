package web

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/realguardio/realguardio/mesh/telemetry"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

// answer writes JSON.
func answer(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil { // only for types that no answer has
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // a client that went away is not our problem
}

// statusOf is the HTTP status of an OAuth error.
func statusOf(e *oauth.Error) int {
	switch e.Code {
	case oauth.CodeInvalidClient, oauth.CodeInvalidToken:
		return http.StatusUnauthorized
	case oauth.CodeInvalidDPoPProof, oauth.CodeUseDPoPNonce:
		if e.ByDPoP {
			return http.StatusUnauthorized
		}
	case oauth.CodeInsufficientScope:
		return http.StatusForbidden
	case oauth.CodeSlowDown:
		if e.RetryAfter > 0 {
			return http.StatusTooManyRequests
		}
	case oauth.CodeTemporarilyUnavailable:
		return http.StatusServiceUnavailable
	case oauth.CodeServerError:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// tell logs what only we may know of err and returns what the caller may.
func (h *handler) tell(w http.ResponseWriter, r *http.Request, err error) *oauth.Error {
	e, internal := oauth.AsError(err)
	if internal {
		h.Logger.ErrorContext(r.Context(), "request failed", "request_id", idOf(w), "method", telemetry.Method(r.Method),
			"path", telemetry.Path(r.URL.Path), "error", err)
	}
	if e.RetryAfter > 0 {
		retryAfter(w, e.RetryAfter)
	}
	if e.Code == oauth.CodeTemporarilyUnavailable {
		retryAfter(w, time.Second)
	}
	return e
}

// retryAfter tells when to come again, in whole seconds (RFC 9110, section 10.2.3).
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

// refuse writes an OAuth error (RFC 6749, section 5.2).
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := h.tell(w, r, err)
	if e.Code == oauth.CodeInvalidClient && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="realguardio", charset="UTF-8"`)
	}
	answer(w, statusOf(e), struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{e.Code, e.Description})
}

// refuseBearer writes an error of a resource that is asked with an access token (RFC 6750, section 3; RFC 9449,
// section 7.1).
func (h *handler) refuseBearer(w http.ResponseWriter, r *http.Request, err error) {
	e := h.tell(w, r, err)
	challenge := `realm="realguardio", error="` + e.Code + `", error_description="` + e.Description + `"`
	if e.Code == oauth.CodeInsufficientScope {
		challenge += `, scope="openid"`
	}
	if e.ByDPoP {
		challenge = "DPoP " + challenge + ", " + dpopAlgs()
	} else {
		challenge = "Bearer " + challenge
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answer(w, statusOf(e), struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{e.Code, e.Description})
}

// message shows a page that asks for nothing.
func (h *handler) message(w http.ResponseWriter, r *http.Request, status int, m pages.Message) {
	h.show(w, r, status, func() error { return h.pages.Message(w, m) })
}

// show writes headers and draws a page.
func (h *handler) show(w http.ResponseWriter, r *http.Request, status int, draw func() error) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if err := draw(); err != nil {
		h.Logger.WarnContext(r.Context(), "page not written", "request_id", idOf(w), "path", telemetry.Path(r.URL.Path), "error", err)
	}
}

// refusePage shows an error to a person: one that must not be sent to the client, or cannot.
func (h *handler) refusePage(w http.ResponseWriter, r *http.Request, err error) {
	e := h.tell(w, r, err)
	m := pages.Message{Title: "This request cannot be answered", RequestID: idOf(w),
		Text: "The application sent a request that is not valid: " + e.Description + "."}
	switch e.Code {
	case oauth.CodeTemporarilyUnavailable:
		m.Title, m.Text = "Please try again", "Something that is needed cannot be reached at this moment. Please try again shortly."
	case oauth.CodeSlowDown:
		m.Title, m.Text = "Too many requests", "Too many sign-ins were begun from your network. Please wait a while and try again."
	case oauth.CodeInvalidRequestURI:
		m.Title, m.Text, m.Way = endedTitle, endedText, h.wayTo(r, clientNamed(r))
	case oauth.CodeServerError:
		m.Title, m.Text = "Something went wrong", "This should not have happened. Please try again."
	default:
		m.Way = h.wayTo(r, clientNamed(r))
	}
	h.message(w, r, statusOf(e), m)
}

// refuseAuthorization tells the client by a redirect where that is safe, and otherwise the person by a page.
func (h *handler) refuseAuthorization(w http.ResponseWriter, r *http.Request, a *oauth.Authorization, err error) {
	if a != nil && a.RedirectURI != "" {
		err = h.OAuth.Refusal(r.Context(), a, err)
	}
	if redirect, ok := errors.AsType[*oauth.RedirectError](err); ok {
		h.deliver(w, r, redirect.Answer)
		return
	}
	h.refusePage(w, r, err)
}

// deliver sends the browser to the client with an answer.
func (h *handler) deliver(w http.ResponseWriter, r *http.Request, answer oauth.Answer) {
	if answer.Mode != oauth.ModeFormPost {
		seeOther(w, answer.URL())
		return
	}
	nonce := rand.Text()
	page := pages.FormPost{Action: answer.RedirectURI, Destination: destination(answer.RedirectURI), Nonce: nonce}
	for _, name := range slices.Sorted(maps.Keys(answer.Params)) {
		page.Fields = append(page.Fields, pages.Field{Name: name, Value: answer.Params.Get(name)})
	}
	w.Header().Set("Content-Security-Policy", contentPolicy(formTarget(answer.RedirectURI))+"; script-src 'nonce-"+nonce+"'")
	h.show(w, r, http.StatusOK, func() error { return h.pages.FormPost(w, page) })
}

// seeOther redirects to a URL that is known to be ours or registered. It writes the URL to the letter, which
// http.Redirect would not.
func seeOther(w http.ResponseWriter, url string) {
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusSeeOther)
}

// lifetimeSeconds is for cookies.
func lifetimeSeconds(d time.Duration) int { return int(d / time.Second) }
