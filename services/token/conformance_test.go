package token_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/realguardio/realguardio/services/token"
)

// relyingParty is a client as the Foundation's conformance suite has it: a confidential third party that asks for openid
// alone, sends no PKCE challenge, and holds what it gets to OpenID Connect Core. docs/conformance.md says which test stands
// for which of the suite's modules.
type relyingParty struct {
	*server
	id, redirect string
}

const partyLogout = "https://party.example.com/bye"

func (s *server) relyingParty(id string) *relyingParty {
	s.t.Helper()
	p := &relyingParty{s, id, "https://party.example.com/" + id + "/callback"}
	s.client(token.ClientSpec{ID: id, Name: "Party", Secret: partnerSecret, Grants: codeGrants, RedirectURIs: []string{p.redirect},
		PostLogoutURIs: []string{partyLogout}, Scopes: []string{"openid", "profile", "email", "address", "phone", "offline_access"}})
	s.exec(`UPDATE clients SET pkce_optional = TRUE WHERE id = '` + id + `'`)
	return p
}

// asks is the party's request, changed by pairs of name and value.
func (p *relyingParty) asks(changes ...string) string {
	return asks(p.id, p.redirect, append([]string{"scope", "openid", "code_challenge", "", "code_challenge_method", ""}, changes...)...)
}

// answer walks through whatever pages stand between a request and its answer, as alice, who allows everything.
func (p *relyingParty) answer(b *browser, first reply) url.Values {
	p.t.Helper()
	for r := first; ; {
		to := r.location(p.t)
		switch to.Path {
		case "/login":
			form := b.open(to.RequestURI()).form()
			form.Set("username", alice)
			form.Set("password", alicePassword)
			r = b.submit("/login", form)
		case "/oauth2/authorize":
			r = b.open(to.RequestURI())
		case "/consent":
			r = b.allow(r)
		default:
			if !strings.HasPrefix(to.String(), p.redirect+"?") {
				p.t.Fatalf("sent to %s", to)
			}
			p.logs.secret(to.Query().Get("code"))
			return to.Query()
		}
	}
}

// redeem exchanges a code.
func (p *relyingParty) redeem(code string) reply {
	p.t.Helper()
	return p.post("/oauth2/token", p.id, partnerSecret, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.redirect}})
}

// tokens goes through a whole flow and checks what Core says of every one of them.
func (p *relyingParty) tokens(b *browser, changes ...string) (reply, map[string]any) {
	p.t.Helper()
	q := p.answer(b, b.open(p.asks(changes...)))
	if q.Get("state") != "the-state" || q.Get("iss") != p.url || len(q.Get("code")) < 40 || len(q) != 3 {
		p.t.Errorf("answered with %v", q)
	}
	r := p.redeem(q.Get("code"))
	if r.status != http.StatusOK || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Pragma") != "no-cache" || r.str("token_type") != "Bearer" || r.json["expires_in"] != 300.0 {
		p.t.Fatalf("%d %s", r.status, r.body)
	}
	provider, err := oidc.NewProvider(p.t.Context(), p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	idToken, err := provider.Verifier(&oidc.Config{ClientID: p.id, SupportedSigningAlgs: []string{"RS256"}, Now: p.clock.Now}).Verify(p.t.Context(), r.str("id_token"))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := idToken.VerifyAccessToken(r.str("access_token")); err != nil {
		p.t.Error(err)
	}
	return r, claimsOf(p.t, r.str("id_token"))
}

func (p *relyingParty) userInfo(access string) reply {
	p.t.Helper()
	return p.get("/oauth2/userinfo", "Authorization", "Bearer "+access)
}

func TestThePlainCodeFlow(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		r, claims := p.tokens(s.browser())
		if extra := told(claims); len(extra) > 0 || claims["nonce"] != "the-nonce" || claims["auth_time"] == nil {
			t.Errorf("the ID token says %v", claims)
		}
		if info := p.userInfo(r.str("access_token")); info.status != 200 || info.str("sub") != claims["sub"] || len(info.json) != 1 ||
			info.header.Get("Content-Type") != "application/json" {
			t.Errorf("UserInfo: %d %s", info.status, info.body)
		}
		if _, claims := p.tokens(s.browser(), "nonce", ""); claims["nonce"] != nil {
			t.Errorf("a nonce that nobody sent: %v", claims)
		}
		p.tokens(s.browser(), "scope", "email openid") // in any order
	})
}

func TestTheSecretCanBePosted(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		b := s.browser()
		form := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {p.redirect}, "client_id": {p.id}, "client_secret": {partnerSecret},
			"code": {p.answer(b, b.open(p.asks())).Get("code")}}
		if r := s.post("/oauth2/token", "", "", form); r.status != http.StatusOK || r.str("id_token") == "" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestARequestCanBePosted(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		_, query, _ := strings.Cut(p.asks(), "?")
		form, _ := url.ParseQuery(query)
		b := s.browser()
		q := p.answer(b, b.submit("/oauth2/authorize", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://party.example.com"))
		if r := p.redeem(q.Get("code")); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestUserInfoIsAskedInThreeWays(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		r, claims := p.tokens(s.browser())
		access := r.str("access_token")
		post, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/userinfo", nil)
		post.Header.Set("Authorization", "Bearer "+access)
		for name, info := range map[string]reply{
			"GET":                  p.userInfo(access),
			"POST with its header": s.do(plain, post),
			"POST with its body":   s.post("/oauth2/userinfo", "", "", url.Values{"access_token": {access}}),
		} {
			if info.status != http.StatusOK || info.str("sub") != claims["sub"] {
				t.Errorf("%s: %d %s", name, info.status, info.body)
			}
		}
	})
}

// TestWhetherSomebodySignsInAgain is prompt, max_age and id_token_hint, by what the ID tokens say before and after.
func TestWhetherSomebodySignsInAgain(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		for _, tc := range []struct {
			name  string
			ask   []string
			again bool
		}{
			{"prompt=login", []string{"prompt", "login"}, true},
			{"prompt=none", []string{"prompt", "none"}, false},
			{"max_age=1", []string{"max_age", "1"}, true},
			{"max_age=10000", []string{"max_age", "10000"}, false},
			{"nothing", nil, false},
		} {
			t.Run(tc.name, func(t *testing.T) {
				b := s.browser()
				_, before := p.tokens(b)
				s.clock.Advance(3 * time.Second)
				_, after := p.tokens(b, tc.ask...)
				if before["sub"] != after["sub"] || (after["auth_time"].(float64) > before["auth_time"].(float64)) != tc.again {
					t.Errorf("signed in at %v and %v", before["auth_time"], after["auth_time"])
				}
			})
		}
		b := s.browser()
		first, before := p.tokens(b)
		if _, after := p.tokens(b, "prompt", "none", "id_token_hint", first.str("id_token")); after["sub"] != before["sub"] || after["auth_time"] != before["auth_time"] {
			t.Errorf("by a hint: %v and %v", before, after)
		}
		stranger := s.browser()
		q := stranger.open(p.asks("prompt", "none")).location(t).Query()
		if q.Get("error") != "login_required" || q.Get("state") != "the-state" || q.Has("code") || len(q) != 4 {
			t.Errorf("prompt=none of nobody: %v", q)
		}
	})
}

func TestTheLoginPageKnowsWhoIsExpected(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		b := s.browser()
		page := b.open(b.open(p.asks("login_hint", alice)).location(t).RequestURI())
		if !strings.Contains(page.body, `name="username"`) || !strings.Contains(page.body, `value="`+alice+`"`) {
			t.Errorf("%s", page.body)
		}
	})
}

// TestScopesOfAThirdPartyAreToldByUserInfo, and by the ID token only what was asked of it by name.
func TestScopesOfAThirdPartyAreToldByUserInfo(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		s.exec(profileOfAlice)
		for scope, want := range map[string][]string{
			"openid profile": {"family_name", "given_name", "locale", "name", "roles", "updated_at", "zoneinfo"},
			"openid email":   {"email", "email_verified", "preferred_username"},
			"openid address": {"address"},
			"openid phone":   {"phone_number", "phone_number_verified"},
			"openid address email phone profile": {"address", "email", "email_verified", "family_name", "given_name", "locale", "name", "phone_number",
				"phone_number_verified", "preferred_username", "roles", "updated_at", "zoneinfo"},
		} {
			r, claims := p.tokens(s.browser(), "scope", scope)
			info := p.userInfo(r.str("access_token"))
			if got := told(info.json); !slices.Equal(got, want) || len(told(claims)) > 0 || info.str("sub") != claims["sub"] {
				t.Errorf("%s: UserInfo tells %v, the ID token %v", scope, got, told(claims))
			}
		}
		r, claims := p.tokens(s.browser(), "claims", `{"userinfo":{"name":{"essential":true}}}`)
		if info := p.userInfo(r.str("access_token")); info.str("name") != "Alice" || len(told(claims)) > 0 {
			t.Errorf("an essential name: UserInfo %s, the ID token %v", info.body, claims)
		}
	})
}

// TestARequestObjectIsRefusedByName: neither by value nor by reference, nor as a way around a redirect URI.
func TestARequestObjectIsRefusedByName(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		const unsigned = "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL3BhcnR5LmV4YW1wbGUuY29tL3BhcnR5L2NhbGxiYWNrIn0."
		for want, ask := range map[string][]string{
			"request_not_supported":     {"request", unsigned},
			"request_uri_not_supported": {"request_uri", "https://party.example.com/request.jwt#hash"},
		} {
			q := s.browser().open(p.asks(ask...)).location(t).Query()
			if q.Get("error") != want || q.Get("state") != "the-state" || q.Get("iss") != s.url {
				t.Errorf("%v", q)
			}
		}
		if r := s.browser().open(p.asks("request", unsigned, "redirect_uri", "https://party.example.com/elsewhere")); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("with a redirect URI outside that is not registered: %d to %q", r.status, r.header.Get("Location"))
		}
	})
}

// TestACodeOfAThirdPartyIsSpentOnce: at once and half a minute later.
func TestACodeOfAThirdPartyIsSpentOnce(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p := s.relyingParty("party")
		for _, later := range []time.Duration{0, 31 * time.Second} {
			b := s.browser()
			code := p.answer(b, b.open(p.asks())).Get("code")
			r := p.redeem(code)
			s.clock.Advance(later)
			refused(t, p.redeem(code), 400, "invalid_grant")
			if s.accepted(r.str("access_token")) {
				t.Errorf("after %v: what the code gave is still accepted", later)
			}
		}
	})
}

// TestWhatIsRenewedStaysItsPersons is OpenID Connect Core, section 12.2.
func TestWhatIsRenewedStaysItsPersons(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		p, other := s.relyingParty("party"), s.relyingParty("other")
		r, before := p.tokens(s.browser(), "scope", "openid offline_access", "prompt", "consent")
		s.clock.Advance(2 * time.Second)
		refused(t, s.post("/oauth2/token", other.id, partnerSecret, renewal(r.str("refresh_token"))), 400, "invalid_grant")
		renewed := s.post("/oauth2/token", p.id, partnerSecret, renewal(r.str("refresh_token")))
		if renewed.status != http.StatusOK || renewed.str("access_token") == r.str("access_token") {
			t.Fatalf("%d %s", renewed.status, renewed.body)
		}
		after := claimsOf(t, renewed.str("id_token"))
		for _, name := range []string{"iss", "sub", "aud", "auth_time"} {
			if before[name] != after[name] {
				t.Errorf("%s was %v and is %v", name, before[name], after[name])
			}
		}
		if after["iat"].(float64) <= before["iat"].(float64) || after["nonce"] != nil && after["nonce"] != before["nonce"] {
			t.Errorf("%v, renewed as %v", before, after)
		}
		if p.userInfo(renewed.str("access_token")).status != http.StatusOK {
			t.Error("the renewed access token is not accepted")
		}
		if scopeless, _ := p.tokens(s.browser()); scopeless.str("refresh_token") != "" {
			t.Error("a refresh token that was not asked for")
		}
		withPKCE := asks(p.id, p.redirect, "scope", "openid")
		b := s.browser()
		if r := s.post("/oauth2/token", p.id, partnerSecret, redeems(p.answer(b, b.open(withPKCE)).Get("code"), p.redirect)); r.status != http.StatusOK {
			t.Errorf("with PKCE all the same: %d %s", r.status, r.body)
		}
	})
}
