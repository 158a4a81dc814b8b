package token_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestLogoutByARelyingParty is what the conformance suite has a party send to the end-session endpoint, and how it ends.
func TestLogoutByARelyingParty(t *testing.T) {
	state := strings.Repeat("longState0123456", 8)
	for _, tc := range []struct {
		name string
		// change makes the request, which is a good one at first, another one.
		change func(q url.Values)
		// back says that the browser is sent back to the party; asked that the person is asked before they are signed out;
		// refusedAs is the title of an error page.
		back, asked bool
		refusedAs   string
	}{
		{"a good one", func(url.Values) {}, true, false, ""},
		{"without a state", func(q url.Values) { q.Del("state") }, true, false, ""},
		{"another address", func(q url.Values) { q.Set("post_logout_redirect_uri", "https://party.example.com/elsewhere") }, false, false, "This request cannot be answered"},
		{"an address with a query added", func(q url.Values) { q.Set("post_logout_redirect_uri", partyLogout+"?foo=bar") }, false, false, "This request cannot be answered"},
		{"a hint that is unsigned", unsign, false, false, "This request cannot be answered"},
		{"a hint that somebody else signed", forge, false, false, "This request cannot be answered"},
		{"no hint", func(q url.Values) { q.Del("id_token_hint") }, false, true, ""},
		{"nothing at all", func(q url.Values) { clear(q) }, false, true, ""},
		{"nothing but a state", func(q url.Values) { q.Del("id_token_hint"); q.Del("post_logout_redirect_uri") }, false, true, ""},
		{"no address to go back to", func(q url.Values) { q.Del("post_logout_redirect_uri") }, false, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			oneStore(t, func(t *testing.T, st stores) {
				s := start(t, st)
				p := s.relyingParty("party")
				b := s.browser()
				r, _ := p.tokens(b)
				q := url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {partyLogout}, "state": {state}}
				tc.change(q)
				answer := b.open("/oauth2/logout?" + q.Encode())
				if tc.asked {
					if answer.status != http.StatusOK || !strings.Contains(answer.body, "Sign out?") || !s.accepted(r.str("access_token")) {
						t.Fatalf("not asked, or signed out before: %d %s", answer.status, answer.body)
					}
					answer = b.submit("/oauth2/logout/confirm", answer.form())
				}
				switch {
				case tc.back:
					want := partyLogout
					if q.Has("state") {
						want += "?state=" + state
					}
					if got := answer.header.Get("Location"); got != want {
						t.Errorf("sent to %q", got)
					}
				case tc.refusedAs != "":
					if answer.status != http.StatusBadRequest || !strings.Contains(answer.body, tc.refusedAs) || answer.header.Get("Location") != "" {
						t.Errorf("%d %s", answer.status, answer.body)
					}
					return
				case answer.status != http.StatusOK || !strings.Contains(answer.body, "You are signed out") || answer.header.Get("Location") != "":
					t.Errorf("%d %s", answer.status, answer.body)
				}
				if e := b.open(p.asks("prompt", "none")).location(t).Query().Get("error"); e != "login_required" || s.accepted(r.str("access_token")) {
					t.Errorf("still signed in: %s", e)
				}
			})
		})
	}
}

// unsign takes the signature from the hint and says that there is none.
func unsign(q url.Values) {
	parts := strings.Split(q.Get("id_token_hint"), ".")
	q.Set("id_token_hint", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts[1]+".")
}

// forge has the hint signed by somebody else, with the header as it was.
func forge(q url.Values) {
	parts := strings.Split(q.Get("id_token_hint"), ".")
	q.Set("id_token_hint", parts[0]+"."+parts[1]+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 256)))
}
