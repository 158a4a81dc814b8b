package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// TestWhatAHostileProviderSays is refused before anybody is signed in by it.
func TestWhatAHostileProviderSays(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		idp, other := newForeignIDP(t), newForeignIDP(t)
		p := idp.provider("corp")
		p.Trust = account.Trust{Links: true, Creates: true}
		s := startWith(t, st, p)
		claim := func(pairs ...any) func(*foreignIDP) {
			return func(f *foreignIDP) {
				for i := 0; i < len(pairs); i += 2 {
					f.claims[pairs[i].(string)] = pairs[i+1]
				}
			}
		}
		for _, tc := range []struct {
			name   string
			change func(*foreignIDP)
		}{
			{"a nonce of another sign-in", claim("nonce", "other")},
			{"no nonce", claim("nonce", nil)},
			{"another issuer", claim("iss", other.url)},
			{"another audience", claim("aud", "somebody-else")},
			{"several audiences and no azp", claim("aud", []string{"realguardio", "somebody-else"})},
			{"an azp that is not us", claim("aud", []string{"realguardio", "somebody-else"}, "azp", "somebody-else")},
			{"no subject", claim("sub", "")},
			{"a subject without end", claim("sub", strings.Repeat("x", 256))},
			{"an ID token that has expired", claim("exp", time.Now().Add(-time.Hour).Unix())},
			{"a hash of another access token", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
			{"no signature", func(f *foreignIDP) { f.forge = unsigned }},
			{"another's signature", func(f *foreignIDP) { f.forge = other.sign }},
			{"no ID token", func(f *foreignIDP) { f.forge = func(map[string]any) string { return "" } }},
			{"an ID token that is none", func(f *foreignIDP) { f.forge = func(map[string]any) string { return strings.Repeat("a.", 3000) } }},
			{"UserInfo of somebody else", func(f *foreignIDP) {
				f.claims["email"], f.userinfo = nil, map[string]any{"sub": "foreign-9", "email": alice, "email_verified": true}
			}},
		} {
			idp.says(func(f *foreignIDP) {
				f.claims, f.forge, f.userinfo = map[string]any{}, nil, nil
				tc.change(f)
			})
			s.unchanged(t, func() {
				if r := s.browser().throughElsewhere("corp"); r.status != http.StatusBadRequest {
					t.Errorf("%s: %d %s", tc.name, r.status, r.body)
				}
			})
		}
		idp.says(func(f *foreignIDP) {
			f.claims, f.forge = map[string]any{"email": nil}, nil
			f.userinfo = map[string]any{"sub": "foreign-1", "email": alice, "email_verified": true}
		})
		b := s.browser()
		b.tokensBy(b.throughElsewhere("corp")) // and none of that has done any harm
	})
}

// TestAnAnswerIsForOneBrowserOneProviderOnce is everything that a callback must not take (RFC 9700, section 4.4 and 4.7).
func TestAnAnswerIsForOneBrowserOneProviderOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		idp, evil := newForeignIDP(t), newForeignIDP(t)
		trusted := idp.provider("corp")
		trusted.Trust = account.Trust{Links: true, Creates: true}
		s := startWith(t, st, trusted, evil.provider("evil"))
		request := asks("web", webCallback)
		with := func(path, name, value string) string {
			u, _ := url.Parse(path)
			q := u.Query()
			if q.Del(name); value != "" {
				q.Set(name, value)
			}
			u.RawQuery = q.Encode()
			return u.RequestURI()
		}
		for _, tc := range []struct {
			name string
			// open takes the callback of browser b for what it must not be good for.
			open   func(b *browser, back string) reply
			status int
		}{
			{"another browser", func(_ *browser, back string) reply { return s.browser().open(back) }, http.StatusForbidden},
			{"another browser with a sign-in of its own", func(_ *browser, back string) reply {
				victim := s.browser()
				victim.leave(request, "corp")
				return victim.open(back)
			}, http.StatusForbidden},
			{"another provider", func(b *browser, back string) reply {
				return b.open(strings.Replace(back, "/login/corp/", "/login/evil/", 1))
			}, http.StatusBadRequest},
			{"a provider that there is not", func(b *browser, back string) reply {
				return b.open(strings.Replace(back, "/login/corp/", "/login/nobody/", 1))
			}, http.StatusNotFound},
			{"another issuer", func(b *browser, back string) reply { return b.open(with(back, "iss", evil.url)) }, http.StatusBadRequest},
			{"no issuer, though the provider always names it", func(b *browser, back string) reply { return b.open(with(back, "iss", "")) }, http.StatusBadRequest},
			{"no state", func(b *browser, back string) reply { return b.open(with(back, "state", "")) }, http.StatusForbidden},
			{"another state", func(b *browser, back string) reply { return b.open(with(back, "state", "guess")) }, http.StatusForbidden},
			{"two states", func(b *browser, back string) reply { return b.open(back + "&state=other") }, http.StatusBadRequest},
			{"two codes", func(b *browser, back string) reply { return b.open(back + "&code=other") }, http.StatusBadRequest},
			{"no code", func(b *browser, back string) reply { return b.open(with(back, "code", "")) }, http.StatusBadRequest},
			{"a state whose time has passed", func(b *browser, back string) reply {
				if err := s.redis.FlushDB(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				return b.open(back)
			}, http.StatusForbidden},
		} {
			b := s.browser()
			back := b.elsewhere(request, "corp")
			var redeemed int
			idp.says(func(f *foreignIDP) { redeemed = f.redeemed })
			s.unchanged(t, func() {
				if r := tc.open(b, back); r.status != tc.status {
					t.Errorf("%s: %d %s", tc.name, r.status, r.body)
				}
			})
			idp.says(func(f *foreignIDP) {
				if f.redeemed != redeemed {
					t.Errorf("%s: the code was redeemed", tc.name)
				}
			})
		}
		b := s.browser()
		back := b.elsewhere(request, "corp")
		b.tokensBy(b.open(back))
		s.unchanged(t, func() {
			if r := b.open(back); r.status != http.StatusForbidden {
				t.Errorf("the same again: %d", r.status)
			}
		})
		// Of many at once, one.
		racer := s.browser()
		back = racer.elsewhere(request, "corp")
		answers := make(chan int, 10)
		for range cap(answers) {
			go func() { answers <- racer.open(back).status }()
		}
		in := 0
		for range cap(answers) {
			if <-answers == http.StatusSeeOther {
				in++
			}
		}
		if in != 1 {
			t.Errorf("one answer signed in %d times", in)
		}
	})
}

// TestLeavingIsAskedForByOurOwnPage, by the browser that the login page was for, to a provider that there is.
func TestLeavingIsAskedForByOurOwnPage(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := startWith(t, st, newForeignIDP(t).provider("corp"))
		b := s.browser()
		form := b.open(b.open(asks("web", webCallback)).location(t).RequestURI()).form()
		for _, tc := range []struct {
			name   string
			answer reply
			status int
		}{
			{"another site", b.submit("/login/corp", form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
			{"another browser", s.browser().submit("/login/corp", form), http.StatusForbidden},
			{"no transaction", b.submit("/login/corp", url.Values{}), http.StatusForbidden},
			{"a provider that there is not", b.submit("/login/nobody", form), http.StatusNotFound},
			{"a link", b.open("/login/corp?" + form.Encode()), http.StatusMethodNotAllowed},
		} {
			if tc.answer.status != tc.status || tc.answer.header.Get("Refresh") != "" {
				t.Errorf("%s: %d %s", tc.name, tc.answer.status, tc.answer.body)
			}
		}
		if r := b.submit("/login/corp", form); r.status != http.StatusOK || r.header.Get("Refresh") == "" ||
			!strings.Contains(r.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}
