package token_test

import (
	"net/http"
	"net/url"
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
	s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, func(cfg *token.Config) { cfg.Upstreams = providers })
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

// TestAProviderIsBelievedAsFarAsTheOperatorLetsIt: what it says makes an account or links one in these cases only.
func TestAProviderIsBelievedAsFarAsTheOperatorLetsIt(t *testing.T) {
	const newcomer = "nora@new.example"
	all := account.Trust{Links: true, Creates: true}
	for _, tc := range []struct {
		name   string
		trust  account.Trust
		claims map[string]any
		setup  string
		// in says that somebody is signed in, made and offers what else may come of it.
		in, made, offers bool
	}{
		{name: "an account with the verified address is linked", trust: account.Trust{Links: true}, in: true},
		{name: "not by a provider that is not trusted with it", trust: account.Trust{}, offers: true},
		{name: "not by one that may create accounts only", trust: account.Trust{Creates: true}, offers: true},
		{name: "not by one trusted about other domains", trust: account.Trust{Links: true, Creates: true, Domains: []string{"other.example"}}, offers: true},
		{name: "not by one trusted about a domain that ends alike", trust: account.Trust{Links: true, Domains: []string{"cme.example"}}, offers: true},
		{name: "not by an address that is not verified", trust: all, claims: map[string]any{"email_verified": false}, offers: true},
		{name: "not by one of which that is not said", trust: all, claims: map[string]any{"email_verified": nil}, offers: true},
		{name: "not by one that is verified in some other way", trust: all, claims: map[string]any{"email_verified": 1}, offers: true},
		{name: "not when our account's address is not verified", trust: all, setup: `UPDATE users SET email_verified = FALSE`, offers: true},
		{name: "not without an address", trust: all, claims: map[string]any{"email": nil}, offers: true},
		{name: "verified may be written as text", trust: all, claims: map[string]any{"email_verified": "true"}, in: true},
		{name: "an address is compared without case", trust: all, claims: map[string]any{"email": "ALICE@Acme.Example"}, in: true},
		{name: "a newcomer gets an account", trust: account.Trust{Creates: true}, claims: map[string]any{"email": newcomer}, in: true, made: true},
		{name: "in the domains allowed", trust: account.Trust{Creates: true, Domains: []string{"new.example"}}, claims: map[string]any{"email": newcomer}, in: true, made: true},
		{name: "not in another", trust: account.Trust{Creates: true, Domains: []string{"acme.example"}}, claims: map[string]any{"email": newcomer}, offers: true},
		{name: "not where accounts are not made", trust: account.Trust{Links: true}, claims: map[string]any{"email": newcomer}, offers: true},
		{name: "not with an address that is not verified", trust: all, claims: map[string]any{"email": newcomer, "email_verified": false}, offers: true},
		{name: "an address with two @", trust: all, claims: map[string]any{"email": `alice@acme.example@evil.example`}},
		{name: "a quoted address", trust: all, claims: map[string]any{"email": `"alice@acme.example"@evil.example`}},
		{name: "an address in angle brackets", trust: all, claims: map[string]any{"email": `<alice@acme.example>`}},
		{name: "an address with a letter that folds to one of ASCII", trust: all, claims: map[string]any{"email": "nic\u212a@acme.example"}},
		{name: "an address with a zero byte", trust: all, claims: map[string]any{"email": "alice@acme.example\x00"}},
		{name: "an address with spaces around", trust: all, claims: map[string]any{"email": " alice@acme.example "}},
		{name: "an address with a line break", trust: all, claims: map[string]any{"email": "alice@acme.example\nbcc"}},
		{name: "an address without a domain", trust: all, claims: map[string]any{"email": "alice"}},
		{name: "a disabled account", trust: all, setup: `UPDATE users SET disabled = TRUE`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			oneStore(t, func(t *testing.T, st stores) {
				idp := newForeignIDP(t)
				idp.claims = tc.claims
				p := idp.provider("corp")
				p.Trust = tc.trust
				s := startWith(t, st, p)
				if tc.setup != "" {
					if _, err := s.db.Exec(t.Context(), tc.setup); err != nil {
						t.Fatal(err)
					}
				}
				if tc.in {
					b := s.browser()
					b.tokensBy(b.throughElsewhere("corp"))
					if n := s.people(t); n[1] != 1 || (n[0] == 2) != tc.made {
						t.Errorf("%d accounts, %d links", n[0], n[1])
					}
					return
				}
				s.unchanged(t, func() {
					r := s.browser().throughElsewhere("corp")
					if r.status != http.StatusForbidden || strings.Contains(r.body, `action="/link"`) != tc.offers {
						t.Errorf("%d %s", r.status, r.body)
					}
				})
			})
		})
	}
}

// TestAPasswordLinksAnAccount: whose account it is that a provider cannot say, its password can, once.
func TestAPasswordLinksAnAccount(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		idp.claims = map[string]any{"email": "private@mail.example", "email_verified": false}
		s := startWith(t, st, idp.provider("mail"))
		b := s.browser()
		page := b.throughElsewhere("mail")
		form := page.form()
		if form.Get("tx") == "" || !strings.Contains(page.body, "private@mail.example") {
			t.Fatalf("%d %s", page.status, page.body)
		}
		s.unchanged(t, func() {
			form.Set("username", alice)
			form.Set("password", "wrong")
			if r := b.submit("/link", form); r.status != http.StatusForbidden || !strings.Contains(r.body, "Wrong e-mail or password") {
				t.Errorf("a wrong password: %d %s", r.status, r.body)
			}
			form.Set("password", alicePassword)
			if r := s.browser().submit("/link", form); r.status != http.StatusForbidden {
				t.Errorf("another browser: %d", r.status)
			}
			if r := b.submit("/link", form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); r.status != http.StatusForbidden {
				t.Errorf("another site: %d", r.status)
			}
		})
		c := claimsOf(t, b.tokensBy(b.submit("/link", form)).str("id_token"))
		if c["sub"] != s.subject(t, alice) || c["acr"] != "1" {
			t.Errorf("linked and signed in as %v", c)
		}
		if r := b.submit("/link", form); r.status != http.StatusForbidden {
			t.Errorf("the form again: %d", r.status)
		}
		again := s.browser()
		if c := claimsOf(t, again.tokensBy(again.throughElsewhere("mail")).str("id_token")); c["sub"] != s.subject(t, alice) {
			t.Errorf("signed in as %v", c)
		}
	})
}

// TestAnotherSubjectIsAnotherPerson: an address that is somebody else's at its provider now does not get in, not even with
// the password: the link that there is has to be removed first.
func TestAnotherSubjectIsAnotherPerson(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		p := idp.provider("corp")
		p.Trust = account.Trust{Links: true, Creates: true}
		s := startWith(t, st, p)
		b := s.browser()
		b.tokensBy(b.throughElsewhere("corp"))
		for name, claims := range map[string]map[string]any{
			"verified":     {"sub": "foreign-2"},
			"not verified": {"sub": "foreign-2", "email_verified": false},
		} {
			idp.says(func(f *foreignIDP) { f.claims = claims })
			s.unchanged(t, func() {
				b := s.browser()
				r := b.throughElsewhere("corp")
				if form := r.form(); form.Get("tx") != "" {
					form.Set("username", alice)
					form.Set("password", alicePassword)
					r = b.submit("/link", form)
				}
				if r.status != http.StatusForbidden || !strings.Contains(r.body, "goes with another sign-in at Corp") {
					t.Errorf("%s: %d %s", name, r.status, r.body)
				}
			})
		}
	})
}

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

// TestANameFromElsewhereIsOneThatAnAccountMayHave: one that a provider gives a newcomer is held to the same check as any.
func TestANameFromElsewhereIsOneThatAnAccountMayHave(t *testing.T) {
	const newcomer = "nora@new.example"
	for name, tc := range map[string]struct{ says, want string }{
		"a name is taken":                                  {"Nora New", "Nora New"},
		"in one line":                                      {"  Nora\r\n New ", "Nora New"},
		"without one it is the address":                    {"", newcomer},
		"nor is one taken that turns text around":          {"Nora \u202elive", newcomer},
		"nor one that cannot be seen":                      {"\u200b\u2060", newcomer},
		"nor one that is longer than names of accounts":    {strings.Repeat("n", 201), newcomer},
		"two hundred characters of any script are no more": {strings.Repeat("ñ", 200), strings.Repeat("ñ", 200)},
	} {
		t.Run(name, func(t *testing.T) {
			oneStore(t, func(t *testing.T, st stores) {
				idp := newForeignIDP(t)
				idp.claims = map[string]any{"email": newcomer, "name": tc.says}
				p := idp.provider("corp")
				p.Trust = account.Trust{Creates: true}
				b := startWith(t, st, p).browser()
				tokens := b.tokensBy(b.throughElsewhere("corp"))
				if got := claimsOf(t, tokens.str("id_token"))["name"]; got != tc.want {
					t.Errorf("the account is called %q, want %q", got, tc.want)
				}
			})
		})
	}
}
