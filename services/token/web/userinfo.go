package web

import (
	"net/http"
	"strings"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// userinfo is the UserInfo endpoint (OpenID Connect Core, section 5.3).
func (h *handler) userinfo(w http.ResponseWriter, r *http.Request) {
	presented, err := h.presented(w, r)
	if err != nil {
		h.refuseBearer(w, r, err)
		return
	}
	if presented.Token == "" {
		// A request without any credential is told no more than what to bring (RFC 6750, section 3.1; RFC 9449, section 7.1).
		w.Header()["Www-Authenticate"] = []string{`Bearer realm="realguardio"`, `DPoP realm="realguardio", ` + dpopAlgs()}
		answer(w, http.StatusUnauthorized, struct{}{})
		return
	}
	profile, err := h.OAuth.UserInfo(r.Context(), presented)
	if err != nil {
		h.refuseBearer(w, r, err)
		return
	}
	answer(w, http.StatusOK, profile)
}

// dpopAlgs tells which algorithms proofs may be signed with (RFC 9449, section 7.1).
func dpopAlgs() string { return `algs="` + strings.Join(dpop.Algorithms(), " ") + `"` }

// presented is the access token of a request, with what its sender proves besides.
func (h *handler) presented(w http.ResponseWriter, r *http.Request) (p oauth.Presented, err error) {
	p.Proof = h.proof(w, r)
	if p.Token, p.ByDPoP, err = accessToken(r); err == nil {
		p.Certificates, err = h.certificates(r)
	}
	return p, err
}

// accessToken returns the access token of a request, from its header or the form of a POST (RFC 6750, section 2), and
// whether it came with the scheme DPoP. Two are refused rather than ranked.
func accessToken(r *http.Request) (token string, byDPoP bool, err error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", false, invalidRequest("two Authorization headers")
	}
	if len(headers) == 1 {
		scheme, value, _ := strings.Cut(headers[0], " ")
		byDPoP = strings.EqualFold(scheme, "DPoP")
		if !byDPoP && !strings.EqualFold(scheme, "Bearer") {
			return "", false, nil
		}
		token = strings.TrimSpace(value)
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") == "" {
		return token, byDPoP, nil
	}
	form, err := strictForm(r)
	if err != nil {
		return "", byDPoP, err
	}
	inBody := form.Get("access_token")
	if inBody != "" && (token != "" || byDPoP) {
		return "", byDPoP, invalidRequest("two access tokens")
	}
	return token + inBody, byDPoP, nil
}
