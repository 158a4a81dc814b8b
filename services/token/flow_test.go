package token_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// TestAForeignClientWorksUnchanged is code + PKCE + nonce, refresh, UserInfo and client credentials by clients that others
// wrote, configured from the issuer alone.
func TestAForeignClientWorksUnchanged(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		ctx := t.Context()
		provider, err := oidc.NewProvider(ctx, s.url)
		if err != nil {
			t.Fatal(err)
		}
		config := oauth2.Config{ClientID: "web", ClientSecret: webSecret, Endpoint: provider.Endpoint(), RedirectURL: webCallback,
			Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}}
		pkce := oauth2.GenerateVerifier()
		request := config.AuthCodeURL("s1", oidc.Nonce("n1"), oauth2.S256ChallengeOption(pkce))
		back := s.browser().signIn(strings.TrimPrefix(request, s.url), alice, alicePassword).location(t)
		if back.Query().Get("state") != "s1" || back.Query().Get("iss") != s.url {
			t.Fatalf("sent back to %s", back)
		}
		tokens, err := config.Exchange(ctx, s.logs.secret(back.Query().Get("code")), oauth2.VerifierOption(pkce))
		if err != nil {
			t.Fatal(err)
		}
		idToken, err := provider.Verifier(&oidc.Config{ClientID: "web", SupportedSigningAlgs: []string{"ES256"}}).
			Verify(ctx, tokens.Extra("id_token").(string))
		if err != nil {
			t.Fatal(err)
		}
		if err := idToken.VerifyAccessToken(tokens.AccessToken); err != nil {
			t.Error(err)
		}
		var claims struct {
			Name, Email, Sid string
			AuthTime         int64 `json:"auth_time"`
		}
		if err := idToken.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if idToken.Nonce != "n1" || claims.Name != "Alice" || claims.Email != alice || claims.Sid == "" || claims.AuthTime == 0 {
			t.Errorf("ID token: nonce %q, %+v", idToken.Nonce, claims)
		}
		if strings.Contains(idToken.Subject, "@") {
			t.Errorf("subject %q is not opaque", idToken.Subject)
		}

		tokens.Expiry = time.Now().Add(-time.Minute)
		renewed, err := config.TokenSource(ctx, tokens).Token()
		if err != nil {
			t.Fatal(err)
		}
		if renewed.AccessToken == tokens.AccessToken || renewed.RefreshToken == tokens.RefreshToken {
			t.Error("a refresh changed nothing")
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(renewed))
		if err != nil || info.Subject != idToken.Subject || info.Email != alice || !info.EmailVerified {
			t.Errorf("UserInfo: %+v, %v", info, err)
		}

		machine := clientcredentials.Config{ClientID: "service", ClientSecret: serviceSecret, TokenURL: provider.Endpoint().TokenURL}
		if tok, err := machine.Token(ctx); err != nil || tok.AccessToken == "" {
			t.Errorf("client credentials: %v", err)
		}
	})
}

// TestAThirdPartyVerifiesRS256 is OpenID Connect's default algorithm, for clients that are not our own.
func TestAThirdPartyVerifiesRS256(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		page := b.open(b.signIn(asks("partner", partnerURI), alice, alicePassword).location(t).RequestURI())
		form := page.form()
		form.Set("decision", "allow")
		code := s.logs.secret(b.submit("/consent", form).location(t).Query().Get("code"))
		r := s.post("/oauth2/token", "partner", partnerSecret, redeems(code, partnerURI))
		provider, err := oidc.NewProvider(t.Context(), s.url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Verifier(&oidc.Config{ClientID: "partner", SupportedSigningAlgs: []string{"RS256"}}).
			Verify(t.Context(), r.str("id_token")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestANativeAppUsesALoopbackPort is RFC 8252: a public client with PKCE whose port was not known when it registered.
func TestANativeAppUsesALoopbackPort(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		codes := make(chan string, 1)
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { codes <- r.URL.Query().Get("code") }))
		defer app.Close()
		redirect := app.URL + "/cb"
		for uri, want := range map[string]string{nativeURI: "com.example.app:", redirect: "http:", "http://[::1]:4711/cb": "http:"} {
			b := s.browser()
			page := b.open(b.open(asks("native", uri)).location(t).RequestURI())
			if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "; form-action 'self' "+want+";") {
				t.Errorf("the answer cannot get to %s: %s", uri, policy)
			}
		}
		to := s.browser().signIn(asks("native", redirect), alice, alicePassword).location(t)
		if response, err := http.Get(to.String()); err != nil || response.Body.Close() != nil {
			t.Fatal(err)
		}
		form := redeems(s.logs.secret(<-codes), redirect)
		form.Set("client_id", "native")
		if r := s.post("/oauth2/token", "", "", form); r.status != http.StatusOK || r.str("refresh_token") == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
	})
}

func TestConsent(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		page := b.open(b.signIn(asks("partner", partnerURI), alice, alicePassword).location(t).RequestURI())
		if !strings.Contains(page.body, "Partner &lt;b&gt;&amp;") || strings.Contains(page.body, "Partner <b>") {
			t.Error("the client's name is not escaped")
		}
		// Its address may send the browser on to another one of the partner's.
		if !strings.Contains(page.header.Get("Content-Security-Policy"), "form-action 'self' https:;") {
			t.Errorf("policy: %s", page.header.Get("Content-Security-Policy"))
		}
		form := page.form()
		form.Set("decision", "deny")
		if to := b.submit("/consent", form).location(t); to.Query().Get("error") != "access_denied" || to.Query().Get("fixed") != "1" {
			t.Errorf("denied: %s", to)
		}
		if to := b.open(asks("partner", partnerURI, "prompt", "none")).location(t); to.Query().Get("error") != "consent_required" {
			t.Errorf("denied, then prompt=none: %s", to)
		}
		// What is asked for is in our store: a form that asks for more, or for another client, changes nothing.
		page = b.open(b.open(asks("partner", partnerURI)).location(t).RequestURI())
		form = page.form()
		form.Set("decision", "allow")
		form.Set("scope", "openid admin")
		form.Set("client_id", "web")
		code := s.logs.secret(b.submit("/consent", form).location(t).Query().Get("code"))
		r := s.post("/oauth2/token", "partner", partnerSecret, redeems(code, partnerURI))
		if r.str("scope") != "openid profile email securitysystem.read" {
			t.Errorf("scope %q", r.str("scope"))
		}
		if again := b.submit("/consent", form); again.status != http.StatusForbidden {
			t.Errorf("the same consent twice: %d", again.status)
		}
		if to := b.open(asks("partner", partnerURI, "prompt", "none")).location(t); to.Query().Get("code") == "" {
			t.Errorf("consent is not remembered: %s", to)
		}
		if to := b.open(asks("partner", partnerURI, "prompt", "none", "scope", "openid securitysystem.arm")).location(t); to.Query().Get("error") != "consent_required" {
			t.Errorf("more than was consented to: %s", to)
		}
	})
}

// TestWhoAsksForNothingAsksWhoSomebodyIs is a third party without any scope: its tokens say who the person is.
func TestWhoAsksForNothingAsksWhoSomebodyIs(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		nosy := token.ClientSpec{ID: "nosy", Name: "Nosy", Secret: partnerSecret, RedirectURIs: []string{partnerURI},
			Grants: []string{"authorization_code", "implicit", oauth.GrantDeviceCode}}
		if _, err := s.EnsureClient(t.Context(), nosy); err != nil {
			t.Fatal(err)
		}
		alices := s.user(alice, alicePassword)
		b := s.atDevicePage(alice, alicePassword)
		request := asks("nosy", partnerURI, "scope", "")
		for _, request := range []string{request, asks("nosy", partnerURI, "scope", "", "response_type", "token")} {
			to := b.open(request).location(t)
			if to.Path != "/consent" {
				t.Fatalf("not asked: %s", to)
			}
			if page := b.open(to.RequestURI()); !strings.Contains(page.body, "know that it is you") {
				t.Errorf("asked for nothing: %s", page.body)
			}
		}
		if to := b.open(asks("nosy", partnerURI, "scope", "", "prompt", "none")).location(t); to.Query().Get("error") != "consent_required" {
			t.Errorf("without a page: %s", to)
		}
		form := b.open(b.open(request).location(t).RequestURI()).form()
		form.Set("decision", "allow")
		code := s.logs.secret(b.submit("/consent", form).location(t).Query().Get("code"))
		if r := s.post("/oauth2/token", "nosy", partnerSecret, redeems(code, partnerURI)); r.status != http.StatusOK || r.str("id_token")+r.str("scope") != "" {
			t.Errorf("%d %s", r.status, r.body)
		}
		again := s.logs.secret(b.open(request).location(t).Query().Get("code"))
		device := s.post("/oauth2/device_authorization", "nosy", partnerSecret, url.Values{})
		b.answers(device.str("user_code"), "allow")
		if err := s.OAuth().RevokeConsent(t.Context(), alices, "nosy"); err != nil {
			t.Fatal(err)
		}
		refused(t, s.post("/oauth2/token", "nosy", partnerSecret, redeems(again, partnerURI)), http.StatusBadRequest, "invalid_grant")
		refused(t, s.post("/oauth2/token", "nosy", partnerSecret, url.Values{"grant_type": {oauth.GrantDeviceCode}, "device_code": {device.str("device_code")}}),
			http.StatusBadRequest, "invalid_grant")
		if to := b.open(request).location(t); to.Path != "/consent" {
			t.Errorf("taken back, and not asked: %s", to)
		}
	})
}

// TestSingleSignOn is also prompt, max_age, id_token_hint.
func TestSingleSignOn(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		bob := s.user("bob@foo.example", "another password")
		b := s.browser()
		if to := b.open(asks("web", webCallback, "prompt", "none")).location(t); to.Query().Get("error") != "login_required" || to.Query().Get("state") != "the-state" {
			t.Errorf("nobody signed in: %s", to)
		}
		if b.cookie("rgt_browser") != "" || b.cookie("rgt_login") != "" {
			t.Error("prompt=none made a cookie")
		}
		first := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		hint := first.str("id_token")
		for _, tc := range []struct {
			name string
			ask  []string
			want string // code, login, or an error
		}{
			{"another client needs no password", []string{"client_id", "native", "redirect_uri", nativeURI}, "code"},
			{"prompt=none is enough now", []string{"prompt", "none"}, "code"},
			{"prompt=login asks again", []string{"prompt", "login"}, "login"},
			{"max_age=0 asks again", []string{"max_age", "0"}, "login"},
			{"a long max_age does not", []string{"max_age", "3600"}, "code"},
			{"prompt=none with a max_age that has passed", []string{"max_age", "0", "prompt", "none"}, "login_required"},
			{"a hint of the same person", []string{"id_token_hint", hint, "prompt", "none"}, "code"},
			{"a forged hint", []string{"id_token_hint", hint[:len(hint)-4] + "AAAA", "prompt", "none"}, "login_required"},
			{"an access token as hint", []string{"id_token_hint", first.str("access_token"), "prompt", "none"}, "login_required"},
			{"an access token as hint, where a page may be shown", []string{"id_token_hint", first.str("access_token")}, "login_required"},
			{"a refresh token as hint", []string{"id_token_hint", first.str("refresh_token")}, "login_required"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				s.clock.Advance(time.Second)
				to := b.open(asks("web", webCallback, tc.ask...)).location(t)
				got := to.Query().Get("error")
				switch {
				case to.Path == "/login":
					got = "login"
				case to.Query().Has("code"):
					got = "code"
				}
				if got != tc.want {
					t.Errorf("got %s, want %s: %s", got, tc.want, to)
				}
			})
		}
		other := s.browser()
		to := other.signIn(asks("web", webCallback), "bob@foo.example", "another password").location(t)
		bobs := s.post("/oauth2/token", "web", webSecret, redeems(s.logs.secret(to.Query().Get("code")), webCallback))
		if to := b.open(asks("web", webCallback, "id_token_hint", bobs.str("id_token"), "prompt", "none")).location(t); to.Query().Get("error") != "login_required" {
			t.Errorf("hint of %s: %s", bob, to)
		}
	})
}

func TestSigningInAgainRenewsTheSession(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("bob@foo.example", "another password")
		b := s.browser()
		first := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		before := b.cookie("rgt_login")
		s.clock.Advance(time.Minute)

		b.signIn(asks("web", webCallback, "prompt", "login"), alice, alicePassword)
		if b.cookie("rgt_login") == before {
			t.Error("the cookie stayed the same")
		}
		if !s.accepted(first.str("access_token")) {
			t.Error("the same person lost what they had")
		}
		thief := s.browser()
		u, _ := url.Parse(s.url)
		thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: "rgt_login", Value: before}})
		if to := thief.open(asks("web", webCallback)).location(t); to.Path != "/login" {
			t.Errorf("the old cookie still signs in: %s", to)
		}

		b.signIn(asks("web", webCallback, "prompt", "login"), "bob@foo.example", "another password")
		if s.accepted(first.str("access_token")) {
			t.Error("another person signed in, and the first one's session lives on")
		}
	})
}

func TestLogout(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		tokens := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		alive := func() bool { return s.accepted(tokens.str("access_token")) }
		logout := func(q url.Values) reply { return b.open("/oauth2/logout?" + q.Encode()) }

		if page := logout(url.Values{}); page.status != http.StatusOK || !strings.Contains(page.body, "Sign out?") || !alive() {
			t.Fatalf("without a hint: %d, alive %v", page.status, alive())
		}
		for name, hint := range map[string]string{
			"nonsense":                    "x.y.z",
			"an access token":             tokens.str("access_token"),
			"a refresh token":             tokens.str("refresh_token"),
			"a part's access token":       s.machine("service", serviceSecret).str("access_token"),
			"one whose signature is gone": tokens.str("id_token")[:strings.LastIndexByte(tokens.str("id_token"), '.')+1],
		} {
			page := logout(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://app.example.com/bye"}})
			if page.status != http.StatusBadRequest || page.header.Get("Location") != "" || !alive() {
				t.Errorf("%s for a hint: %d to %q, alive %v", name, page.status, page.header.Get("Location"), alive())
			}
		}
		if r := b.submit("/oauth2/logout/confirm", url.Values{"proof": {"guess"}}); r.status != http.StatusForbidden || !alive() {
			t.Errorf("forged confirmation: %d", r.status)
		}
		form := logout(url.Values{}).form()
		if r := b.submit("/oauth2/logout/confirm", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); r.status != http.StatusForbidden || !alive() {
			t.Errorf("confirmation from another site: %d", r.status)
		}
		hinted := url.Values{"id_token_hint": {tokens.str("id_token")}, "post_logout_redirect_uri": {"https://app.example.com/bye"}, "state": {"x y"}}
		to := logout(hinted).location(t)
		if to.String() != "https://app.example.com/bye?state=x+y" {
			t.Errorf("sent to %s", to)
		}
		if alive() {
			t.Error("the access token outlived the session")
		}
		refused(t, s.refresh(tokens.str("refresh_token")), 400, "invalid_grant")
		if to := b.open(asks("web", webCallback, "prompt", "none")).location(t); to.Query().Get("error") != "login_required" {
			t.Errorf("still signed in: %s", to)
		}
		for _, uri := range []string{"https://evil.example/", "https://app.example.com/bye?x=1", "https://app.example.com/bye/", "//evil"} {
			hinted.Set("post_logout_redirect_uri", uri)
			if r := logout(hinted); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
				t.Errorf("%s: %d %s", uri, r.status, r.header.Get("Location"))
			}
		}
	})
}

func TestUserInfoIsFresherThanTheIDToken(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		tokens := s.tokens()
		if _, err := s.db.Exec(context.Background(), `UPDATE users SET name = 'Alice Liddell'`); err != nil {
			t.Fatal(err)
		}
		r := s.get("/oauth2/userinfo", "Authorization", "Bearer "+tokens.str("access_token"))
		if r.str("name") != "Alice Liddell" {
			t.Errorf("UserInfo: %s", r.body)
		}
		posted := s.post("/oauth2/userinfo", "", "", url.Values{"access_token": {tokens.str("access_token")}})
		if posted.str("name") != "Alice Liddell" {
			t.Errorf("UserInfo by POST: %s", posted.body)
		}
	})
}
