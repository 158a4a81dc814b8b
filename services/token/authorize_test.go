package token_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token"
)

// client registers a client besides those of all tests.
func (s *server) client(spec token.ClientSpec) {
	s.t.Helper()
	if spec.Secret == "" && !spec.Public {
		spec.Secret = webSecret
	}
	if _, err := s.EnsureClient(s.t.Context(), spec); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) exec(statement string) {
	s.t.Helper()
	if _, err := s.db.Exec(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
}

// allow answers a consent page with yes and returns what the client is told.
func (b *browser) allow(consent reply) reply {
	b.t.Helper()
	page := b.open(consent.location(b.t).RequestURI())
	form := page.form()
	form.Set("decision", "allow")
	return b.submit("/consent", form)
}

var (
	posted = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	script = regexp.MustCompile(`<script nonce="([^"]*)">document\.forms\[0\]\.submit\(\)</script>`)
)

// TestAnAnswerTravelsAsItsClientAsks is OAuth 2.0 Multiple Response Types, section 2.1, and Form Post Response Mode.
func TestAnAnswerTravelsAsItsClientAsks(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		for mode, separator := range map[string]string{"": "?", "query": "?", "fragment": "#"} {
			for name, ask := range map[string]string{"code": "", "error": "openid nonsense"} {
				request := asks("web", webCallback, "response_mode", mode)
				if ask != "" {
					request = asks("web", webCallback, "response_mode", mode, "scope", ask)
				}
				to := b.open(request).location(t)
				if q := answerIn(to); !strings.HasPrefix(to.String(), webCallback+separator) || q.Get(name) == "" || q.Get("state") != "the-state" || q.Get("iss") != s.url {
					t.Errorf("%s by %q: %s", name, mode, to)
				}
			}
		}
	})
}

func TestAnAnswerCanBePosted(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		const state = `"><script>alert(1)</script>&amp;`
		for name, tc := range map[string]struct {
			ask  []string
			want string
		}{"a code": {nil, "code"}, "an error": {[]string{"scope", "openid nonsense"}, "error"}} {
			page := b.open(asks("web", webCallback, append([]string{"response_mode", "form_post", "state", state}, tc.ask...)...))
			if page.status != http.StatusOK || page.header.Get("Location") != "" || page.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d to %q", name, page.status, page.header.Get("Location"))
			}
			form := page.form()
			if html.UnescapeString(form.Get("state")) != state || html.UnescapeString(form.Get("iss")) != s.url || form.Get(tc.want) == "" {
				t.Errorf("%s: posts %v", name, form)
			}
			if m := posted.FindStringSubmatch(page.body); m == nil || m[1] != webCallback {
				t.Errorf("%s: posts to %v", name, m)
			}
			if !strings.Contains(page.body, `<button class="primary" type="submit">`) || strings.Contains(page.body, "<script>alert") {
				t.Errorf("%s: %s", name, page.body)
			}
			m := script.FindStringSubmatch(page.body)
			if m == nil || len(m[1]) < 22 || strings.Count(page.body, "<script") != 1 {
				t.Fatalf("%s has no script, or several", name)
			}
			if want := "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'; script-src 'nonce-" + m[1] + "'"; page.header.Get("Content-Security-Policy") != want {
				t.Errorf("%s: %s", name, page.header.Get("Content-Security-Policy"))
			}
			if code := form.Get("code"); code != "" {
				if r := s.post("/oauth2/token", "web", webSecret, redeems(s.logs.secret(code), webCallback)); r.status != http.StatusOK {
					t.Errorf("its code: %d %s", r.status, r.body)
				}
			}
		}
		one, other := b.open(asks("web", webCallback, "response_mode", "form_post")), b.open(asks("web", webCallback, "response_mode", "form_post"))
		if script.FindString(one.body) == script.FindString(other.body) {
			t.Error("two pages have one nonce")
		}
		if to := b.open(asks("native", nativeURI, "response_mode", "form_post")).location(t); answerIn(to).Get("error") != "invalid_request" {
			t.Errorf("nothing can be posted to a program, and yet: %s", to)
		}
		if r := b.open(asks("web", "https://evil.example/", "response_mode", "form_post")); r.status != http.StatusBadRequest || strings.Contains(r.body, "evil.example") {
			t.Errorf("posted elsewhere: %d %s", r.status, r.body)
		}
	})
}

// TestAParameterWithoutAValueWasNotSent is RFC 6749, section 3.1.
func TestAParameterWithoutAValueWasNotSent(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		const empty = "&max_age=&prompt=&claims=&request=&request_uri=&registration=&response_mode=&resource=&id_token_hint=&login_hint="
		to := b.open(asks("web", webCallback) + empty).location(t)
		if to.Query().Get("code") == "" {
			t.Errorf("%s", to)
		}
		if to := b.open(asks("web", webCallback) + "&max_age=&max_age=").location(t); to.Query().Get("error") != "invalid_request" {
			t.Errorf("twice: %s", to)
		}
		if r := b.open(asks("web", "") + "&redirect_uri="); r.status != http.StatusBadRequest {
			t.Errorf("an address that is needed: %d", r.status)
		}
	})
}

func TestOnlyAConfidentialClientCanDoWithoutPKCE(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.exec(`UPDATE clients SET pkce_optional = TRUE WHERE id IN ('web', 'native')`)
		without := []string{"code_challenge", "", "code_challenge_method", ""}
		b := s.browser()
		code := b.code(asks("web", webCallback, without...))
		refused(t, s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)), 400, "invalid_grant") // a verifier of nothing
		plainly := redeems(code, webCallback)
		plainly.Del("code_verifier")
		if r := s.post("/oauth2/token", "web", webSecret, plainly); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
		for name, ask := range map[string][]string{
			"a method without a challenge": {"code_challenge", ""},
			"plain":                        {"code_challenge_method", "plain"},
			"a challenge too short":        {"code_challenge", "x"},
		} {
			if to := b.open(asks("web", webCallback, ask...)).location(t); answerIn(to).Get("error") != "invalid_request" {
				t.Errorf("%s: %s", name, to)
			}
		}
		if to := b.open(asks("native", nativeURI, without...)).location(t); answerIn(to).Get("error") != "invalid_request" {
			t.Errorf("a public client: %s", to)
		}
		var kept = redeems(b.code(asks("web", webCallback, "prompt", "login")), webCallback)
		kept.Del("code_verifier")
		refused(t, s.post("/oauth2/token", "web", webSecret, kept), 400, "invalid_grant") // who sent a challenge is held to it
	})
}

// TestWhoCouldBeAnybodyAsksEveryTime is RFC 8252, section 8.6.
func TestWhoCouldBeAnybodyAsksEveryTime(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		const loopback = "http://127.0.0.1:4711/cb"
		s.client(token.ClientSpec{ID: "tool", Name: "Tool", Public: true, Grants: codeGrants, Scopes: []string{"openid", "profile"},
			RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.tool:/cb", "https://tool.example.com/cb"}})
		scope := []string{"scope", "openid profile"}
		b := s.browser()
		b.allow(b.signIn(asks("tool", "https://tool.example.com/cb", scope...), alice, alicePassword))
		for uri, remembered := range map[string]bool{loopback: false, "com.example.tool:/cb": false, "https://tool.example.com/cb": true} {
			if to := b.open(asks("tool", uri, scope...)); !remembered && b.allow(to).location(t).Query().Get("code") == "" {
				t.Fatalf("%s: allowed, and yet no code", uri)
			}
			again := b.open(asks("tool", uri, scope...)).location(t)
			if remembered != again.Query().Has("code") || !remembered && again.Path != "/consent" {
				t.Errorf("%s again: %s", uri, again)
			}
			silent := b.open(asks("tool", uri, append(scope, "prompt", "none")...)).location(t)
			if want := map[bool]string{true: "", false: "consent_required"}[remembered]; silent.Query().Get("error") != want {
				t.Errorf("%s silently: %s", uri, silent)
			}
		}
	})
}

func TestConsentIsAskedForWhereARequestSaysSo(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		consent := b.signIn(asks("web", webCallback, "prompt", "consent"), alice, alicePassword)
		if to := consent.location(t); to.Path != "/consent" {
			t.Fatalf("an application of our own: %s", to)
		}
		if to := b.allow(consent).location(t); to.Query().Get("code") == "" {
			t.Errorf("allowed: %s", to)
		}
		if to := b.open(asks("web", webCallback, "prompt", "consent login")).location(t); to.Path != "/login" {
			t.Errorf("with login too: %s", to)
		}
	})
}

// TestWhatIsNotForUsIsIgnored are parameters that say how the pages should look, and others that nobody knows.
func TestWhatIsNotForUsIsIgnored(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		for name, value := range map[string]string{"display": "popup", "ui_locales": "se fr-CA", "claims_locales": "se", "acr_values": "1 2", "extra": "foobar", "audience": "x", "claims": `{"userinfo":{"shoe_size":{"essential":true}},"other":{}}`} {
			if to := b.open(asks("web", webCallback, name, value)).location(t); to.Query().Get("code") == "" {
				t.Errorf("%s: %s", name, to)
			}
		}
	})
}

// TestLifetimesAreTheClients: of ID tokens and of what can be renewed.
func TestLifetimesAreTheClients(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if c := claimsOf(t, s.tokens().str("id_token")); c["exp"].(float64)-c["iat"].(float64) != 3600 {
			t.Errorf("by default: %v", c)
		}
		s.exec(`UPDATE clients SET id_token_lifetime = 600000000, refresh_token_lifetime = 7200000000 WHERE id = 'web'`)
		r := s.tokens()
		if c := claimsOf(t, r.str("id_token")); c["exp"].(float64)-c["iat"].(float64) != 600 {
			t.Errorf("%v", c)
		}
		s.clock.Advance(119 * time.Minute)
		renewed := s.refresh(r.str("refresh_token"))
		if renewed.status != http.StatusOK {
			t.Fatalf("%d %s", renewed.status, renewed.body)
		}
		s.clock.Advance(2 * time.Minute)
		refused(t, s.refresh(renewed.str("refresh_token")), 400, "invalid_grant")
	})
}

// TestAThirdPartyRenewsOnlyWhatItWasAllowedTo is OpenID Connect Core, section 11.
func TestAThirdPartyRenewsOnlyWhatItWasAllowedTo(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for scope, renews := range map[string]bool{"openid profile": false, "openid profile offline_access": true} {
			b := s.browser()
			to := b.allow(b.signIn(asks("partner", partnerURI, "scope", scope, "prompt", "consent"), alice, alicePassword)).location(t)
			r := s.post("/oauth2/token", "partner", partnerSecret, redeems(s.logs.secret(to.Query().Get("code")), partnerURI))
			if r.status != http.StatusOK || (r.str("refresh_token") != "") != renews {
				t.Errorf("%s: %d %s", scope, r.status, r.body)
			}
		}
		r := s.post("/oauth2/token", "web", webSecret, redeems(s.browser().code(asks("web", webCallback, "scope", "openid")), webCallback))
		if r.str("refresh_token") == "" {
			t.Errorf("an application of our own: %s", r.body)
		}
	})
}
