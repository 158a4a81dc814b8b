package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/realguardio/realguardio/services/token/oauth"
)

// token is the token endpoint (RFC 6749, section 3.2).
func (h *handler) token(w http.ResponseWriter, r *http.Request) {
	form, cred, err := clientForm(r)
	var response oauth.TokenResponse
	if err == nil {
		response, err = h.OAuth.Token(r.Context(), oauth.TokenRequest{Credentials: cred, Form: form, Address: h.Address(r)})
	}
	grant := form.Get("grant_type")
	if !slices.Contains(oauth.GrantTypes, grant) {
		grant = "other" // or none
	}
	if err != nil {
		e, _ := oauth.AsError(err)
		h.Counters.Refused(grant, e.Code)
		h.refuse(w, r, err)
		return
	}
	h.Counters.Issued(grant)
	w.Header().Set("Pragma", "no-cache")
	answer(w, http.StatusOK, response)
}

// push is the pushed authorization request endpoint (RFC 9126).
func (h *handler) push(w http.ResponseWriter, r *http.Request) {
	form, cred, err := clientForm(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	response, err := h.OAuth.Push(r.Context(), cred, form, h.Address(r))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	answer(w, http.StatusCreated, response)
}

// revoke is the revocation endpoint (RFC 7009).
func (h *handler) revoke(w http.ResponseWriter, r *http.Request) {
	form, cred, err := clientForm(r)
	if err == nil {
		err = h.OAuth.Revoke(r.Context(), cred, form.Get("token"))
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// introspect is the introspection endpoint (RFC 7662).
func (h *handler) introspect(w http.ResponseWriter, r *http.Request) {
	form, cred, err := clientForm(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	result, err := h.OAuth.Introspect(r.Context(), cred, form.Get("token"))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	answer(w, http.StatusOK, result)
}

// clientForm is what these have in common.
func clientForm(r *http.Request) (url.Values, oauth.Credentials, error) {
	form, err := strictForm(r)
	if err != nil {
		return nil, oauth.Credentials{}, err
	}
	cred, err := credentials(r, form)
	return form, cred, err
}
