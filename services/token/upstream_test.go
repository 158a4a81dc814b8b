package token_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/upstream"
)

// startWith starts a service with alice and these providers.
func startWith(t *testing.T, st stores, providers ...upstream.Provider) *server {
	t.Helper()
	s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, func(cfg *token.Config) { cfg.Upstreams.Providers = providers })
	s.logs.secret(foreignSecret)
	s.seed()
	return s
}

// leave goes from the login page to a provider, and returns where the browser is sent.
func (b *browser) leave(request, provider string) string {
	b.t.Helper()
	page := b.open(b.open(request).location(b.t).RequestURI())
	if !strings.Contains(page.body, `action="/login/`+provider+`"`) {
		b.t.Fatalf("the login page does not offer %s: %s", provider, page.body)
	}
	r := b.submit("/login/"+provider, page.form())
	_, to, found := strings.Cut(r.header.Get("Refresh"), "url=")
	if r.status != http.StatusOK || !found {
		b.t.Fatalf("leaving: %d %s", r.status, r.body)
	}
	return to
}

// elsewhere signs in at a provider and returns our path that it sends the browser back to.
func (b *browser) elsewhere(request, provider string) string {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.leave(request, provider), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	back := b.do(plain, r).location(b.t)
	if !strings.HasPrefix(back.String(), b.url+"/login/"+provider+"/callback?") {
		b.t.Fatalf("sent back to %s", back)
	}
	b.logs.secret(back.Query().Get("code"))
	return back.RequestURI()
}

// throughElsewhere signs in at a provider and returns what our callback answers.
func (b *browser) throughElsewhere(provider string) reply {
	b.t.Helper()
	return b.open(b.elsewhere(asks("web", webCallback), provider))
}

// tokensBy goes on from an answer that signed somebody in, and redeems the code.
func (b *browser) tokensBy(answer reply) reply {
	b.t.Helper()
	if answer.status != http.StatusSeeOther || answer.location(b.t).Path != "/oauth2/authorize" {
		b.t.Fatalf("not signed in: %d %s", answer.status, answer.body)
	}
	code := b.open(answer.location(b.t).RequestURI()).location(b.t).Query().Get("code")
	r := b.post("/oauth2/token", "web", webSecret, redeems(b.logs.secret(code), webCallback))
	if r.status != http.StatusOK {
		b.t.Fatalf("redeeming: %d %s", r.status, r.body)
	}
	return r
}

// unchanged fails the test if an account was made or linked, or somebody signed in, while do ran.
func (s *server) unchanged(t *testing.T, do func()) {
	t.Helper()
	before := s.people(t)
	do()
	if after := s.people(t); after != before {
		t.Errorf("accounts, links and sessions were %v and are %v", before, after)
	}
}

func (s *server) people(t *testing.T) (n [3]int64) {
	t.Helper()
	for i, table := range []string{"users", "federated_identities", "sessions"} {
		if err := s.db.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n[i]); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (s *server) subject(t *testing.T, email string) (id string) {
	t.Helper()
	if err := s.db.QueryRow(t.Context(), `SELECT id FROM users WHERE email_key = $1`, account.EmailKey(email)).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestSomebodySignsInElsewhere: on facts that the provider verified and where the operator lets it, the account that has
// the address; from then on by the provider's subject alone.
func TestSomebodySignsInElsewhere(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		corporate := idp.provider("corporate")
		corporate.Trust = account.Trust{Links: true, Domains: []string{"acme.example"}}
		s := startWith(t, st, corporate)
		first := s.browser().throughElsewhere("corporate")
		b := s.browser()
		idp.says(func(f *foreignIDP) { f.claims = map[string]any{"email": "renamed@elsewhere.example"} })
		for name, tokens := range map[string]reply{"first": b.tokensBy(b.throughElsewhere("corporate"))} {
			c := claimsOf(t, tokens.str("id_token"))
			if c["sub"] != s.subject(t, alice) || c["email"] != alice || c["name"] != "Alice" {
				t.Errorf("%s: %v", name, c)
			}
			if c["amr"] != nil || c["acr"] != nil {
				t.Errorf("%s: claims to know how the person signed in elsewhere: %v", name, c)
			}
			if r := s.refresh(tokens.str("refresh_token")); r.status != http.StatusOK {
				t.Errorf("%s: refresh: %d %s", name, r.status, r.body)
			}
		}
		if first.status != http.StatusSeeOther {
			t.Errorf("first: %d %s", first.status, first.body)
		}
		if n := s.people(t); n[0] != 1 || n[1] != 1 {
			t.Errorf("%d accounts, %d links", n[0], n[1])
		}
		if b.open(asks("web", webCallback)).location(t).Query().Get("code") == "" {
			t.Error("no single sign-on after it")
		}
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET disabled = $1`, true); err != nil {
			t.Fatal(err)
		}
		s.unchanged(t, func() {
			if r := s.browser().throughElsewhere("corporate"); r.status != http.StatusForbidden {
				t.Errorf("a disabled account: %d", r.status)
			}
		})
	})
}

// TestAProviderThatIsDown concerns those alone who want to sign in there, and us only for as long as it is down.
func TestAProviderThatIsDown(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		idp.down = true
		p := idp.provider("corp")
		p.Trust = account.Trust{Links: true}
		s := startWith(t, st, p)
		b := s.browser()
		page := b.open(b.open(asks("web", webCallback)).location(t).RequestURI())
		r := b.submit("/login/corp", page.form())
		if r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "Corp cannot be reached") || !strings.Contains(r.body, `name="password"`) {
			t.Errorf("%d %s", r.status, r.body)
		}
		form := r.form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		if r := b.submit("/login", form); r.status != http.StatusSeeOther {
			t.Errorf("by password meanwhile: %d %s", r.status, r.body)
		}
		idp.says(func(f *foreignIDP) { f.down = false })
		s.clock.Advance(time.Minute)
		b = s.browser()
		back := b.elsewhere(asks("web", webCallback), "corp")
		idp.says(func(f *foreignIDP) { f.down = true })
		if r := b.open(back); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "Corp cannot be reached") {
			t.Errorf("down before the code is redeemed: %d %s", r.status, r.body)
		}
		idp.says(func(f *foreignIDP) { f.down, f.answer = false, map[string]string{"code": "", "error": "access_denied"} })
		b = s.browser()
		if r := b.throughElsewhere("corp"); r.status != http.StatusForbidden || !strings.Contains(r.body, "Corp did not sign you in") {
			t.Errorf("denied: %d %s", r.status, r.body)
		}
	})
}

// TestAFreshSignInElsewhereIsShown: where the application wants one, the provider has to say that there was.
func TestAFreshSignInElsewhereIsShown(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		p := idp.provider("corp")
		p.Trust = account.Trust{Links: true}
		s := startWith(t, st, p)
		ago := func(d time.Duration) map[string]any { return map[string]any{"auth_time": time.Now().Add(-d).Unix()} }
		for _, tc := range []struct {
			name, parameter, value string
			claims                 map[string]any
			in                     bool
		}{
			{"prompt=login, signed in anew", "prompt", "login", ago(0), true},
			{"prompt=login, signed in long ago", "prompt", "login", ago(time.Hour), false},
			{"prompt=login, not said when", "prompt", "login", nil, false},
			{"max_age kept", "max_age", "600", ago(5 * time.Minute), true},
			{"max_age passed", "max_age", "600", ago(time.Hour), false},
			{"any time", "max_age", "", ago(time.Hour), true},
		} {
			idp.says(func(f *foreignIDP) { f.claims = tc.claims })
			b := s.browser()
			r := b.open(b.elsewhere(asks("web", webCallback, tc.parameter, tc.value), "corp"))
			if in := r.status == http.StatusSeeOther; in != tc.in || !in && r.status != http.StatusForbidden {
				t.Errorf("%s: %d %s", tc.name, r.status, r.body)
			}
			if tc.in {
				c := claimsOf(t, b.tokensBy(r).str("id_token"))
				if at := int64(c["auth_time"].(float64)); at != tc.claims["auth_time"] {
					t.Errorf("%s: auth_time %d, elsewhere %v", tc.name, at, tc.claims["auth_time"])
				}
			}
		}
	})
}

// TestAnEssentialACRIsAPassword: what another provider says of somebody has no acr, and does not do where one is essential.
func TestAnEssentialACRIsAPassword(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		p := idp.provider("corp")
		p.Trust = account.Trust{Links: true}
		s := startWith(t, st, p)
		b := s.browser()
		b.tokensBy(b.throughElsewhere("corp"))
		request := asks("web", webCallback, "claims", `{"id_token":{"acr":{"essential":true,"values":["1"]}}}`)
		to := b.open(request).location(t)
		page := b.open(to.RequestURI())
		if to.Path != "/login" || strings.Contains(page.body, "Continue with") {
			t.Fatalf("%s: %s", to, page.body)
		}
		// A form that was made up goes there and back, for nothing.
		_, there, _ := strings.Cut(b.submit("/login/corp", page.form()).header.Get("Refresh"), "url=")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, there, nil)
		if err != nil {
			t.Fatal(err)
		}
		back := b.open(s.do(plain, r).location(t).RequestURI()).location(t)
		if got := b.open(back.RequestURI()).location(t).Query(); got.Get("error") != "unmet_authentication_requirements" || got.Get("code") != "" {
			t.Errorf("sent back with %v", got)
		}
		if c := claimsOf(t, b.tokensBy(b.login(request, alice, alicePassword)).str("id_token")); c["acr"] != "1" {
			t.Errorf("by password: %v", c)
		}
	})
}
