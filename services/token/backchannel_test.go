package token_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/keys"
)

// application is a client that wants to be told of logouts: a relying party, as far as these tests go.
type application struct {
	*httptest.Server
	id string

	mu     sync.Mutex
	status int
	told   []string // tokens
	hold   chan struct{}
}

func newApplication(t *testing.T, s *server, id string, alg keys.Alg) *application {
	t.Helper()
	a := &application{id: id, status: http.StatusOK}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	_, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: id, Name: id, Secret: webSecret, Grants: codeGrants, FirstParty: true,
		RedirectURIs: []string{webCallback}, Scopes: []string{"openid"}, IDTokenAlg: alg, BackchannelLogoutURI: a.URL + "/logout?app=" + id})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	status, hold := a.status, a.hold
	if r.Method != http.MethodPost || r.URL.Query().Get("app") != a.id || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" ||
		r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
		status = http.StatusTeapot
	}
	a.told = append(a.told, r.PostFormValue("logout_token"))
	a.mu.Unlock()
	if hold != nil {
		<-hold
	}
	w.Header().Set("Location", "http://169.254.169.254/")
	w.WriteHeader(status)
}

func (a *application) answers(status int, hold chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.hold = status, hold
}

func (a *application) tokens() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.told)
}

// is told waits for the nth logout token and has a foreign library verify it.
func (a *application) isTold(t *testing.T, s *server, n int) *oidc.LogoutToken {
	t.Helper()
	meshtest.Await(t, a.id+" is told", func() bool { return len(a.tokens()) >= n })
	provider, err := oidc.NewProvider(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: a.id, Now: s.clock.Now}).VerifyLogout(t.Context(), a.tokens()[n-1])
	if err != nil {
		t.Fatal(err)
	}
	return verified
}

// pending counts the deliveries that are not done.
func (s *server) pending() (n int) {
	s.t.Helper()
	if err := s.db.QueryRow(s.t.Context(), `SELECT count(*) FROM logout_deliveries`).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// opens signs alice in at an application, or comes in by the session that she has.
func (b *browser) opens(a *application) reply {
	b.t.Helper()
	request := asks(a.id, webCallback, "scope", "openid")
	answer := b.open(request)
	if !answer.location(b.t).Query().Has("code") {
		answer = b.signIn(request, alice, alicePassword)
	}
	code := b.logs.secret(answer.location(b.t).Query().Get("code"))
	return b.post("/oauth2/token", a.id, webSecret, redeems(code, webCallback))
}

// TestEveryClientOfASessionIsToldOfItsEnd ends sessions in each way there is.
func TestEveryClientOfASessionIsToldOfItsEnd(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("bob@foo.example", "bob's own password")
		one, two := newApplication(t, s, "one", keys.ES256), newApplication(t, s, "two", keys.EdDSA)
		other := newApplication(t, s, "other", keys.RS256)
		for name, end := range map[string]func(t *testing.T, b *browser, tokens reply){
			"signing out at one of them": func(t *testing.T, b *browser, tokens reply) {
				b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
			},
			"signing out from another place than the browser": func(t *testing.T, _ *browser, tokens reply) {
				s.post("/oauth2/logout", "", "", url.Values{"id_token_hint": {tokens.str("id_token")}})
			},
			"confirming on our page": func(t *testing.T, b *browser, _ reply) {
				b.submit("/oauth2/logout/confirm", b.open("/oauth2/logout").form())
			},
			"another person signing in in the same browser": func(t *testing.T, b *browser, _ reply) {
				b.signIn(asks("web", webCallback, "prompt", "login"), "bob@foo.example", "bob's own password")
			},
			"ending everything of a person": func(t *testing.T, _ *browser, tokens reply) {
				if err := s.OAuth().SignOutUser(t.Context(), subjectOf(t, tokens), ""); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				told, also := len(one.tokens()), len(two.tokens())
				b := s.browser()
				tokens := b.opens(one)
				b.opens(two)
				b.opens(one) // again, which is one visit
				end(t, b, tokens)
				first, second := one.isTold(t, s, told+1), two.isTold(t, s, also+1)
				sid, sub := sessionOf(t, tokens.str("access_token")), subjectOf(t, tokens)
				for _, got := range []*oidc.LogoutToken{first, second} {
					if got.SessionID != sid || got.Subject != sub {
						t.Errorf("told of %s of %s, want %s of %s", got.SessionID, got.Subject, sid, sub)
					}
				}
				if first.TokenID == second.TokenID || len(first.Audience) != 1 || first.Audience[0] != "one" || first.Expiry.Sub(first.IssuedAt) > 2*time.Minute {
					t.Errorf("told %+v", first)
				}
				meshtest.Await(t, "nothing is left to tell", func() bool { return s.pending() == 0 })
				if len(one.tokens()) != told+1 || len(two.tokens()) != also+1 {
					t.Error("told more than once")
				}
			})
		}
		if n := len(other.tokens()); n != 0 {
			t.Errorf("an application that was never opened is told %d times", n)
		}
		t.Run("a logout token is nothing else", func(t *testing.T) {
			logout := one.tokens()[0]
			if s.accepted(logout) {
				t.Error("it passes for an access token")
			}
			if got := s.browser().open("/oauth2/logout?id_token_hint=" + logout); got.status != http.StatusBadRequest {
				t.Errorf("as an id_token_hint: %d", got.status)
			}
			refused(t, s.post("/oauth2/token", "", "", with(logout)), http.StatusUnauthorized, "invalid_client")
			if got := s.post("/oauth2/introspect", "customer", serviceSecret, url.Values{"token": {logout}}); got.json["active"] != false {
				t.Errorf("introspection: %s", got.body)
			}
			for name := range claimsOf(t, logout) {
				if !slices.Contains([]string{"iss", "sub", "aud", "iat", "exp", "jti", "sid", "events"}, name) {
					t.Errorf("it tells %s", name)
				}
			}
		})
		discovery := s.get("/.well-known/openid-configuration").json
		if discovery["backchannel_logout_supported"] != true || discovery["backchannel_logout_session_supported"] != true {
			t.Error("discovery does not tell of it")
		}
	})
}

// TestALogoutIsToldUntilItIsHeard lets a client fail, restarts the service meanwhile, and then lets it answer.
func TestALogoutIsToldUntilItIsHeard(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		a := newApplication(t, s, "one", keys.ES256)
		well := newApplication(t, s, "two", keys.ES256)
		signOut := func() {
			b := s.browser()
			tokens := b.opens(a)
			b.opens(well)
			begun := time.Now()
			b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
			if time.Since(begun) > 5*time.Second {
				t.Error("the person waits for the application")
			}
		}
		hang := make(chan struct{})
		a.answers(http.StatusOK, hang)
		signOut()
		well.isTold(t, s, 1)
		meshtest.Await(t, "it hears, and says nothing", func() bool { return len(a.tokens()) == 1 })
		s.stop()
		close(hang)
		a.answers(http.StatusServiceUnavailable, nil)
		s = begin(t, st, strings.TrimPrefix(s.url, "http://"), s.clock, s.logs)
		if s.pending() != 1 {
			t.Fatal("a logout that nobody has heard of is forgotten")
		}
		s.clock.Advance(31 * time.Second) // the lease of the one that was stopped
		for try := range 4 {
			meshtest.Await(t, "it is tried again, after the restart too", func() bool { return tries(t, s, "failed") > float64(try) })
			s.clock.Advance(time.Minute)
		}
		a.answers(http.StatusNoContent, nil)
		s.clock.Advance(time.Minute)
		meshtest.Await(t, "it is told at last", func() bool { return s.pending() == 0 })
		a.isTold(t, s, len(a.tokens()))

		for name, c := range map[string]struct {
			status int
			after  time.Duration
		}{
			"its answer is that it will not": {http.StatusBadRequest, 0},
			"it sends us elsewhere":          {http.StatusTemporaryRedirect, 0},
			"it has not answered for a day":  {http.StatusBadGateway, 25 * time.Hour},
		} {
			before, failed := len(a.tokens()), tries(t, s, "failed")
			a.answers(c.status, nil)
			signOut()
			meshtest.Await(t, name, func() bool { return len(a.tokens()) > before })
			if c.after > 0 {
				meshtest.Await(t, "the try has failed", func() bool { return tries(t, s, "failed") > failed })
				s.clock.Advance(c.after)
			}
			meshtest.Await(t, name+": given up", func() bool { return s.pending() == 0 })
		}
		// A client that is unregistered needs not be told.
		if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "one", Name: "one", Secret: webSecret, Grants: codeGrants,
			RedirectURIs: []string{webCallback}, Scopes: []string{"openid"}, FirstParty: true}); err != nil {
			t.Fatal(err)
		}
		signOut()
		meshtest.Await(t, "nothing is left to tell", func() bool { return s.pending() == 0 })
	})
}

// TestReplicasTellOnce has two processes deliver at once.
func TestReplicasTellOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		f := startReplicas(t, st, 2)
		a := newApplication(t, f.server, "one", keys.ES256)
		const people = 12
		for range people {
			b := f.browser()
			tokens := b.opens(a)
			b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
		}
		meshtest.Await(t, "nothing is left to tell", func() bool { return f.pending() == 0 })
		if n := len(a.tokens()); n != people {
			t.Errorf("%d sign-outs are told %d times", people, n)
		}
	})
}

// TestALogoutGoesNowhereElse registers addresses that a client could have for us to call.
func TestALogoutGoesNowhereElse(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		register := func(uri string) error {
			_, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "one", Name: "one", Secret: webSecret, Grants: codeGrants, FirstParty: true,
				RedirectURIs: []string{webCallback}, Scopes: []string{"openid"}, BackchannelLogoutURI: uri})
			return err
		}
		for _, bad := range []string{"http://app.example.com/logout", "ftp://app.example.com/", "javascript:alert(1)", "/logout", "https://",
			"https://app.example.com/#x", "https://a:b@app.example.com/", "https://169.254.169.254/latest", "https://[fe80::1]/", "https://[::ffff:169.254.169.254]/",
			"https://0.0.0.0/", "com.example.app:/logout", "https://app.example.com/" + strings.Repeat("x", 2000)} {
			if err := register(bad); err == nil || !strings.Contains(err.Error(), "backchannelLogoutUri") {
				t.Errorf("%.60s: %v", bad, err)
			}
		}
		// What a name resolves to is only known when it is asked for; so it is looked at then.
		if err := register("https://app.example.com/logout"); err != nil {
			t.Fatal(err)
		}
		for _, address := range []string{"https://169.254.169.254/latest/meta-data", "https://100.100.100.200/", "http://192.0.2.1/"} {
			if _, err := s.db.Exec(t.Context(), `UPDATE clients SET backchannel_logout_uri = $1 WHERE id = 'one'`, address); err != nil {
				t.Fatal(err)
			}
			b := s.browser()
			tokens := b.opens(&application{id: "one"})
			failed := tries(t, s, "failed")
			b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
			meshtest.Await(t, "the try fails", func() bool { return tries(t, s, "failed") > failed })
			if !s.logs.contains("nothing is sent to this address") {
				t.Errorf("%s: not refused by its address", address)
			}
			if _, err := s.db.Exec(t.Context(), `DELETE FROM logout_deliveries`); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// tries counts what came of telling clients.
func tries(t *testing.T, s *server, outcome string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "realguardio_logout_deliveries_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatal("not counted")
	return 0
}

func subjectOf(t *testing.T, tokens reply) string {
	t.Helper()
	sub, _ := claimsOf(t, tokens.str("access_token"))["sub"].(string)
	return sub
}
