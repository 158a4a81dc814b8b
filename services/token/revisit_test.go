package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// revisitOf signs alice in and returns the way back to the authorization endpoint, and the ids of the page and of that way.
func (b *browser) revisitOf(request string) (back, page, id string) {
	b.t.Helper()
	shown := b.open(b.open(request).location(b.t).RequestURI()).form()
	page = shown.Get("tx")
	shown.Set("username", alice)
	shown.Set("password", alicePassword)
	answer := b.submit("/login", shown)
	if answer.status != http.StatusSeeOther {
		b.t.Fatalf("%d %s", answer.status, answer.body)
	}
	back = answer.header.Get("Location")
	_, id, _ = strings.Cut(back, "/oauth2/authorize?tx=")
	return back, page, id
}

// carrying is another browser with some of the cookies of this one.
func (b *browser) carrying(names ...string) *browser {
	other := b.browser()
	u, _ := url.Parse(b.url)
	for _, name := range names {
		other.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: b.cookie(name)}})
	}
	return other
}

// TestSigningInLeadsBackToTheAuthorizationEndpoint is the login flow's sixth and seventh step, and who cannot take them.
func TestSigningInLeadsBackToTheAuthorizationEndpoint(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("bob@foo.example", "another password")
		b := s.browser()
		back, page, id := b.revisitOf(asks("web", webCallback))
		if back != "/oauth2/authorize?tx="+id || len(id) < 26 || id == page || b.cookie("rgt_login") == "" {
			t.Fatalf("signed in, and sent to %s", back)
		}
		if kept, err := s.redis.PTTL(t.Context(), "rgt:login:"+id).Result(); err != nil || kept <= 0 || kept > time.Minute {
			t.Errorf("it can be gone on with for %v, %v", kept, err)
		}
		bob := s.browser()
		bob.signIn(asks("web", webCallback), "bob@foo.example", "another password")
		switched := b.carrying("rgt_browser")
		switched.signIn(asks("web", webCallback), "bob@foo.example", "another password")
		for name, other := range map[string]*browser{
			"no cookies":                          s.browser(),
			"another browser and person":          bob,
			"the login session alone":             b.carrying("rgt_login"),
			"the browser's cookie alone":          b.carrying("rgt_browser"),
			"another person in the same browser":  switched,
			"a browser in which nobody signed in": s.browser(),
		} {
			if r := other.open(back); r.status != http.StatusForbidden || r.header.Get("Location") != "" {
				t.Errorf("%s: %d to %q", name, r.status, r.header.Get("Location"))
			}
		}
		for _, path := range []string{"/login?tx=" + id, "/consent?tx=" + id, "/oauth2/authorize?tx=" + page, "/oauth2/authorize?tx=", "/oauth2/authorize?tx=guess"} {
			if r := b.open(path); r.status != http.StatusForbidden || r.header.Get("Location") != "" {
				t.Errorf("%s: %d", path, r.status)
			}
		}
		for _, more := range []string{"&prompt=none", "&tx=" + id, "&client_id=web", "&redirect_uri=https%3A%2F%2Fevil.example%2F", "&x", "&" + strings.TrimPrefix(asks("web", webCallback), "/oauth2/authorize?")} {
			if r := b.open(back + more); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
				t.Errorf("with %s: %d", more, r.status)
			}
		}
		for path, form := range map[string]url.Values{"/oauth2/authorize": {"tx": {id}}, back: {"tx": {id}}} {
			if r := b.submit(path, form); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
				t.Errorf("posted to %s: %d", path, r.status)
			}
		}
		// None of them has spent it.
		to := b.open(back).location(t)
		if !strings.HasPrefix(to.String(), webCallback+"?") || to.Query().Get("state") != "the-state" || to.Query().Get("code") == "" {
			t.Errorf("sent to %s", to)
		}
		s.logs.secret(to.Query().Get("code"))
		if r := b.open(back); r.status != http.StatusForbidden || r.header.Get("Location") != "" {
			t.Errorf("a second time: %d", r.status)
		}
	})
}

// TestARevisitIsTakenOnce visits a hundred times at once.
func TestARevisitIsTakenOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		back, _, _ := b.revisitOf(asks("web", webCallback))
		codes := 0
		for _, r := range parallel(100, func() reply { return b.open(back) }) {
			switch r.status {
			case http.StatusSeeOther:
				codes++
			case http.StatusForbidden:
			default:
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if codes != 1 {
			t.Errorf("%d of 100 got a code", codes)
		}
	})
}

// TestAFreshSignInIsEnough are requests that want one: they get it once and do not ask for ever.
func TestAFreshSignInIsEnough(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("bob@foo.example", "another password")
		b := s.browser()
		for _, ask := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"prompt", "select_account"}, {"prompt", "login", "max_age", "0"}} {
			s.clock.Advance(time.Minute)
			back, _, _ := b.revisitOf(asks("web", webCallback, ask...))
			s.clock.Advance(2 * time.Second)
			code := s.logs.secret(b.open(back).location(t).Query().Get("code"))
			if r := s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)); r.status != http.StatusOK {
				t.Errorf("%v: %d %s", ask, r.status, r.body)
			}
			// The next request that wants one is not served with this one.
			if to := b.open(asks("web", webCallback, ask...)).location(t); to.Path != "/login" {
				t.Errorf("%v again: %s", ask, to)
			}
		}
		tokens := s.tokens()
		hinted := asks("web", webCallback, "id_token_hint", tokens.str("id_token"))
		if to := s.browser().signIn(hinted, "bob@foo.example", "another password").location(t); to.Query().Get("error") != "login_required" || to.Query().Has("code") {
			t.Errorf("another person than the one asked for: %s", to)
		}
	})
}

// TestARequestThatWaitedIsCheckedAgain changes the client while its person signs in.
func TestARequestThatWaitedIsCheckedAgain(t *testing.T) {
	for name, change := range map[string]string{
		"the client is disabled":           `UPDATE clients SET disabled_at = 1 WHERE id = 'web'`,
		"the client is gone":               `DELETE FROM clients WHERE id = 'web'`,
		"the redirect URI is not its own":  `UPDATE clients SET redirect_uris = 'https://elsewhere.example/cb' WHERE id = 'web'`,
		"a scope was taken from it":        `UPDATE clients SET scopes = 'openid profile email' WHERE id = 'web'`,
		"it may not use this grant":        `UPDATE clients SET grants = 'refresh_token' WHERE id = 'web'`,
		"the person signed out in between": `UPDATE sessions SET ended_at = 1`,
		"the person was disabled":          `UPDATE users SET disabled = true`,
	} {
		t.Run(name, func(t *testing.T) {
			oneStore(t, func(t *testing.T, st stores) {
				s := start(t, st)
				b := s.browser()
				back, _, _ := b.revisitOf(asks("web", webCallback))
				if _, err := s.db.Exec(t.Context(), change); err != nil {
					t.Fatal(err)
				}
				if r := b.open(back); r.status != http.StatusForbidden || r.header.Get("Location") != "" {
					t.Errorf("%d to %q", r.status, r.header.Get("Location"))
				}
			})
		})
	}
}

// TestConsentFollowsTheRevisit is what a third party's request takes besides.
func TestConsentFollowsTheRevisit(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		back, _, id := b.revisitOf(asks("partner", partnerURI, "prompt", "login consent"))
		to := b.open(back).location(t)
		consent := to.Query().Get("tx")
		if to.Path != "/consent" || consent == "" || consent == id {
			t.Fatalf("sent to %s", to)
		}
		if r := b.open("/oauth2/authorize?tx=" + consent); r.status != http.StatusForbidden {
			t.Errorf("past the question: %d to %q", r.status, r.header.Get("Location"))
		}
		form := b.open(to.RequestURI()).form()
		form.Set("decision", "allow")
		if to := b.submit("/consent", form).location(t); to.Query().Get("code") == "" {
			t.Errorf("sent to %s", to)
		}
	})
}
