package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token"
)

// from sends a request as a script of a page at an origin would.
func (s *server) from(origin, method, path string, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(url.Values{"client_id": {"spa"}}.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.do(plain, r)
}

// TestScriptsOfRegisteredOriginsOnly is which pages may use the endpoints that a client in a browser calls.
func TestScriptsOfRegisteredOriginsOnly(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.client(token.ClientSpec{ID: "spa", Name: "Page", Public: true, Grants: codeGrants, Scopes: []string{"openid"},
			RedirectURIs: []string{"https://SPA.example.com:443/cb", "http://localhost:5173/cb", "com.example.spa:/cb"}})
		calls := map[string]string{"/oauth2/token": "POST", "/oauth2/revoke": "POST", "/oauth2/par": "POST", "/oauth2/userinfo": "GET, POST"}
		for path, methods := range calls {
			for origin, want := range map[string]bool{
				"https://spa.example.com": true, "http://localhost:5173": true,
				"null": false, "https://evil.example": false, "https://spa.example.com.evil.example": false, "http://spa.example.com": false,
				"https://spa.example.com:8443": false, "http://localhost": false, "http://localhost:5174": false, "com.example.spa:": false,
				"com.example.spa://": false, "https://app.example.com": false /* a confidential client's */, "*": false, "https://SPA.example.com:443": false,
			} {
				preflight := s.from(origin, http.MethodOptions, path, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
				for name, r := range map[string]reply{"preflight": preflight, "call": s.from(origin, http.MethodPost, path)} {
					allowed := map[bool]string{true: origin}[want]
					if r.header.Get("Access-Control-Allow-Origin") != allowed || r.header.Get("Access-Control-Allow-Credentials") != "" || r.header.Get("Vary") != "Origin" {
						t.Errorf("%s of %s from %s: %d %v", name, path, origin, r.status, r.header)
					}
				}
				if got := preflight.header.Get("Access-Control-Allow-Methods"); want && (got != methods || preflight.status != 204 || preflight.header.Get("Access-Control-Max-Age") == "") || !want && got != "" {
					t.Errorf("preflight of %s from %s: %d, methods %q", path, origin, preflight.status, got)
				}
			}
		}
		for _, path := range []string{"/oauth2/authorize", "/login", "/consent", "/oauth2/logout", "/oauth2/introspect", "/"} {
			for _, method := range []string{http.MethodOptions, http.MethodGet} {
				if r := s.from("https://spa.example.com", method, path, "Access-Control-Request-Method", "GET"); r.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s %s can be read by scripts", method, path)
				}
			}
		}
		for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks"} {
			if r := s.from("https://anybody.example", http.MethodGet, path); r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %v", path, r.header)
			}
		}
		s.exec(`UPDATE clients SET disabled_at = 1 WHERE id = 'spa'`)
		s.clock.Advance(31 * time.Second)
		if r := s.from("https://spa.example.com", http.MethodPost, "/oauth2/token"); r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("the client is disabled, and its pages are still let in")
		}
	})
}
