package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// rewritten returns a token with the same bytes in its signature, written otherwise: an ES256 signature leaves four bits of
// its last character unused.
func rewritten(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])^1])
}

// TestATokenIsTakenAsItWasWritten asks everything that reads our tokens.
func TestATokenIsTakenAsItWasWritten(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		tokens := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		access, idToken := tokens.str("access_token"), tokens.str("id_token")
		for name, written := range map[string]string{"another last character": rewritten(access), "a line break": access + "\n",
			"one inside": access[:len(access)-8] + "\r\n" + access[len(access)-8:], "padding": access + "=="} {
			if !strings.Contains(written, "\n") && s.accepted(written) {
				t.Errorf("UserInfo takes %s", name)
			}
			form := url.Values{"access_token": {written}}
			if r := s.post("/oauth2/userinfo", "", "", form); r.status != http.StatusUnauthorized {
				t.Errorf("UserInfo by POST: %s: %d", name, r.status)
			}
			form = url.Values{"token": {written}}
			if r := s.post("/oauth2/introspect", "web", webSecret, form); r.body != `{"active":false}` {
				t.Errorf("introspection: %s: %s", name, r.body)
			}
			if r := s.post("/oauth2/revoke", "web", webSecret, form); r.status != http.StatusOK || !s.accepted(access) {
				t.Errorf("revocation: %s: %d", name, r.status)
			}
		}
		hint := rewritten(idToken)
		if to := b.open(asks("web", webCallback, "id_token_hint", hint, "prompt", "none")).location(t); to.Query().Get("error") != "login_required" {
			t.Errorf("the hint of an authorization request: %s", to)
		}
		if r := b.open("/oauth2/logout?id_token_hint=" + hint); r.status != http.StatusBadRequest || !s.accepted(access) {
			t.Errorf("the hint of a log-out: %d", r.status)
		}
		if r := s.refresh(tokens.str("refresh_token") + "\n"); r.status != http.StatusBadRequest {
			t.Errorf("a refresh token with a line break: %d", r.status)
		}
		if !s.accepted(access) {
			t.Error("what was refused changed something")
		}
	})
}
