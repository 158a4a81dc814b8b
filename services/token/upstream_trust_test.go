package token_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/upstream"
)

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
func TestAPersonIsToldOfAnotherWayIn(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		idp := newForeignIDP(t)
		idp.claims = map[string]any{"email": "private@mail.example", "email_verified": false}
		d := withMail(t, st, func(cfg *token.Config) { cfg.Upstreams.Providers = []upstream.Provider{idp.provider("mail")} })
		d.logs.secret(foreignSecret)
		b := d.browser()
		form := b.throughElsewhere("mail").form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		b.tokensBy(b.submit("/link", form))
		l := d.letter(alice, 1)
		if l.Subject() != "Another provider signs you in" || !strings.Contains(l.Text, d.url+"/account") || !strings.Contains(l.HTML, d.url+"/account") {
			t.Errorf("%s: %s", l.Subject(), l.Text)
		}
		again := d.browser()
		again.tokensBy(again.throughElsewhere("mail"))
		d.settled()
		if n := d.count(`SELECT count(*) FROM letters`); n != 0 || len(d.office.Taken()) != 1 {
			t.Errorf("told again: %d letters, %d sent", n, len(d.office.Taken()))
		}
	})
}

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
