package csrf_test

import (
	"strings"
	"testing"

	"github.com/realguardio/realguardio/gateway/csrf"
)

func TestToken(t *testing.T) {
	g := csrf.New([]byte("key"))
	token, cookie := g.Token("", "session")
	other, otherCookie := g.Token("", "session")
	_, stranger := csrf.New([]byte("another key")).Token("", "session")
	if again, set := g.Token(cookie, "session"); again != token || set != "" {
		t.Error("a browser that has a token gets another")
	}
	for _, tt := range []struct {
		name                   string
		token, cookie, session string
		want                   bool
	}{
		{"the token with its cookie, in its session", token, cookie, "session", true},
		{"the token alone", token, "", "session", false},
		{"the cookie alone", "", cookie, "session", false},
		{"nothing", "", "", "session", false},
		{"a cookie that is only a bar", "", "|", "session", false},
		{"in another session", token, cookie, "other", false},
		{"after signing out", token, cookie, "", false},
		{"another token", other, cookie, "session", false},
		{"another cookie", token, otherCookie, "session", false},
		{"a token with a hash made up", token, token + "|" + strings.Repeat("0", 64), "session", false},
		{"a cookie of another key", strings.SplitN(stranger, "|", 2)[0], stranger, "session", false},
	} {
		if got := g.Proven(tt.token, tt.cookie, tt.session); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
