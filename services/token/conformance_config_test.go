package token_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token"
)

// TestDiscoveryDescribesTheProvider holds the document of an issuer under https to OpenID Connect Discovery, section 3, and
// RP-Initiated Logout, section 2.1.
func TestDiscoveryDescribesTheProvider(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		cfg := s.config()
		cfg.Issuer = "https://id.example.com"
		service, err := token.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		get := func(path string) (map[string]any, http.Header) {
			w := httptest.NewRecorder()
			service.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			document := map[string]any{}
			if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%s: %d, %v", path, w.Code, err)
			}
			return document, w.Header()
		}
		d, header := get("/.well-known/openid-configuration")
		if header.Get("Content-Type") != "application/json" || d["issuer"] != "https://id.example.com" {
			t.Errorf("%s, issuer %v", header.Get("Content-Type"), d["issuer"])
		}
		for name, value := range d {
			if text, ok := value.(string); ok && !strings.HasPrefix(text, "https://id.example.com") {
				t.Errorf("%s is %q", name, text)
			}
		}
		for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint",
			"revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint", "device_authorization_endpoint", "account_management_uri"} {
			endpoint, err := url.Parse(d[name].(string))
			if err != nil || endpoint.Fragment != "" || endpoint.RawQuery != "" {
				t.Errorf("%s is %v", name, d[name])
			}
		}
		for name, wants := range map[string][]string{
			"response_types_supported":              {"code"},
			"response_modes_supported":              {"query", "fragment", "form_post"},
			"grant_types_supported":                 {"authorization_code", "refresh_token", "client_credentials"},
			"subject_types_supported":               {"public"},
			"id_token_signing_alg_values_supported": {"RS256", "ES256"},
			"scopes_supported":                      {"openid", "profile", "email", "address", "phone", "offline_access"},
			"claims_supported":                      {"sub", "iss", "auth_time", "acr", "name", "given_name", "family_name", "email", "email_verified", "address", "phone_number", "zoneinfo", "locale"},
			"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "none"},
			"code_challenge_methods_supported":      {"S256"},
			"prompt_values_supported":               {"none", "login", "consent", "select_account"},
			"acr_values_supported":                  {"1"},
			"claim_types_supported":                 {"normal"},
			"ui_locales_supported":                  {"en"},
			"display_values_supported":              {"page"},
		} {
			list, _ := d[name].([]any)
			for _, want := range wants {
				if !slices.Contains(list, any(want)) {
					t.Errorf("%s lacks %s: %v", name, want, list)
				}
			}
		}
		if algs, _ := d["id_token_signing_alg_values_supported"].([]any); slices.Contains(algs, any("none")) {
			t.Error("unsigned ID tokens are offered")
		}
		for name, want := range map[string]bool{"claims_parameter_supported": true, "request_parameter_supported": false, "request_uri_parameter_supported": false,
			"authorization_response_iss_parameter_supported": true, "require_pushed_authorization_requests": false} {
			if d[name] != want {
				t.Errorf("%s is %v", name, d[name])
			}
		}
		if again, _ := get("/.well-known/oauth-authorization-server"); len(again) != len(d) {
			t.Error("RFC 8414's document is another one")
		}
		checkKeys(t, get)
	})
}

// checkKeys looks at the key set (RFC 7517): public keys only, told apart by kid.
func checkKeys(t *testing.T, get func(string) (map[string]any, http.Header)) {
	t.Helper()
	document, _ := get("/oauth2/jwks")
	keys, _ := document["keys"].([]any)
	seen := map[any]bool{}
	for _, k := range keys {
		key := k.(map[string]any)
		if key["kid"] == nil || seen[key["kid"]] || key["use"] != "sig" || key["alg"] == nil {
			t.Errorf("key %v", key)
		}
		seen[key["kid"]] = true
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if key[private] != nil {
				t.Errorf("the key set has the private half of %v", key["kid"])
			}
		}
	}
	if len(keys) < 2 {
		t.Errorf("%d keys", len(keys))
	}
}
