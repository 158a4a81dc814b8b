package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

// What a person is told about a user code, the same whether there never was such a one, it has expired, or was answered.
const (
	problemUserCode      = "This code is not known, or not any more. The device may show a new one by now."
	problemUserCodeLimit = "Too many wrong codes. Please wait a while and try again."
)

// authorizeDevice is the device authorization endpoint (RFC 8628, section 3.1).
func (h *handler) authorizeDevice(w http.ResponseWriter, r *http.Request) {
	form, cred, err := h.clientForm(r)
	var response oauth.DeviceResponse
	if err == nil {
		response, err = h.OAuth.AuthorizeDevice(r.Context(), oauth.DeviceRequest{Credentials: cred, Form: form, Address: h.Address(r)})
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	answer(w, http.StatusOK, response)
}

// devicePage asks a person, who has to be signed in, for the code that their device shows. One that came with the link is
// typed for them, and no more: a link that somebody was sent connects nothing by itself.
func (h *handler) devicePage(w http.ResponseWriter, r *http.Request) {
	code := oauth.UserCode(r.URL.Query().Get("user_code"))
	who := h.personFor(w, r, code)
	if who == nil {
		return
	}
	if code == "" {
		code = oauth.UserCode(cookie(r, h.cookies.userCode))
	}
	h.showDevice(w, r, http.StatusOK, pages.Device{Username: who.user.Email, Code: code})
}

// personFor returns who is signed in; nil where nobody is, and the browser is sent to sign in. The browser itself keeps the
// user code meanwhile.
func (h *handler) personFor(w http.ResponseWriter, r *http.Request, userCode string) *person {
	who, err := h.signedIn(r)
	if err != nil {
		h.refusePage(w, r, err)
		return nil
	}
	if who == nil {
		if userCode != "" {
			h.setCookie(w, h.cookies.userCode, userCode, transactionLifetime)
		}
		h.signInFor(w, r, atDevice)
	}
	return who
}

func (h *handler) showDevice(w http.ResponseWriter, r *http.Request, status int, page pages.Device) {
	h.show(w, r, status, func() error { return h.pages.Device(w, page) })
}

// findDevice takes the code, and asks whether the device that shows it may have what it wants: of our own applications too,
// since whoever began the request may not be who is asked.
func (h *handler) findDevice(w http.ResponseWriter, r *http.Request) {
	form, err := strictForm(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	code := oauth.UserCode(form.Get("user_code"))
	who := h.personFor(w, r, code)
	if who == nil {
		return
	}
	pending, err := h.OAuth.PendingDevice(r.Context(), code,
		oauth.Guesser{UserID: who.user.ID, SessionID: who.session.ID, Address: h.Address(r)})
	if err != nil {
		h.refuseUserCode(w, r, pages.Device{Username: who.user.Email, Code: form.Get("user_code")}, err)
		return
	}
	id, err := h.begin(w, r, transaction{At: atDevice, SessionID: who.session.ID, Device: pending.ID})
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	page := pages.ConnectDevice{Application: pending.Client.Name, Transaction: id, Username: who.user.Email, Code: code}
	for _, s := range oauth.Describe(oauth.ToAllow(pending.Scopes)) {
		page.Scopes = append(page.Scopes, s.Meaning)
	}
	h.show(w, r, http.StatusOK, func() error { return h.pages.ConnectDevice(w, page) })
}

func (h *handler) refuseUserCode(w http.ResponseWriter, r *http.Request, page pages.Device, err error) {
	limited, ok := errors.AsType[*oauth.Error](err)
	switch {
	case errors.Is(err, oauth.ErrNotFound):
		page.Problem = problemUserCode
		h.showDevice(w, r, http.StatusBadRequest, page)
	case ok && limited.Code == oauth.CodeSlowDown:
		page.Problem = problemUserCodeLimit
		retryAfter(w, limited.RetryAfter)
		h.showDevice(w, r, http.StatusTooManyRequests, page)
	default:
		h.refusePage(w, r, err)
	}
}

// answerDevice takes the answer. The transaction says which device; of the form only yes or no counts.
func (h *handler) answerDevice(w http.ResponseWriter, r *http.Request) {
	id, decision, err := decided(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	tx, who, _, err := h.settle(r, id, atDevice)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	var answered oauth.PendingDevice
	if decision == "allow" {
		answered, err = h.OAuth.AllowDevice(r.Context(), tx.Device, &who.user, &who.session)
	} else {
		answered, err = h.OAuth.DenyDevice(r.Context(), tx.Device)
	}
	if err != nil {
		h.refuseUserCode(w, r, pages.Device{Username: who.user.Email}, err)
		return
	}
	h.record(r, audit.Entry{Actor: who.user.ID, ClientID: answered.ClientID, Action: "device." + decision, Target: answered.ClientID,
		Details: map[string]string{"scopes": strings.Join(answered.Scopes, " ")}})
	h.Logger.InfoContext(r.Context(), "device answered", "subject", who.user.ID, "client_id", answered.ClientID,
		"decision", decision, "scopes", answered.Scopes)
	if cookie(r, h.cookies.userCode) != "" {
		h.setCookie(w, h.cookies.userCode, "", 0)
	}
	h.message(w, r, http.StatusOK, deviceAnswered(decision))
}

func deviceAnswered(decision string) pages.Message {
	if decision == "allow" {
		return pages.Message{Title: "Your device is connected",
			Text: "Go back to it: it goes on by itself within a few seconds. You can close this page."}
	}
	return pages.Message{Title: "The device was not connected", Text: "It gets nothing. You can close this page."}
}
