package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/realguardio/realguardio/services/token/upstream"
)

// foreignIDP is an OpenID Provider of others that holds to the specification, but for what a test has it do. It knows
// nothing of our code.
type foreignIDP struct {
	t   *testing.T
	url string
	key jwk.Key

	mu sync.Mutex
	// codes are authorization requests that were answered, by code.
	codes map[string]url.Values
	// redeemed counts codes that were shown to the token endpoint.
	redeemed int
	down     bool
	// metadata, claims and answer are added to what it says; nil removes. forge replaces the ID token.
	metadata, claims map[string]any
	answer           map[string]string
	userinfo         map[string]any
	forge            func(claims map[string]any) string
}

const foreignSecret = "foreign-secret-%+/ of ours"

func newForeignIDP(t *testing.T) *foreignIDP {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &foreignIDP{t: t, codes: map[string]url.Values{}}
	if f.key, err = jwk.FromRaw(private); err != nil {
		t.Fatal(err)
	}
	_ = f.key.Set(jwk.KeyIDKey, "k1")
	_ = f.key.Set(jwk.AlgorithmKey, jwa.ES256)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", f.discovery)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		public, _ := f.key.PublicKey()
		f.write(w, map[string]any{"keys": []any{public}})
	})
	mux.HandleFunc("GET /auth", f.authorize)
	mux.HandleFunc("POST /token", f.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer foreign-access-token" || f.userinfo == nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		f.write(w, f.userinfo)
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *foreignIDP) write(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// provider is it as we configure it.
func (f *foreignIDP) provider(id string) upstream.Provider {
	return upstream.Provider{ID: id, Name: strings.ToUpper(id[:1]) + id[1:], Issuer: f.url, ClientID: "realguardio", ClientSecret: foreignSecret}
}

// says has it say something else from now on.
func (f *foreignIDP) says(change func(*foreignIDP)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// overlay adds what a test wants; nil removes.
func overlay(over, base map[string]any) map[string]any {
	maps.Copy(base, over)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	return base
}

func (f *foreignIDP) discovery(w http.ResponseWriter, _ *http.Request) {
	f.write(w, overlay(f.metadata, map[string]any{
		"issuer": f.url, "authorization_endpoint": f.url + "/auth", "token_endpoint": f.url + "/token", "jwks_uri": f.url + "/jwks",
		"userinfo_endpoint": f.url + "/userinfo", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"}, "authorization_response_iss_parameter_supported": true,
	}))
}

// authorize signs somebody in at once.
func (f *foreignIDP) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != "realguardio" || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	code := rand.Text()
	f.codes[code] = q
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {f.url}}
	for name, value := range f.answer {
		if answer.Del(name); value != "" {
			answer.Set(name, value)
		}
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (f *foreignIDP) token(w http.ResponseWriter, r *http.Request) {
	f.redeemed++
	id, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret)
	code := r.PostFormValue("code")
	asked := f.codes[code]
	delete(f.codes, code)
	if id != "realguardio" || secret != foreignSecret || asked == nil || challenge(r.PostFormValue("code_verifier")) != asked.Get("code_challenge") ||
		r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
		w.WriteHeader(http.StatusBadRequest)
		f.write(w, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := overlay(f.claims, map[string]any{
		"iss": f.url, "aud": "realguardio", "sub": "foreign-1", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": asked.Get("nonce"),
		"email": alice, "email_verified": true, "name": "Alice of elsewhere",
	})
	raw := ""
	if f.forge != nil {
		raw = f.forge(claims)
	} else {
		raw = f.sign(claims)
	}
	f.write(w, map[string]any{"access_token": "foreign-access-token", "token_type": "Bearer", "expires_in": 60, "id_token": raw})
}

func (f *foreignIDP) sign(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, f.key))
	if err != nil {
		f.t.Error(err)
	}
	return string(token)
}

// unsigned is a token that anybody can make.
func unsigned(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}
