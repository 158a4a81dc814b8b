package web

import (
	"net/http"
	"strings"
)

// userinfo is the UserInfo endpoint (OpenID Connect Core, section 5.3).
func (h *handler) userinfo(w http.ResponseWriter, r *http.Request) {
	token, err := bearer(r)
	if err != nil {
		h.refuseBearer(w, r, err)
		return
	}
	if token == "" {
		// A request without any credential is told no more than what to bring (RFC 6750, section 3.1).
		w.Header().Set("WWW-Authenticate", `Bearer realm="realguardio"`)
		answer(w, http.StatusUnauthorized, struct{}{})
		return
	}
	profile, err := h.OAuth.UserInfo(r.Context(), token)
	if err != nil {
		h.refuseBearer(w, r, err)
		return
	}
	answer(w, http.StatusOK, profile)
}

// bearer returns the access token of a request, from its header or the form of a POST (RFC 6750, section 2). Two are
// refused rather than ranked.
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", invalidRequest("two Authorization headers")
	}
	token := ""
	if len(headers) == 1 {
		scheme, value, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", nil
		}
		token = strings.TrimSpace(value)
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") == "" {
		return token, nil
	}
	form, err := strictForm(r)
	if err != nil {
		return "", err
	}
	inBody := form.Get("access_token")
	if token != "" && inBody != "" {
		return "", invalidRequest("two access tokens")
	}
	return token + inBody, nil
}
