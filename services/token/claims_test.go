package token_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/realguardio/realguardio/services/token"
)

const profileOfAlice = `UPDATE users SET given_name = 'Alice', family_name = 'Liddell', locale = 'en-GB', zoneinfo = 'Europe/London',
	phone_number = '+441865276492', address = '{"locality":"Oxford","country":"United Kingdom"}' WHERE email_key = '` + alice + `'`

// everything is a client that may ask for all that is known of a person.
func (s *server) everything() {
	s.t.Helper()
	if _, err := s.EnsureClient(s.t.Context(), token.ClientSpec{ID: "everything", Name: "Everything", Secret: webSecret, Grants: codeGrants, FirstParty: true,
		RedirectURIs: []string{webCallback}, Scopes: []string{"openid", "profile", "email", "address", "phone", "offline_access"}}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.db.Exec(s.t.Context(), profileOfAlice); err != nil {
		s.t.Fatal(err)
	}
}

// TestScopesAskForClaims is OpenID Connect Core, section 5.4.
func TestScopesAskForClaims(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.everything()
		profile := []string{"family_name", "given_name", "locale", "name", "roles", "updated_at", "zoneinfo"}
		email := []string{"email", "email_verified", "preferred_username"}
		phone := []string{"phone_number", "phone_number_verified"}
		for _, tc := range []struct {
			scope string
			want  []string
		}{
			{"openid", nil},
			{"openid profile", profile},
			{"openid email", email},
			{"openid phone", phone},
			{"openid address", []string{"address"}},
			{"openid profile email phone address", slices.Concat(profile, email, phone, []string{"address"})},
		} {
			t.Run(tc.scope, func(t *testing.T) {
				code := s.browser().code(asks("everything", webCallback, "scope", tc.scope))
				r := s.post("/oauth2/token", "everything", webSecret, redeems(code, webCallback))
				info := s.get("/oauth2/userinfo", "Authorization", "Bearer "+r.str("access_token"))
				if got, want := slices.Sorted(maps.Keys(info.json)), slices.Sorted(slices.Values(append(tc.want, "sub"))); !slices.Equal(got, want) {
					t.Errorf("UserInfo tells %v, want %v", got, want)
				}
				if address, ok := info.json["address"].(map[string]any); ok && (address["locality"] != "Oxford" || len(address) != 2) {
					t.Errorf("address: %v", address)
				}
			})
		}
	})
}
