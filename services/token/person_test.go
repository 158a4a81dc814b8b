package token_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// claimsOf reads a token without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(payload, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnAccessTokenLivesForFiveMinutesUnlessToldOtherwise(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for name, r := range map[string]reply{"a person's": s.tokens(), "a client's": s.machine("service", serviceSecret)} {
			c := claimsOf(t, r.str("access_token"))
			if r.json["expires_in"] != 300.0 || c["exp"].(float64)-c["iat"].(float64) != 300 {
				t.Errorf("%s: expires_in %v, claims %v", name, r.json["expires_in"], c)
			}
		}
	})
}

// TestASubjectOutlivesTheAddress changes somebody's e-mail address: they are the same person to everybody, and what was
// said of them before stays as it was said.
func TestASubjectOutlivesTheAddress(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		const moved = "alice@elsewhere.example"
		before := s.tokens()
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET email = $1, email_key = $1`, moved); err != nil {
			t.Fatal(err)
		}
		info := s.get("/oauth2/userinfo", "Authorization", "Bearer "+before.str("access_token"))
		old := claimsOf(t, before.str("id_token"))
		if info.str("email") != moved || info.str("sub") != old["sub"] || old["email"] != alice {
			t.Errorf("UserInfo %s; ID token of before %v", info.body, old)
		}
		if page := s.browser().signIn(asks("web", webCallback), alice, alicePassword); page.status == http.StatusFound {
			t.Error("the address of before still signs in")
		}
		to := s.browser().signIn(asks("web", webCallback), moved, alicePassword).location(t)
		after := s.post("/oauth2/token", "web", webSecret, redeems(s.logs.secret(to.Query().Get("code")), webCallback))
		for _, name := range []string{"access_token", "id_token"} {
			if c := claimsOf(t, after.str(name)); c["sub"] != old["sub"] || c["email"] != moved {
				t.Errorf("%s after: %v", name, c)
			}
		}
	})
}

// TestAnAccessTokenSaysWhoseItIs to our own clients' services by name; those of others get to know what was allowed.
func TestAnAccessTokenSaysWhoseItIs(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		own := s.tokens()
		subject := claimsOf(t, own.str("id_token"))["sub"]
		c := claimsOf(t, own.str("access_token"))
		if subject == "" || c["sub"] != subject || c["name"] != "Alice" || c["email"] != alice || c["caller"] != "user" {
			t.Errorf("our own client's: %v", c)
		}
		c = claimsOf(t, s.partner(s.browser().consenting("scope", "openid securitysystem.read")).str("access_token"))
		if c["sub"] != subject || c["name"] != nil || c["email"] != nil {
			t.Errorf("another's, who was not told: %v", c)
		}
	})
}
