package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// partner is an issuer of others, whose tokens only it can read. Those that say "live" are good; asked about one that says
// "broken", it fails.
type partner struct{ file, secret string }

const (
	partnerLive   = "bolt_at_live_0pKc7m2vXq9sTdWn"
	partnerBroken = "bolt_at_broken_5yLr8bEh3uZj6gMa"
	partnerEnded  = "bolt_at_ended_1nFo4iCx7eRk2tVs"
)

// startPartner starts it, and writes the file by which an installation trusts it.
func startPartner(t *testing.T) partner {
	t.Helper()
	p := partner{secret: "the-secret-at-bolt-6Tq2"}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"introspection_endpoint":%q}`, server.URL, server.URL+"/jwks", server.URL+"/introspect")
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		token := r.PostFormValue("token")
		if strings.Contains(token, "broken") {
			http.Error(w, token, http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"active": strings.Contains(token, "live"), "token_type": "Bearer", "sub": "42", "client_id": "web", "aud": "urn:realguardio:api",
			"exp": int64(1 << 33), "scope": "securitysystem.read",
		})
	})
	dir := t.TempDir()
	p.file = filepath.Join(dir, "issuers.yaml")
	secret := filepath.Join(dir, "secret")
	for name, content := range map[string]string{secret: p.secret, p.file: fmt.Sprintf(
		"- name: bolt\n  issuer: %s\n  audiences: ['urn:realguardio:api']\n  scopes: {allow: [securitysystem.read]}\n"+
			"  introspection: {client-id: realguardio, client-secret-file: %s, prefix: bolt_at_}\n", server.URL, secret)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}
