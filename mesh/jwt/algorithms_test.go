package jwt_test

import (
	"context"
	"crypto/elliptic"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestFurtherAlgorithmsVerifyWhereTheyAreConfigured(t *testing.T) {
	p384, p521, rsa := ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521()), rsaKey(t, 2048)
	with := func(k jwk.Key, alg jwa.SignatureAlgorithm) jwk.Key {
		if err := k.Set("alg", alg); err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, tt := range []struct {
		name       string
		algorithms []string
		key        jwk.Key
		token      string
		cause      string
	}{
		{name: "ES384", algorithms: []string{"ES384"}, key: public(t, p384, "k"), token: sign(t, jwa.ES384, p384, "k")},
		{name: "ES512", algorithms: []string{"ES512"}, key: public(t, p521, "k"), token: sign(t, jwa.ES512, p521, "k")},
		{name: "RS384", algorithms: []string{"RS384"}, key: public(t, rsa, "k"), token: sign(t, jwa.RS384, rsa, "k")},
		{name: "RS512", algorithms: []string{"RS256", "RS512"}, key: with(public(t, rsa, "k"), jwa.RS512), token: sign(t, jwa.RS512, rsa, "k")},
		{name: "PS256", algorithms: []string{"RS256", "PS256"}, key: with(public(t, rsa, "k"), jwa.PS256), token: sign(t, jwa.PS256, rsa, "k")},
		{name: "PS384", algorithms: []string{"PS384"}, key: public(t, rsa, "k"), token: sign(t, jwa.PS384, rsa, "k")},
		{name: "PS512", algorithms: []string{"PS512"}, key: public(t, rsa, "k"), token: sign(t, jwa.PS512, rsa, "k")},
		{name: "one that is not the key's", algorithms: []string{"RS256", "PS256"}, key: with(public(t, rsa, "k"), jwa.PS256), token: sign(t, jwa.RS256, rsa, "k"), cause: "algorithm"},
		{name: "a key without its algorithm has the first of its type", algorithms: []string{"RS256", "PS256"}, key: public(t, rsa, "k"), token: sign(t, jwa.PS256, rsa, "k"), cause: "algorithm"},
		{name: "a key for an algorithm of another type", algorithms: []string{"ES384", "RS256"}, key: with(public(t, rsa, "k"), jwa.ES384), token: sign(t, jwa.RS256, rsa, "k"), cause: "unknown_key"},
		{name: "a key for an algorithm that is not configured", algorithms: []string{"ES256"}, key: public(t, rsa, "k"), token: sign(t, jwa.RS256, rsa, "k"), cause: "algorithm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document := set(t, tt.key)
			v := newVerifier(t, jwt.Config{Issuer: "https://iss", Algorithms: tt.algorithms, Keys: func(context.Context) ([]byte, error) { return document, nil }})
			if _, err := v.Verify(t.Context(), tt.token); cause(err) != tt.cause {
				t.Errorf("got %v, want %q", err, tt.cause)
			}
		})
	}
	for _, alg := range []string{"none", "HS256", "es256", ""} {
		_, err := jwt.New(t.Context(), jwt.Config{Issuer: "https://iss", Audiences: []string{"a"}, Algorithms: []string{alg}})
		if err == nil || !strings.Contains(err.Error(), "is not one of") {
			t.Errorf("%q: got %v", alg, err)
		}
	}
}

// TestAForeignTokenIsReadByItsMapping has tokens typed as ID tokens are, and told apart by a claim.
func TestAForeignTokenIsReadByItsMapping(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	keycloak := claims.Keycloak()
	keycloak.Namespace = "acme"
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Claims: &keycloak})
	for _, tt := range []struct {
		name         string
		over, header map[string]any
		cause        string
	}{
		{name: "an access token", over: map[string]any{"typ": "Bearer", "azp": "web"}, header: map[string]any{"typ": "JWT"}},
		{name: "an ID token", over: map[string]any{"typ": "ID", "azp": "web"}, header: map[string]any{"typ": "JWT"}, cause: "required_claim"},
		{name: "one without a type", over: map[string]any{"typ": "Bearer", "azp": "web"}, header: map[string]any{"typ": nil}, cause: "wrong_type"},
		{name: "one whose type is no string", over: map[string]any{"typ": "Bearer", "azp": "web"}, header: map[string]any{"typ": 1}, cause: "wrong_type"},
		{name: "one typed as a proof", over: map[string]any{"typ": "Bearer", "azp": "web"}, header: map[string]any{"typ": "dpop+jwt"}, cause: "wrong_type"},
		{name: "one of our form", over: map[string]any{"typ": "Bearer", "azp": "web"}, cause: "wrong_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.over["client_id"] = nil
			id, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{Extra: tt.over, Header: tt.header}))
			if cause(err) != tt.cause || err == nil && (id.Subject != "acme:u-test" || id.KeyID != "acme:"+iss.KeyID()) {
				t.Errorf("got %+v, %v; want %q", id, err, tt.cause)
			}
		})
	}
}
