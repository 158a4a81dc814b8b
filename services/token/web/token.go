package web

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/services/token/oauth"
)

// token is the token endpoint (RFC 6749, section 3.2).
func (h *handler) token(w http.ResponseWriter, r *http.Request) {
	form, cred, err := h.clientForm(r)
	var response oauth.TokenResponse
	if err == nil {
		response, err = h.OAuth.Token(r.Context(), oauth.TokenRequest{
			Credentials: cred, Form: form, Address: h.Address(r), Proof: h.proof(w, r),
		})
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
	form, cred, err := h.clientForm(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	response, err := h.OAuth.Push(r.Context(), oauth.PushRequest{Credentials: cred, Form: form, Address: h.Address(r), Proof: h.proof(w, r)})
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	answer(w, http.StatusCreated, response)
}

// revoke is the revocation endpoint (RFC 7009).
func (h *handler) revoke(w http.ResponseWriter, r *http.Request) {
	form, cred, err := h.clientForm(r)
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
	form, cred, err := h.clientForm(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Add("Vary", "Accept")
	result, err := h.OAuth.Introspect(r.Context(), cred, form.Get("token"), accepts(r, typeJWT))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	if result.JWT != "" {
		w.Header().Set("Content-Type", typeJWT)
		_, _ = io.WriteString(w, result.JWT) // a client that went away is not our problem
		return
	}
	answer(w, http.StatusOK, result)
}

// typeJWT is what a resource server accepts that wants an opaque token's JWT form, to pass that on.
const typeJWT = "application/jwt"

// accepts tells whether a media type is named in Accept, by its own name.
func accepts(r *http.Request, media string) bool {
	for _, header := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(header, ",") {
			if named, _, err := mime.ParseMediaType(one); err == nil && named == media {
				return true
			}
		}
	}
	return false
}

// clientForm is what these have in common.
func (h *handler) clientForm(r *http.Request) (url.Values, oauth.Credentials, error) {
	form, err := strictForm(r)
	if err != nil {
		return nil, oauth.Credentials{}, err
	}
	cred, err := credentials(r, form)
	if err == nil {
		cred.Certificates, err = h.certificates(r)
	}
	return form, cred, err
}
