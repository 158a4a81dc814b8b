package token_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token"
)

// legacy is a client of the implicit grant, and of nothing else.
func (s *server) legacy() {
	s.t.Helper()
	s.client(token.ClientSpec{ID: "legacy", Name: "Legacy", Public: true, FirstParty: true, Grants: []string{"implicit"},
		RedirectURIs: []string{webCallback}, Scopes: []string{"openid", "profile", "email", "securitysystem.read"}})
}

func TestTheImplicitGrantIsOptIn(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		shown := func(member, value string) bool {
			list, _ := s.get("/.well-known/openid-configuration").json[member].([]any)
			return slices.Contains(list, any(value))
		}
		if shown("grant_types_supported", "implicit") || shown("response_types_supported", "token") {
			t.Error("discovery shows it although nobody may use it")
		}
		for _, kind := range []string{"token", "id_token", "id_token token"} {
			if to := s.get(asks("web", webCallback, "response_type", kind)).location(t); answerIn(to).Get("error") != "unauthorized_client" {
				t.Errorf("%s where it is off: %s", kind, to)
			}
		}
		s.legacy()
		if !shown("grant_types_supported", "implicit") || !shown("response_types_supported", "id_token token") || !s.logs.contains("implicit grant; it is deprecated") {
			t.Error("neither discovery nor the log shows it")
		}
		if to := s.get(asks("legacy", webCallback)).location(t); answerIn(to).Get("error") != "unauthorized_client" {
			t.Errorf("a code for a client without that grant: %s", to)
		}
		refused(t, s.post("/oauth2/token", "", "", url.Values{"grant_type": {"implicit"}, "client_id": {"legacy"}}), 400, "unsupported_grant_type")
		for name, ask := range map[string][]string{
			"in the query":                 {"response_mode", "query"},
			"no nonce":                     {"nonce", ""},
			"an ID token without openid":   {"scope", "securitysystem.read"},
			"an ID token, and any scope":   {"scope", ""},
			"an unknown scope":             {"scope", "openid nonsense"},
			"a resource that there is not": {"resource", "https://evil.example"},
		} {
			to := s.get(asks("legacy", webCallback, append([]string{"response_type", "id_token token"}, ask...)...)).location(t)
			if q := answerIn(to); to.RawQuery != "" || q.Get("error") == "" || q.Get("state") != "the-state" || q.Get("iss") != s.url {
				t.Errorf("%s: %s", name, to)
			}
		}
	})
}

func TestTheImplicitGrantAnswersWithTokens(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.legacy()
		b := s.browser()
		b.code(asks("web", webCallback))
		for kind, want := range map[string][]string{
			"token":          {"access_token", "expires_in", "iss", "scope", "state", "token_type"},
			"id_token":       {"id_token", "iss", "state"},
			"id_token token": {"access_token", "expires_in", "id_token", "iss", "scope", "state", "token_type"},
			"token id_token": {"access_token", "expires_in", "id_token", "iss", "scope", "state", "token_type"},
		} {
			to := b.open(asks("legacy", webCallback, "response_type", kind, "code_challenge", "", "code_challenge_method", "", "scope", "openid email")).location(t)
			q := answerIn(to)
			var got []string
			for name := range q {
				got = append(got, name)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) || to.RawQuery != "" || !strings.HasPrefix(to.String(), webCallback+"#") {
				t.Errorf("%s: %v in %s", kind, got, to.Path)
			}
			access, idToken := s.logs.secret(q.Get("access_token")), s.logs.secret(q.Get("id_token"))
			if access != "" && (!s.accepted(access) || q.Get("token_type") != "Bearer" || q.Get("expires_in") != "300" || q.Get("scope") != "openid email") {
				t.Errorf("%s: the access token is not accepted, or not described: %v", kind, got)
			}
			if idToken == "" {
				continue
			}
			claims := claimsOf(t, idToken)
			half := sha256.Sum256([]byte(access))
			wantHash := any(base64.RawURLEncoding.EncodeToString(half[:16]))
			if access == "" {
				wantHash = nil
			}
			if claims["nonce"] != "the-nonce" || claims["aud"] != "legacy" || claims["at_hash"] != wantHash || claims["email"] != alice {
				t.Errorf("%s: %v", kind, claims)
			}
		}
	})
}

// TestTheImplicitGrantEndsWithItsSession: what it issued is under a grant like any other.
func TestTheImplicitGrantEndsWithItsSession(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.legacy()
		b := s.browser()
		hint := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback)).str("id_token")
		access := s.logs.secret(answerIn(b.open(asks("legacy", webCallback, "response_type", "token")).location(t)).Get("access_token"))
		if !s.accepted(access) {
			t.Fatal("not accepted at all")
		}
		if r := b.open("/oauth2/logout?id_token_hint=" + hint); r.status != http.StatusOK || s.accepted(access) {
			t.Errorf("signed out with %d, and accepted: %v", r.status, s.accepted(access))
		}
	})
}
