package token_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
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

// told are the names of the claims about a person in a document.
func told(document map[string]any) []string {
	names := slices.Sorted(maps.Keys(document))
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains([]string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"}, name)
	})
}

// TestClaimsAreAskedForOneByOne is OpenID Connect Core, section 5.5.
func TestClaimsAreAskedForOneByOne(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.everything()
		b := s.browser()
		b.code(asks("web", webCallback))
		sub := claimsOf(t, s.tokens().str("id_token"))["sub"].(string)
		for _, tc := range []struct {
			name, client, claims string
			userInfo, idToken    []string
		}{
			{"for UserInfo", "everything", `{"userinfo":{"given_name":null,"email":{"essential":true}}}`, []string{"email", "given_name"}, nil},
			{"for the ID token", "everything", `{"id_token":{"phone_number":{"value":"+1"},"auth_time":{"essential":true}}}`, nil, []string{"phone_number"}},
			{"for both", "everything", `{"id_token":{"address":null},"userinfo":{"locale":null}}`, []string{"locale"}, []string{"address"}},
			{"one that the client may not see", "web", `{"userinfo":{"phone_number":{"essential":true},"name":null}}`, []string{"name"}, nil},
			{"one that there is not", "everything", `{"userinfo":{"picture":{"essential":true}}}`, nil, nil},
			{"the person who is there", "everything", `{"id_token":{"sub":{"value":"` + sub + `"}}}`, nil, nil},
			{"an acr that is offered", "everything", `{"id_token":{"acr":{"essential":true,"values":["3","1"]}}}`, nil, nil},
			{"an acr that would be nice", "everything", `{"id_token":{"acr":{"values":["3"]}}}`, nil, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				to := b.open(asks(tc.client, webCallback, "scope", "openid", "claims", tc.claims)).location(t)
				r := s.post("/oauth2/token", tc.client, webSecret, redeems(s.logs.secret(to.Query().Get("code")), webCallback))
				renewed := s.post("/oauth2/token", tc.client, webSecret, renewal(r.str("refresh_token")))
				for name, answer := range map[string]reply{"at first": r, "renewed": renewed} {
					info := s.get("/oauth2/userinfo", "Authorization", "Bearer "+answer.str("access_token"))
					if got := told(info.json); info.status != 200 || !slices.Equal(got, tc.userInfo) {
						t.Errorf("%s: UserInfo tells %v, want %v", name, got, tc.userInfo)
					}
					idToken := claimsOf(t, answer.str("id_token"))
					if got := told(idToken); !slices.Equal(got, tc.idToken) || idToken["auth_time"] == nil || idToken["acr"] != "1" {
						t.Errorf("%s: the ID token tells %v, want %v", name, idToken, tc.idToken)
					}
				}
			})
		}
		for name, claims := range map[string]string{
			"another person": `{"id_token":{"sub":{"value":"usr_somebody_else"}}}`,
			"two persons":    `{"id_token":{"sub":{"value":"` + sub + `"}},"userinfo":{"sub":{"value":"usr_somebody_else"}}}`,
		} {
			if to := b.open(asks("web", webCallback, "prompt", "none", "claims", claims)).location(t); to.Query().Get("error") != "login_required" {
				t.Errorf("%s: %s", name, to)
			}
		}
		if to := b.open(asks("web", webCallback, "claims", `{"id_token":{"sub":{"value":"usr_somebody_else"}}}`)).location(t); to.Path != "/login" {
			t.Errorf("another person, who may sign in: %s", to)
		}
	})
}

// TestASingleClaimIsConsentedTo: a third party gets nothing by name that it could not get by scope without asking.
func TestASingleClaimIsConsentedTo(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.allow(b.signIn(asks("partner", partnerURI, "scope", "openid"), alice, alicePassword))
		more := asks("partner", partnerURI, "scope", "openid", "claims", `{"userinfo":{"email":null}}`)
		consent := b.open(more)
		page := b.open(consent.location(t).RequestURI())
		if !strings.Contains(page.body, "see your e-mail address") {
			t.Fatalf("not asked: %d %s", page.status, page.body)
		}
		to := b.allow(b.open(more)).location(t)
		r := s.post("/oauth2/token", "partner", partnerSecret, redeems(s.logs.secret(to.Query().Get("code")), partnerURI))
		info := s.get("/oauth2/userinfo", "Authorization", "Bearer "+r.str("access_token"))
		if info.str("email") != alice || r.str("scope") != "openid" || claimsOf(t, r.str("access_token"))["email"] != nil {
			t.Errorf("UserInfo %s, scope %q", info.body, r.str("scope"))
		}
		if to := b.open(more).location(t); to.Query().Get("code") == "" {
			t.Errorf("asked again: %s", to)
		}
	})
}

// TestAThirdPartysIDTokenIsLean is OpenID Connect Core, section 5.4.
func TestAThirdPartysIDTokenIsLean(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		to := b.allow(b.signIn(asks("partner", partnerURI), alice, alicePassword)).location(t)
		r := s.post("/oauth2/token", "partner", partnerSecret, redeems(s.logs.secret(to.Query().Get("code")), partnerURI))
		if names := told(claimsOf(t, r.str("id_token"))); len(names) > 0 {
			t.Errorf("it tells %v", names)
		}
		if names := told(claimsOf(t, s.tokens().str("id_token"))); !slices.Contains(names, "name") || !slices.Contains(names, "email") {
			t.Errorf("that of an application of our own tells %v", names)
		}
	})
}

func renewal(refreshToken string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
}

// TestAnEssentialACRIsAskedFor where a session came of a sign-in elsewhere, of which no context is known.
func TestAnEssentialACRIsAskedFor(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		s.exec(`UPDATE sessions SET methods = ''`)
		essential := []string{"claims", `{"id_token":{"acr":{"essential":true}}}`}
		if to := b.open(asks("web", webCallback, append(essential, "prompt", "none")...)).location(t); to.Query().Get("error") != "login_required" {
			t.Errorf("silently: %s", to)
		}
		to := b.signIn(asks("web", webCallback, essential...), alice, alicePassword).location(t)
		r := s.post("/oauth2/token", "web", webSecret, redeems(s.logs.secret(to.Query().Get("code")), webCallback))
		if acr := claimsOf(t, r.str("id_token"))["acr"]; acr != "1" {
			t.Errorf("acr %v", acr)
		}
		back, _, _ := b.revisitOf(asks("web", webCallback, append(essential, "prompt", "login")...))
		s.exec(`UPDATE sessions SET methods = ''`)
		if to := b.open(back).location(t); to.Query().Get("error") != "unmet_authentication_requirements" {
			t.Errorf("signed in without one: %s", to)
		}
	})
}

// TestWhatWasAskedByNameIsNotPassedOn to who exchanges the token for one of their own.
func TestWhatWasAskedByNameIsNotPassedOn(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		code := s.browser().code(asks("web", webCallback, "scope", "openid", "claims", `{"userinfo":{"email":null}}`))
		own := s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)).str("access_token")
		other := s.exchange("customer", own, "audience", "urn:realguardio:token")
		mine := s.get("/oauth2/userinfo", "Authorization", "Bearer "+own)
		theirs := s.get("/oauth2/userinfo", "Authorization", "Bearer "+other.str("access_token"))
		if mine.str("email") != alice || theirs.status != http.StatusOK || len(told(theirs.json)) > 0 {
			t.Errorf("the client is told %s; who has exchanged (%d), %d %s", mine.body, other.status, theirs.status, theirs.body)
		}
	})
}

// TestWhoIsShownAnAccount asks for the person's own account by tokens of several scopes: no RPC tells an application what the
// person has not let it know.
func TestWhoIsShownAnAccount(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		me := tokenv1.NewAccountServiceClient(s.serveRPC().dial("customer"))
		if _, err := s.db.Exec(t.Context(), profileOfAlice); err != nil {
			t.Fatal(err)
		}
		if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "partner", Name: "Partner", Secret: partnerSecret, Grants: codeGrants,
			RedirectURIs: []string{partnerURI}, Scopes: []string{"openid", "profile", "email", "address", "phone", "securitysystem.read", "account.read"}}); err != nil {
			t.Fatal(err)
		}
		profile, email := []string{"name", "given_name", "family_name", "locale", "zoneinfo"}, []string{"email", "email_verified"}
		for scope, want := range map[string][]string{
			"securitysystem.read":        nil,
			"openid":                     nil,
			"openid profile":             profile,
			"email securitysystem.read":  email,
			"phone":                      {"phone_number"},
			"address":                    {"address"},
			"profile email phone":        slices.Concat(profile, email, []string{"phone_number"}),
			"account.read":               slices.Concat(profile, email, []string{"phone_number", "address", "create_time"}),
			"securitysystem.read openid": nil,
		} {
			tokens := s.partner(s.browser().consenting("scope", scope))
			got, err := me.GetMe(meshtest.As(t.Context(), tokens.str("access_token")), &tokenv1.GetMeRequest{})
			if err != nil {
				t.Fatalf("%s: %v", scope, err)
			}
			var told []string
			got.GetUser().ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
				if field.Name() != "id" && field.Name() != "roles" { // they stand in the token
					told = append(told, string(field.Name()))
				}
				return true
			})
			slices.Sort(told)
			slices.Sort(want)
			if !slices.Equal(told, want) {
				t.Errorf("%s: told %v, want %v", scope, told, want)
			}
		}
	})
}
