package meshtest

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// tokenTTL is how long the tokens of the token endpoint live.
const tokenTTL = 5 * time.Minute

// serveToken is the client credentials grant (RFC 6749, section 4.4) and token exchange (RFC 8693), with client_secret_basic
// (RFC 6749, section 2.3.1).
func (iss *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	iss.mu.Lock()
	want, known := iss.clients[id]
	iss.mu.Unlock()
	if !ok || errID != nil || errSecret != nil || !known || subtle.ConstantTimeCompare([]byte(secret), []byte(want)) != 1 {
		refuseToken(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
	case grantExchange:
		iss.serveExchange(w, r, id)
		return
	default:
		refuseToken(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	claims := Claims{Subject: id, Kind: mesh.KindWorkload, Expiry: iss.now().Add(tokenTTL)}
	token, err := iss.issue(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	iss.mu.Lock()
	iss.issued++
	iss.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	reply(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenTTL / time.Second)})
}

func refuseToken(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	reply(w, map[string]any{"error": reason})
}
