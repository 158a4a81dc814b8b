package token_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token"
)

// roaming is a service that can be asked from any address, one after another.
type roaming struct {
	*server
	address string
}

func roam(t *testing.T, st stores) *roaming {
	t.Helper()
	r := &roaming{address: "192.0.2.1"}
	s := *start(t, st)
	cfg := s.config()
	cfg.ClientAddress = func(*http.Request) string { return r.address }
	service, err := token.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(service.Handler())
	t.Cleanup(endpoint.Close)
	s.url, r.server = endpoint.URL, &s
	return r
}

// grant is the password grant, with the cookies of a browser if there is one.
func (r *roaming) grant(who, secret string, cookies ...*http.Cookie) reply {
	r.t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {who}, "password": {secret}}
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("trusted", trustedSecret)
	for _, c := range cookies {
		request.AddCookie(c)
	}
	return r.do(plain, request)
}

// attack guesses ten times from each of some networks, by turns at both doors.
func (r *roaming) attack(who string, networks int) {
	r.t.Helper()
	for n := range networks {
		r.address = fmt.Sprintf("203.0.113.%d", n)
		for range 9 {
			refused(r.t, r.grant(who, "a wrong guess"), 400, "invalid_grant")
		}
		if page := r.browser().login(asks("web", webCallback), who, "a wrong guess"); page.status != http.StatusForbidden {
			r.t.Errorf("guess from network %d: %d", n, page.status)
		}
	}
}

// known is a browser in which alice has signed in and out.
func (r *roaming) known() *browser {
	r.t.Helper()
	b := r.browser()
	b.code(asks("web", webCallback))
	b.submit("/oauth2/logout/confirm", b.open("/oauth2/logout").form())
	if b.cookie("rgt_login") != "" || b.cookie("rgt_device") == "" {
		r.t.Fatal("signing out kept the login, or forgot the browser")
	}
	return b
}

// admitted tells whether signing in with the right password succeeds; if not, it must be for too many tries.
func (b *browser) admitted() bool {
	b.t.Helper()
	r := b.login(asks("web", webCallback, "prompt", "login"), alice, alicePassword)
	if r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "" && strings.Contains(r.body, "Too many attempts") {
		return false
	}
	if r.status != http.StatusSeeOther {
		b.t.Errorf("signing in: %d %s", r.status, r.body)
	}
	return true
}

func (b *browser) plant(name, value string) *browser {
	u, _ := url.Parse(b.url)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value}})
	return b
}

func TestGuessingFromOneNetworkLocksNobodyOutElsewhere(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		s.attack(alice, 1)
		if s.browser().admitted() || s.grant(alice, alicePassword).status != http.StatusTooManyRequests {
			t.Error("the network that guessed may go on")
		}
		s.address = "198.51.100.7"
		if !s.browser().admitted() || s.grant(alice, alicePassword).status != http.StatusOK {
			t.Error("somebody else's guesses keep alice out")
		}
	})
}

func TestGuessingFromManyNetworksIsOneAttack(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		s.user("bob@foo.example", "another password")
		home := s.known()
		bobs := s.browser()
		bobs.signIn(asks("web", webCallback), "bob@foo.example", "another password")
		s.attack(alice, 10)
		s.address = "198.51.100.7"
		device := home.cookie("rgt_device")
		for name, b := range map[string]*browser{
			"a browser that nobody used":        s.browser(),
			"one that bob used":                 bobs,
			"a cookie that was cut":             s.browser().plant("rgt_device", device[:len(device)-1]),
			"a cookie of another number":        s.browser().plant("rgt_device", "AAAA"+device[4:]),
			"a cookie that somebody thought up": s.browser().plant("rgt_device", strings.Repeat("A", len(device))),
			"a refresh token's code":            s.browser().plant("rgt_device", s.macked()),
		} {
			if b.admitted() {
				t.Errorf("%s: admitted", name)
			}
		}
		refused(t, s.grant(alice, alicePassword), 429, "slow_down")
		refused(t, s.grant(alice, alicePassword, &http.Cookie{Name: "rgt_device", Value: device}), 429, "slow_down")
		// The browser that alice signed in with before is let in, also where the guesses come from.
		for _, s.address = range []string{"198.51.100.7", "203.0.113.3"} {
			if !home.admitted() {
				t.Errorf("alice's own browser is kept out at %s", s.address)
			}
		}
		if s.browser().admitted() {
			t.Error("that alice signed in lets the guessing go on")
		}
	})
}

// macked is as long as a device cookie and ends in an authentication code that the same key made, for a refresh token.
func (r *roaming) macked() string {
	r.t.Helper()
	parts := strings.Split(r.grant("bob@foo.example", "another password").str("refresh_token"), ".")
	return strings.Repeat("A", 64-len(parts[2])) + parts[2]
}

func TestAKnownBrowserIsCountedApart(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		home, phone := s.known(), s.known()
		for i := range 12 {
			want := http.StatusForbidden
			if i >= 10 {
				want = http.StatusTooManyRequests
			}
			if r := home.login(asks("web", webCallback), alice, "a wrong guess"); r.status != want {
				t.Errorf("guess %d: %d, want %d", i+1, r.status, want)
			}
		}
		if home.admitted() {
			t.Error("a known browser may guess for ever")
		}
		s.address = "198.51.100.7"
		if home.admitted() {
			t.Error("a known browser may guess on from elsewhere")
		}
		s.address = "192.0.2.1"
		if !phone.admitted() || !s.browser().admitted() {
			t.Error("its guesses count for others")
		}
	})
}

// TestCollectedDevicesAreBounded: somebody who knew the password once may have signed in a thousand times then.
func TestCollectedDevicesAreBounded(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		var collected []*browser
		for range 11 {
			collected = append(collected, s.known())
		}
		for _, b := range collected[:10] {
			for range 10 {
				if r := b.login(asks("web", webCallback), alice, "a wrong guess"); r.status != http.StatusForbidden {
					t.Fatalf("%d", r.status)
				}
			}
		}
		if collected[10].admitted() {
			t.Error("together they may guess for ever")
		}
		if !s.browser().admitted() {
			t.Error("they keep others out")
		}
	})
}

// TestALockSaysNothingOfAnAccount compares an account with none, before and after each bound.
func TestALockSaysNothingOfAnAccount(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		device := s.known().cookie("rgt_device")
		people := []string{"alina@acme.example", "nobody@acme.example"}
		s.user(people[0], alicePassword)
		seen := map[string][]string{}
		note := func(who string) {
			b := s.browser().plant("rgt_device", device) // alice's, and so nobody's here
			page := b.login(asks("web", webCallback), who, "a wrong guess")
			grant := s.grant(who, "a wrong guess")
			text := strings.ReplaceAll(hidden.ReplaceAllString(page.body, ""), who, "WHO")
			seen[who] = append(seen[who], fmt.Sprint(page.status, page.header.Get("Retry-After") != "", len(page.header["Set-Cookie"]), text, grant.status, grant.body))
		}
		for _, who := range people {
			s.address = "192.0.2.2"
			for range 6 {
				note(who)
			}
			s.attack(who, 9)
			s.address = "192.0.2.3"
			for range 2 {
				note(who)
			}
		}
		for i, at := range seen[people[0]] {
			if at != seen[people[1]][i] {
				t.Errorf("answer %d differs:\n%s\n%s", i, at, seen[people[1]][i])
			}
		}
	})
}

func TestTheDeviceCookie(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		b := s.browser()
		signedIn := b.login(asks("web", webCallback), alice, alicePassword)
		var device *http.Cookie
		for _, c := range (&http.Response{Header: signedIn.header}).Cookies() {
			if c.Name == "rgt_device" {
				device = c
			}
		}
		if device == nil || !device.HttpOnly || device.SameSite != http.SameSiteLaxMode || device.Path != "/" || device.Domain != "" || device.MaxAge < 300*24*3600 {
			t.Fatalf("%v", device)
		}
		first := b.cookie("rgt_device")
		b.login(asks("web", webCallback, "prompt", "login"), alice, alicePassword)
		if b.cookie("rgt_device") != first {
			t.Error("signing in again made another device of the browser")
		}
		if other := s.known().cookie("rgt_device"); other == first || len(other) != 64 {
			t.Errorf("another browser has %q", other)
		}
		if r := s.browser().plant("rgt_device", first).open(asks("web", webCallback)); r.location(t).Path != "/login" {
			t.Error("the cookie signs in")
		}
		wrong := s.browser()
		wrong.login(asks("web", webCallback), "nobody@acme.example", "a wrong guess")
		if wrong.cookie("rgt_device") != "" {
			t.Error("a wrong guess made a device")
		}
		// Raising the epoch forgets all devices.
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET epoch = epoch + 1`); err != nil {
			t.Fatal(err)
		}
		s.attack(alice, 10)
		if s.browser().plant("rgt_device", first).admitted() {
			t.Error("a device outlived the epoch")
		}
	})
}
