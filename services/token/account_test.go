package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// atAccount is a browser in which alice has signed in to see her account.
func (s *server) atAccount() *browser {
	s.t.Helper()
	b := s.browser()
	if to := b.login("/account", alice, alicePassword).location(s.t); to.String() != "/account" {
		s.t.Fatalf("sent to %s", to)
	}
	return b
}

// account opens the page, and returns it with what its forms have in common.
func (b *browser) accountPage() (reply, url.Values) {
	b.t.Helper()
	page := b.open("/account")
	if page.status != http.StatusOK {
		b.t.Fatalf("%d %s", page.status, page.body)
	}
	return page, url.Values{"proof": {page.form().Get("proof")}}
}

// acts posts a form of the account page.
func (b *browser) acts(path string, pairs ...string) reply {
	b.t.Helper()
	_, form := b.accountPage()
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.submit("/account"+path, form)
}

func TestPeopleSeeTheirAccount(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		corp := idp.provider("corp")
		corp.Trust = account.Trust{Links: true}
		s := startWith(t, st, corp)
		if to := s.browser().open("/account").location(t); to.Path != "/login" {
			t.Fatalf("nobody is shown %s", to)
		}
		elsewhere := s.browser()
		elsewhere.tokensBy(elsewhere.throughElsewhere("corp"))
		b := s.atAccount()
		consented := b.consents(t, asks("partner", partnerURI))
		page, _ := b.accountPage()
		for _, want := range []string{"Alice", alice, "This browser", "Partner &lt;b&gt;&amp;", "see your security systems and their state", "Corp", "Disconnect", `href="/oauth2/logout">Sign out<`, "Sign out everywhere"} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the page does not say %q: %s", want, page.body)
			}
		}
		if strings.Contains(page.body, "<script") || strings.Contains(page.body, "style=") ||
			!strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") || page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v %s", page.header, page.body)
		}

		t.Run("an application loses its access", func(t *testing.T) {
			if !s.accepted(consented.str("access_token")) {
				t.Fatal("it has none")
			}
			if r := b.acts("/applications/remove", "client", "partner"); r.status != http.StatusSeeOther {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if s.accepted(consented.str("access_token")) {
				t.Error("its access token is accepted")
			}
			if page, _ := b.accountPage(); strings.Contains(page.body, "Partner") {
				t.Error("it is still shown")
			}
			if to := b.open(asks("partner", partnerURI)).location(t); to.Path != "/consent" {
				t.Errorf("the next time it is not asked: %s", to)
			}
		})
		t.Run("another browser is signed out", func(t *testing.T) {
			other := s.atAccount()
			_, form := b.accountPage()
			page, _ := b.accountPage()
			before, after, _ := strings.Cut(page.body, "This browser")
			form.Set("session", reply{body: after + before}.form().Get("session"))
			if r := b.submit("/account/sessions/end", form); r.status != http.StatusSeeOther {
				t.Fatalf("%d %s", r.status, r.body)
			}
			_ = other
			if page, _ := b.accountPage(); strings.Count(page.body, "/account/sessions/end") != 1 {
				t.Errorf("sessions that can be ended: %s", page.body)
			}
		})
		t.Run("a provider is disconnected, and another identity of it can be connected", func(t *testing.T) {
			if r := b.acts("/providers/remove", "issuer", idp.url); r.status != http.StatusSeeOther {
				t.Fatalf("%d %s", r.status, r.body)
			}
			idp.says(func(f *foreignIDP) { f.claims = map[string]any{"sub": "foreign-2"} })
			b := s.browser()
			b.tokensBy(b.throughElsewhere("corp"))
		})
		t.Run("everything is signed out", func(t *testing.T) {
			tokens := s.tokens()
			if r := b.acts("/sign-out"); r.status != http.StatusOK || !strings.Contains(r.body, "You are signed out everywhere") {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if s.accepted(tokens.str("access_token")) || s.refresh(tokens.str("refresh_token")).status == http.StatusOK {
				t.Error("an application still has access")
			}
			for _, browser := range []*browser{b, elsewhere} {
				if to := browser.open("/account").location(t); to.Path != "/login" {
					t.Errorf("a browser is shown %s", to)
				}
			}
		})
	})
}

// consents lets an application of others act for who is signed in, and redeems the code.
func (b *browser) consents(t *testing.T, request string) reply {
	t.Helper()
	form := b.open(b.open(request).location(t).RequestURI()).form()
	form.Set("decision", "allow")
	code := b.submit("/consent", form).location(t).Query().Get("code")
	r := b.post("/oauth2/token", "partner", partnerSecret, redeems(b.logs.secret(code), partnerURI))
	if r.status != http.StatusOK {
		t.Fatalf("redeeming: %d %s", r.status, r.body)
	}
	return r
}

// TestTheAccountPageChangesNothingForOthers: not for another site, another person, a page of another login, nor for who
// signed in long ago.
func TestTheAccountPageChangesNothingForOthers(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("mallory@acme.example", "the password of mallory")
		victim := s.atAccount()
		session := ""
		if err := s.db.QueryRow(t.Context(), `SELECT id FROM sessions`).Scan(&session); err != nil {
			t.Fatal(err)
		}
		consented := victim.consents(t, asks("partner", partnerURI, "scope", "openid offline_access", "prompt", "consent"))
		_, form := victim.accountPage()
		form.Set("session", session)
		form.Set("client", "partner")
		mallory := s.browser()
		mallory.login("/account", "mallory@acme.example", "the password of mallory")
		paths := []string{"/sessions/end", "/sign-out", "/applications/remove", "/providers/remove", "/password"}
		for _, path := range paths {
			for name, r := range map[string]reply{
				"another site":              victim.submit("/account"+path, form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"),
				"the page of another login": mallory.submit("/account"+path, form),
				"no page":                   victim.submit("/account"+path, url.Values{"session": {session}, "client": {"partner"}}),
				"nobody":                    s.browser().submit("/account"+path, form),
				"a link":                    victim.open("/account" + path + "?" + form.Encode()),
			} {
				asked := r.status == http.StatusSeeOther && r.location(t).Path == "/login"
				if !asked && r.status != http.StatusForbidden && r.status != http.StatusMethodNotAllowed && (name != "a link" || path != "/password") {
					t.Errorf("%s at %s: %d %s", name, path, r.status, r.body)
				}
			}
		}
		// mallory's own page does not reach alice's either.
		mallory.acts("/sessions/end", "session", session)
		mallory.acts("/applications/remove", "client", "partner")
		mallory.acts("/sign-out")

		s.clock.Advance(20 * time.Minute)
		for _, path := range paths[:4] {
			if r := victim.submit("/account"+path, form); r.status != http.StatusSeeOther || r.location(t).Path != "/login" {
				t.Errorf("long after the sign-in, %s: %d %s", path, r.status, r.body)
			}
		}
		if page, _ := victim.accountPage(); !strings.Contains(page.body, "Partner") {
			t.Error("the consent is gone")
		}
		r := s.post("/oauth2/token", "partner", partnerSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {consented.str("refresh_token")}})
		if r.status != http.StatusOK {
			t.Errorf("the application lost its access: %d %s", r.status, r.body)
		}
	})
}

func TestPeopleChangeTheirPasswordOnTheirPage(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		const (
			chosen    = "a quite different p\u00e4ssphrase"
			elsewhere = "a quite different pa\u0308ssphrase" // the same, as another keyboard types it
		)
		s.logs.secret(chosen)
		s.logs.secret(elsewhere)
		other := s.atAccount()
		b := s.atAccount()
		form := b.open("/account/password").form()
		post := func(current, password, repeat string) reply {
			form.Set("current", current)
			form.Set("password", password)
			form.Set("repeat", repeat)
			return b.submit("/account/password", form)
		}
		for _, tc := range []struct {
			name   string
			answer reply
			status int
			says   string
		}{
			{"a wrong password", post("wrong", chosen, chosen), http.StatusForbidden, `id="current-problem"`},
			{"a typing mistake", post(alicePassword, chosen, chosen+"x"), http.StatusBadRequest, `id="repeat-problem"`},
			{"a short one", post(alicePassword, "short", "short"), http.StatusBadRequest, `id="password-problem"`},
		} {
			if tc.answer.status != tc.status || !strings.Contains(tc.answer.body, tc.says) || strings.Contains(tc.answer.body, chosen) {
				t.Errorf("%s: %d %s", tc.name, tc.answer.status, tc.answer.body)
			}
		}
		if r := other.open("/account"); r.status != http.StatusOK {
			t.Errorf("a refused change signed out: %d", r.status)
		}
		if r := post(alicePassword, chosen, chosen); r.status != http.StatusSeeOther || !strings.Contains(b.open(r.location(t).RequestURI()).body, "Your password is changed") {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if r := other.open("/account"); r.status != http.StatusSeeOther {
			t.Errorf("another browser stays signed in: %d", r.status)
		}
		if r := s.browser().login("/account", alice, alicePassword); r.status != http.StatusForbidden {
			t.Errorf("the password of before: %d", r.status)
		}
		if r := s.browser().login("/account", alice, elsewhere); r.status != http.StatusSeeOther {
			t.Errorf("the new one: %d %s", r.status, r.body)
		}
	})
}

// TestTheOnlyWayInStays: who has no password keeps the last provider that signs them in.
func TestTheOnlyWayInStays(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		one, two := newForeignIDP(t), newForeignIDP(t)
		for _, idp := range []*foreignIDP{one, two} {
			idp.claims = map[string]any{"email": "nora@new.example"}
		}
		first, second := one.provider("one"), two.provider("two")
		first.Trust, second.Trust = account.Trust{Creates: true}, account.Trust{Links: true}
		s := startWith(t, st, first, second)
		b := s.browser()
		b.tokensBy(b.throughElsewhere("one"))
		page, _ := b.accountPage()
		if !strings.Contains(page.body, "the only way in") || strings.Contains(page.body, "Disconnect") || strings.Contains(page.body, "Change your password") {
			t.Errorf("%s", page.body)
		}
		if r := b.acts("/providers/remove", "issuer", one.url); r.status != http.StatusConflict {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := b.open("/account/password"); r.status != http.StatusConflict {
			t.Errorf("a password that there is not: %d %s", r.status, r.body)
		}
		b.tokensBy(b.open(b.elsewhere(asks("web", webCallback, "prompt", "select_account"), "two")))
		if n := s.people(t); n[0] != 2 || n[1] != 2 {
			t.Fatalf("%d accounts, %d links", n[0], n[1])
		}
		if r := b.acts("/providers/remove", "issuer", one.url); r.status != http.StatusSeeOther {
			t.Errorf("one of two: %d %s", r.status, r.body)
		}
		if r := b.acts("/providers/remove", "issuer", two.url); r.status != http.StatusConflict {
			t.Errorf("the one that is left: %d %s", r.status, r.body)
		}
		if n := s.people(t); n[1] != 1 {
			t.Errorf("%d links", n[1])
		}
	})
}
