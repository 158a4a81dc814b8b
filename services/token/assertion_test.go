package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// keyHolder is a client with keys of its own.
type keyHolder struct {
	id      string
	private map[string]crypto.Signer // by kid
	jwks    string
}

func newKeyHolder(t *testing.T, id string) *keyHolder {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modulus, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &keyHolder{id: id, private: map[string]crypto.Signer{"ec": ec, "rsa": modulus, "ed": ed}}
	set := jwk.NewSet()
	for kid, private := range h.private {
		public, err := jwk.FromRaw(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		_ = public.Set(jwk.KeyIDKey, kid)
		_ = set.AddKey(public)
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	h.jwks = string(raw)
	return h
}

// ensure registers the client for what the tests of clients with keys do.
func (h *keyHolder) ensure(s *server) {
	s.t.Helper()
	secret, err := s.EnsureClient(s.t.Context(), token.ClientSpec{ID: h.id, Name: "Key holder", JWKS: h.jwks, RedirectURIs: []string{webCallback},
		Grants: []string{"client_credentials", "authorization_code", "refresh_token"}, Scopes: []string{"securitysystem.read"}, FirstParty: true})
	if err != nil || secret != "" {
		s.t.Fatalf("%q, %v", secret, err)
	}
}

// claims are those of a good assertion, changed by pairs of name and value (nil removes).
func (h *keyHolder) claims(s *server, changes ...any) map[string]any {
	now := s.clock.Now()
	claims := map[string]any{"iss": h.id, "sub": h.id, "aud": s.url, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for i := 0; i < len(changes); i += 2 {
		if claims[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(claims, changes[i].(string))
		}
	}
	return claims
}

// sign is any assertion: what it says, and how it says that it is signed, need not fit.
func sign(t *testing.T, header map[string]any, payload []byte, alg jwa.SignatureAlgorithm, key any) string {
	t.Helper()
	encoded, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString(encoded) + "." + base64.RawURLEncoding.EncodeToString(payload)
	if alg == "" {
		return input + "."
	}
	signer, err := jws.NewSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign([]byte(input), key)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (h *keyHolder) assertion(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, map[string]any{"alg": "ES256", "kid": "ec"}, payload, jwa.ES256, h.private["ec"])
}

func with(assertion string, form ...string) url.Values {
	out := url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion}, "client_assertion_type": {oauth.AssertionType}}
	for i := 0; i < len(form); i += 2 {
		out.Set(form[i], form[i+1])
	}
	return out
}

// TestAClientProvesItselfByAKey has a foreign library sign, with each algorithm, and uses each endpoint.
func TestAClientProvesItselfByAKey(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h := newKeyHolder(t, "holder")
		h.ensure(s)
		h.ensure(s) // repeating it changes nothing
		made := func(alg jose.SignatureAlgorithm, kid string, typ string, changes ...any) string {
			options := (&jose.SignerOptions{}).WithHeader("kid", kid)
			if typ != "" {
				options = options.WithType(jose.ContentType(typ))
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: h.private[kid]}, options)
			if err != nil {
				t.Fatal(err)
			}
			payload, _ := json.Marshal(h.claims(s, changes...))
			object, err := signer.Sign(payload)
			if err != nil {
				t.Fatal(err)
			}
			token, err := object.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			return s.logs.secret(token)
		}
		now := s.clock.Now()
		anew, _ := json.Marshal(h.claims(s))
		for name, form := range map[string]url.Values{
			"EdDSA by its newer name":        with(s.logs.secret(sign(t, map[string]any{"alg": "Ed25519", "kid": "ed"}, anew, jwa.EdDSA, h.private["ed"]))),
			"ES256":                          with(made(jose.ES256, "ec", "JWT")),
			"RS256":                          with(made(jose.RS256, "rsa", "")),
			"PS256":                          with(made(jose.PS256, "rsa", "")),
			"EdDSA":                          with(made(jose.EdDSA, "ed", "client-authentication+jwt")),
			"with the client's id beside":    with(made(jose.ES256, "ec", ""), "client_id", h.id),
			"for the token endpoint":         with(made(jose.ES256, "ec", "", "aud", s.url+"/oauth2/token")),
			"for the issuer and an endpoint": with(made(jose.ES256, "ec", "", "aud", []string{s.url, s.url + "/oauth2/token"})),
			"from a clock ahead by eight":    with(made(jose.ES256, "ec", "", "nbf", now.Unix()+8, "iat", now.Unix()+8)),
			"without iat":                    with(made(jose.ES256, "ec", "", "iat", nil)),
			"expired five seconds ago":       with(made(jose.ES256, "ec", "", "exp", now.Unix()-5)),
		} {
			if got := s.post("/oauth2/token", "", "", form); got.status != http.StatusOK || got.str("access_token") == "" {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		tokens := s.post("/oauth2/token", "", "", with(made(jose.ES256, "ec", "")))
		code := s.browser().code(asks(h.id, webCallback, "scope", "securitysystem.read"))
		form := with(made(jose.ES256, "ec", ""))
		for name, value := range redeems(code, webCallback) {
			form[name] = value
		}
		if got := s.post("/oauth2/token", "", "", form); got.status != http.StatusOK || got.str("refresh_token") == "" {
			t.Errorf("redeeming a code: %d %s", got.status, got.body)
		}
		about := func() url.Values { return with(made(jose.ES256, "ec", ""), "token", tokens.str("access_token")) }
		if got := s.post("/oauth2/introspect", "", "", about()); got.status != http.StatusOK || got.json["active"] != true {
			t.Errorf("introspection: %d %s", got.status, got.body)
		}
		if got := s.post("/oauth2/revoke", "", "", about()); got.status != http.StatusOK {
			t.Errorf("revocation: %d %s", got.status, got.body)
		}
		if got := s.post("/oauth2/introspect", "", "", about()); got.json["active"] != false {
			t.Errorf("after the revocation: %s", got.body)
		}
		discovery := s.get("/.well-known/openid-configuration")
		if got := fmt.Sprint(discovery.json["token_endpoint_auth_signing_alg_values_supported"]); got != "[ES256 RS256 PS256 EdDSA Ed25519]" {
			t.Errorf("discovery tells %s", got)
		}
		if got := fmt.Sprint(discovery.json["token_endpoint_auth_methods_supported"]); !strings.Contains(got, "private_key_jwt") {
			t.Errorf("discovery tells %s", got)
		}
	})
}

// TestAssertionsThatProveNothing changes one thing of a good assertion.
func TestAssertionsThatProveNothing(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h, other := newKeyHolder(t, "holder"), newKeyHolder(t, "other")
		h.ensure(s)
		other.ensure(s)
		now := s.clock.Now().Unix()
		said := func(changes ...any) string { return h.assertion(t, h.claims(s, changes...)) }
		payload, _ := json.Marshal(h.claims(s))
		ec := h.private["ec"]
		headed := func(pairs ...any) string {
			header := map[string]any{"alg": "ES256", "kid": "ec"}
			for i := 0; i < len(pairs); i += 2 {
				header[pairs[i].(string)] = pairs[i+1]
			}
			return sign(t, header, payload, jwa.ES256, ec)
		}
		own, _ := jwk.FromRaw(ec.Public())
		access := s.machine("service", serviceSecret).str("access_token")
		for name, form := range map[string]url.Values{
			"nothing":                            with(""),
			"of another type":                    with(said(), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
			"beside a secret":                    with(said(), "client_secret", webSecret),
			"beside another client's id":         with(said(), "client_id", "web"),
			"signed by another client":           with(other.assertion(t, h.claims(s))),
			"of another issuer":                  with(said("iss", "other")),
			"about another client":               with(said("sub", "other")),
			"without iss":                        with(said("iss", nil)),
			"without sub":                        with(said("sub", nil)),
			"for somebody else":                  with(said("aud", "https://other.example.com")),
			"for nobody":                         with(said("aud", nil)),
			"for an empty list":                  with(said("aud", []string{})),
			"for us and somebody else":           with(said("aud", []string{s.url, "https://other.example.com"})),
			"for the authorization endpoint":     with(said("aud", s.url+"/oauth2/authorize")),
			"for the issuer with a slash":        with(said("aud", s.url+"/")),
			"expired":                            with(said("exp", now-300)),
			"without an expiry":                  with(said("exp", nil)),
			"with an expiry that is text":        with(said("exp", fmt.Sprint(now+60))),
			"for ever":                           with(said("exp", now+7200)),
			"not yet good":                       with(said("nbf", now+60)),
			"from the future":                    with(said("iat", now+60)),
			"without an id":                      with(said("jti", nil)),
			"with an empty id":                   with(said("jti", "")),
			"with an id that is a number":        with(said("jti", 7)),
			"with an id without end":             with(said("jti", strings.Repeat("x", 257))),
			"of eight kilobytes":                 with(said("more", strings.Repeat("x", 8<<10))),
			"unsigned":                           with(sign(t, map[string]any{"alg": "none"}, payload, "", nil)),
			"unsigned, written otherwise":        with(sign(t, map[string]any{"alg": "nOnE"}, payload, "", nil)),
			"without an algorithm":               with(sign(t, map[string]any{"kid": "ec"}, payload, jwa.ES256, ec)),
			"by HMAC with the public keys":       with(sign(t, map[string]any{"alg": "HS256", "kid": "ec"}, payload, jwa.HS256, []byte(h.jwks))),
			"with the algorithm of another key":  with(sign(t, map[string]any{"alg": "RS256", "kid": "ec"}, payload, jwa.ES256, ec)),
			"with the id of another key":         with(headed("kid", "rsa")),
			"with an unknown key":                with(headed("kid", "../../dev/null")),
			"with an id of a key that is no id":  with(headed("kid", 7)),
			"with a key of its own":              with(headed("jwk", own)),
			"with the address of a key":          with(headed("jku", "https://evil.example.com")),
			"with a certificate":                 with(headed("x5c", []string{"AAAA"})),
			"with something critical":            with(headed("crit", []string{"b64"}, "b64", false)),
			"typed as an access token":           with(headed("typ", "at+jwt")),
			"typed as nothing":                   with(headed("typ", "")),
			"an access token":                    with(access),
			"with two subs":                      with(sign(t, map[string]any{"alg": "ES256"}, bytes.Replace(payload, []byte(`{`), []byte(`{"sub":"other",`), 1), jwa.ES256, ec)),
			"with names in capitals":             with(sign(t, map[string]any{"alg": "ES256"}, bytes.Replace(payload, []byte(`"aud"`), []byte(`"AUD"`), 1), jwa.ES256, ec)),
			"with padding":                       with(said() + "="),
			"with a line break":                  with(said() + "\n"),
			"in five parts":                      with("a.b.c.d.e"),
			"without the signature":              with(said()[:strings.LastIndexByte(said(), '.')+1]),
			"cut short":                          with(said()[:40]),
			"by a client that has a secret":      with(h.assertion(t, h.claims(s, "iss", "web", "sub", "web"))),
			"by a client that there is not":      with(h.assertion(t, h.claims(s, "iss", "nobody", "sub", "nobody"))),
			"by a client whose id has no end":    with(h.assertion(t, h.claims(s, "iss", strings.Repeat("x", 999), "sub", strings.Repeat("x", 999)))),
			"by a client that nobody could have": with(h.assertion(t, h.claims(s, "iss", "a\x00b", "sub", "a\x00b"))),
		} {
			t.Run(name, func(t *testing.T) {
				refused(t, s.post("/oauth2/token", "", "", form), http.StatusUnauthorized, "invalid_client")
			})
		}
		t.Run("beside HTTP Basic", func(t *testing.T) {
			refused(t, s.post("/oauth2/token", "web", webSecret, with(said())), http.StatusUnauthorized, "invalid_client")
		})
		t.Run("twice in one request", func(t *testing.T) {
			form := with(said())
			form.Add("client_assertion", said())
			refused(t, s.post("/oauth2/token", "", "", form), http.StatusBadRequest, "invalid_request")
		})
		t.Run("a client with keys has no secret", func(t *testing.T) {
			for _, secret := range []string{"", "x", h.jwks} {
				refused(t, s.post("/oauth2/token", h.id, secret, url.Values{"grant_type": {"client_credentials"}}), http.StatusUnauthorized, "invalid_client")
			}
			refused(t, s.post("/oauth2/token", "", "", url.Values{"grant_type": {"client_credentials"}, "client_id": {h.id}}), http.StatusUnauthorized, "invalid_client")
		})
		t.Run("none of them has used up an id", func(t *testing.T) {
			good := h.assertion(t, h.claims(s, "jti", "once"))
			refused(t, s.post("/oauth2/token", "", "", with(h.assertion(t, h.claims(s, "jti", "once", "aud", "https://other.example.com")))), 401, "invalid_client")
			if got := s.post("/oauth2/token", "", "", with(good)); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	})
}

// TestAnAssertionIsUsedOnce sends one to two replicas, many times at once, and at every endpoint.
func TestAnAssertionIsUsedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		f := startReplicas(t, st, 2)
		h, other := newKeyHolder(t, "holder"), newKeyHolder(t, "other")
		h.ensure(f.server)
		other.ensure(f.server)
		once := h.assertion(t, h.claims(f.server, "jti", "the same"))
		var good atomic.Int64
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if got := f.post("/oauth2/token", "", "", with(once)); got.status == http.StatusOK {
					good.Add(1)
				} else {
					refused(t, got, http.StatusUnauthorized, "invalid_client")
				}
			})
		}
		all.Wait()
		if n := good.Load(); n != 1 {
			t.Errorf("used %d times", n)
		}
		f.clock.Advance(55 * time.Second)
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			refused(t, f.post(path, "", "", with(once, "token", "x")), http.StatusUnauthorized, "invalid_client")
		}
		if got := f.post("/oauth2/token", "", "", with(other.assertion(t, other.claims(f.server, "jti", "the same")))); got.status != http.StatusOK {
			t.Errorf("another client's id is another: %d %s", got.status, got.body)
		}
		// What cannot be remembered proves nothing.
		if err := f.redis.Do(t.Context(), "CONFIG", "SET", "maxmemory", "1").Err(); err != nil {
			return // the embedded server has no limit to run into
		}
		got := f.post("/oauth2/token", "", "", with(h.assertion(t, h.claims(f.server))))
		refused(t, got, http.StatusServiceUnavailable, "temporarily_unavailable")
		if err := f.redis.Do(t.Context(), "CONFIG", "SET", "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAssertionsOfWhoseTokensAreBoundAreStrict has a client that is registered as the FAPI 2.0 Security Profile wants it. Who
// has proven to be that client is refused for want of a proof of its key, and nobody else is told as much.
func TestAssertionsOfWhoseTokensAreBoundAreStrict(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h := newKeyHolder(t, "holder")
		if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: h.id, Name: "Bank", JWKS: h.jwks, DPoPBoundTokens: true,
			Grants: []string{"client_credentials"}, Scopes: []string{"securitysystem.read"}}); err != nil {
			t.Fatal(err)
		}
		payload, _ := json.Marshal(h.claims(s))
		for name, tt := range map[string]struct {
			assertion string
			good      bool
		}{
			"for the issuer":                        {h.assertion(t, h.claims(s)), true},
			"by PS256":                              {sign(t, map[string]any{"alg": "PS256", "kid": "rsa"}, payload, jwa.PS256, h.private["rsa"]), true},
			"by RS256":                              {sign(t, map[string]any{"alg": "RS256", "kid": "rsa"}, payload, jwa.RS256, h.private["rsa"]), false},
			"for the token endpoint":                {h.assertion(t, h.claims(s, "aud", s.url+"/oauth2/token")), false},
			"for the endpoint of pushed requests":   {h.assertion(t, h.claims(s, "aud", s.url+"/oauth2/par")), false},
			"for that endpoint, in a list":          {h.assertion(t, h.claims(s, "aud", []string{s.url + "/oauth2/par"})), false},
			"for the issuer and an endpoint":        {h.assertion(t, h.claims(s, "aud", []string{s.url, s.url + "/oauth2/token"})), false},
			"for the issuer, in a list with itself": {h.assertion(t, h.claims(s, "aud", []string{s.url})), false},
		} {
			got := s.post("/oauth2/token", "", "", with(s.logs.secret(tt.assertion)))
			want, status := "invalid_client", http.StatusUnauthorized
			if tt.good {
				want, status = "invalid_dpop_proof", http.StatusBadRequest
			}
			if got.status != status || got.str("error") != want {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	})
}
