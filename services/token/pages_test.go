package token_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token"
)

const asksPassword = "Your password is asked for here and nowhere else."

// leads tells whether a page leads to a place, and nowhere else; "" for nowhere.
func (r reply) leads(to string) bool {
	if to == "" {
		return !strings.Contains(r.body, "<a ")
	}
	return strings.Count(r.body, "<a ") == 1 && strings.Contains(r.body, `href="`+to+`"`)
}

func TestAnUnknownPathHasAPage(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for _, path := range []string{"/nothing", "/login/", "/oauth2", "/assets/nothing.css", "/assets/", "/.well-known/nothing", "/%00", "/%3Cscript%3E"} {
			r := s.get(path)
			if r.status != http.StatusNotFound || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "There is nothing here") ||
				strings.Contains(r.body, asksPassword) || strings.Contains(r.body, "<script") || r.header.Get("Content-Security-Policy") == "" {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
		if r := s.post("/nothing", "", "", url.Values{}); r.status != http.StatusNotFound || !strings.Contains(r.body, "There is nothing here") {
			t.Errorf("POST: %d", r.status)
		}
		if r := s.get("/oauth2/token"); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" {
			t.Errorf("a method that a path does not have: %d, Allow %q", r.status, r.header.Get("Allow"))
		}
		if r := s.get("/oauth2/../oauth2/jwks"); r.status != http.StatusTemporaryRedirect && r.status != http.StatusMovedPermanently {
			t.Errorf("a path written otherwise: %d", r.status)
		}
		for _, path := range []string{"/favicon.ico", "/assets/mark.svg"} {
			if r := s.get(path); r.status != http.StatusOK || r.header.Get("Content-Type") != "image/svg+xml" {
				t.Errorf("%s: %d %s", path, r.status, r.header.Get("Content-Type"))
			}
		}
	})
}

// TestPagesLeadOn: to where an application of our own is at home, however the request names it, and nowhere else.
func TestPagesLeadOn(t *testing.T) {
	const home = "https://app.example.com/"
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		link := b.open(asks("web", webCallback)).location(t).RequestURI()
		form := b.open(link).form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		if r := b.submit("/login", form); r.status != http.StatusSeeOther {
			t.Fatalf("%d %s", r.status, r.body)
		}
		third := s.browser().open(asks("partner", partnerURI)).location(t).RequestURI()
		for _, tc := range []struct {
			name   string
			answer reply
			to     string
		}{
			{"a log-in that is over", b.open(link), home},
			{"its form", b.submit("/login", form), home},
			{"another browser's", s.browser().open(link), home},
			{"that of a third party", s.browser().open(third), ""},
			{"one of an unknown client", b.open("/login?tx=guess&client_id=nobody"), ""},
			{"one that names no client", b.open("/login?tx=guess"), ""},
			{"one of a program", b.open("/consent?tx=guess&client_id=native"), "https://native.example.com/"},
			{"a request that is wrong", b.open(asks("web", "https://evil.example/")), home},
			{"one of a third party", b.open(asks("partner", "https://evil.example/")), ""},
			{"a log-out with no more to say", s.browser().open("/oauth2/logout?client_id=web"), home},
			{"one to elsewhere", s.browser().open("/oauth2/logout?client_id=web&post_logout_redirect_uri=https://evil.example/"), home},
			{"one of nobody in particular", s.browser().open("/oauth2/logout"), ""},
			{"the start page", s.get("/"), "/account"},
			{"an unknown path", s.get("/nothing?client_id=web"), ""},
		} {
			if !tc.answer.leads(tc.to) || strings.Contains(tc.answer.body, "evil.example") {
				t.Errorf("%s does not lead to %q alone: %s", tc.name, tc.to, tc.answer.body)
			}
		}
		if _, err := s.db.Exec(t.Context(), `UPDATE clients SET disabled_at = 1 WHERE id = 'web'`); err != nil {
			t.Fatal(err)
		}
		if r := s.browser().open(link); !r.leads("") {
			t.Errorf("to an application that is disabled: %s", r.body)
		}
	})
}

// TestTheHintOfALogOutLeadsOn is the client that an ID token was issued to, whatever the request says besides.
func TestTheHintOfALogOutLeadsOn(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.get("/oauth2/logout?id_token_hint=" + s.tokens().str("id_token"))
		if r.status != http.StatusOK || !strings.Contains(r.body, "You are signed out") || !r.leads("https://app.example.com/") {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestOnlyTheLoginPageSaysThatItAsksForThePassword(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		login := b.open(b.open(asks("partner", partnerURI)).location(t).RequestURI())
		consent := b.open(b.signIn(asks("partner", partnerURI), alice, alicePassword).location(t).RequestURI())
		for name, tc := range map[string]struct {
			page reply
			asks bool
		}{
			"log-in": {login, true}, "consent": {consent, false}, "log-out": {b.open("/oauth2/logout"), false}, "start": {s.get("/"), false},
			"an error": {s.get("/login?tx=guess"), false},
		} {
			if strings.Contains(tc.page.body, asksPassword) != tc.asks || strings.Contains(tc.page.body, `type="password"`) != tc.asks {
				t.Errorf("%s: %s", name, tc.page.body)
			}
		}
	})
}

// TestOnlyAHostOfItsOwnIsKeptToHTTPS: what browsers are told for localhost would hold for everything on this machine.
func TestOnlyAHostOfItsOwnIsKeptToHTTPS(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for issuer, want := range map[string]bool{
			"https://id.example.com": true, "https://192.0.2.1:8443": true, "https://localhost.example.com": true,
			"https://localhost:8443": false, "https://id.localhost": false, "https://127.0.0.1:8443": false, "https://127.8.8.8": false,
			"https://[::1]:8443": false, "http://localhost": false,
		} {
			cfg := s.config()
			cfg.Issuer = issuer
			service, err := token.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			service.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if got := w.Header().Get("Strict-Transport-Security") != ""; got != want {
				t.Errorf("%s: %v", issuer, got)
			}
		}
	})
}
