package main_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// soonEnough bounds how long a request may take that cannot be answered. A machine that is busy with tests is slow; what is
// looked for is a wait for something that does not come.
const soonEnough = 10 * time.Second

// unavailable sends n requests at once and demands that all of them are told, soon, to come again.
func (s *issuers) unavailable(t *testing.T, n int, path string, form url.Values) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soonEnough)
	defer cancel()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			r, err := s.post(ctx, s.each[0], path, form)
			if err == nil && (r.status != http.StatusServiceUnavailable || r.str("error") != "temporarily_unavailable" || r.header.Get("Retry-After") == "") {
				err = fmt.Errorf("%d, Retry-After %q: %s", r.status, r.header.Get("Retry-After"), r.body)
			}
			if err != nil {
				t.Errorf("%s, %s: %v", path, form.Get("grant_type"), err)
			}
		})
	}
	all.Wait()
}

// page demands a page that tells a person what to do, and nothing of what is wrong inside.
func (s *issuers) page(t *testing.T, browser *http.Client, path, want string, status int) {
	t.Helper()
	a := call(t, browser, http.MethodGet, s.each[0].url+path, nil, accepting("text/html"))
	body := string(a.body)
	if a.status != status || !strings.Contains(body, want) || !strings.Contains(body, "<html") {
		t.Errorf("%s: %d, without %q: %s", path, a.status, want, body)
	}
	for _, inside := range []string{"127.0.0.1", "dial", "SQL", "redis", "connection"} {
		if strings.Contains(body, inside) {
			t.Errorf("%s shows %q: %s", path, inside, body)
		}
	}
}

// goroutines is how many the process has.
func (s *issuers) goroutines(t *testing.T) int {
	t.Helper()
	a := call(t, s.http, http.MethodGet, "http://"+s.each[0].ops+"/metrics", nil)
	for line := range strings.Lines(string(a.body)) {
		if text, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the metrics do not say how many goroutines there are")
	return 0
}

// fromMemory demands what verifiers need to start and to go on.
func (s *issuers) fromMemory(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/oauth2/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		if a := call(t, s.http, http.MethodGet, s.each[0].url+path, nil); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// health demands that the process lives, and whether it is ready.
func (s *issuers) health(t *testing.T, ready int) {
	t.Helper()
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": ready} {
		if a := call(t, s.http, http.MethodGet, "http://"+s.each[0].ops+path, nil); a.status != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// TestTheTokenServiceOutlivesItsStores takes PostgreSQL away from a process, then Redis, and gives them back.
func TestTheTokenServiceOutlivesItsStores(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	cache, address := startRedis(t)
	postgres, databaseURL := startPostgres(t)
	s := startIssuers(t, 1, databaseURL+"&schema=token", address)
	at := s.each[0]
	tokens := s.tokens(t, at)
	machine := url.Values{"grant_type": {"client_credentials"}}
	again := func(t *testing.T, form url.Values) {
		t.Helper()
		eventually(t, "it recovers by itself", func() error {
			r, err := s.post(t.Context(), at, "/oauth2/token", form)
			if err == nil {
				err = answered(form.Get("grant_type"), r, http.StatusOK)
			}
			return err
		})
		s.ready(at)
		if tokens = s.refresh(t, at, tokens.str("refresh_token")); tokens.status != http.StatusOK {
			t.Fatalf("a refresh token of before: %d %s", tokens.status, tokens.body)
		}
		s.tokens(t, at) // somebody signs in
	}

	t.Run("without PostgreSQL the token endpoint says so at once, keys and metadata are served, and nothing piles up", func(t *testing.T) {
		browser := s.browser()
		before := s.goroutines(t)
		postgres.stop(t, syscall.SIGINT)
		for range 3 {
			s.unavailable(t, 100, "/oauth2/token", machine)
		}
		s.unavailable(t, 20, "/oauth2/token", renews(tokens.str("refresh_token")))
		s.unavailable(t, 1, "/oauth2/revoke", url.Values{"token": {tokens.str("refresh_token")}})
		s.unavailable(t, 1, "/oauth2/introspect", url.Values{"token": {tokens.str("access_token")}})
		s.fromMemory(t)
		s.page(t, browser, authorizes(), "Please try again", http.StatusServiceUnavailable)
		s.health(t, http.StatusServiceUnavailable)
		s.http.CloseIdleConnections()
		eventually(t, "what waited is gone", func() error {
			if now := s.goroutines(t); now > before+20 {
				return problem("%d goroutines, %d before", now, before)
			}
			return nil
		})
		postgres.start(t)
		answers(t, databaseURL)
		again(t, machine)
	})
	t.Run("without Redis nobody signs in, and who needs no sign-in is answered", func(t *testing.T) {
		code := s.code(t, s.browser(), at)
		cache.stop(t, syscall.SIGTERM)
		s.unavailable(t, 20, "/oauth2/token", redeems(code))
		s.unavailable(t, 1, "/oauth2/token", url.Values{"grant_type": {"password"}, "username": {issuerPerson}, "password": {issuerPassword}})
		s.page(t, s.browser(), authorizes(), "Please try again", http.StatusServiceUnavailable)
		if r := s.token(t, at, machine); r.status != http.StatusOK {
			t.Errorf("client credentials: %d %s", r.status, r.body)
		}
		r := s.refresh(t, at, tokens.str("refresh_token"))
		if r.status != http.StatusOK {
			t.Fatalf("refresh: %d %s", r.status, r.body)
		}
		tokens = r
		ended, err := s.post(t.Context(), at, "/oauth2/revoke", url.Values{"token": {r.str("access_token")}})
		if err != nil || ended.status != http.StatusOK {
			t.Errorf("revocation: %d %s, %v", ended.status, ended.body, err)
		}
		s.refusedBy(t, r.str("access_token"))
		s.fromMemory(t)
		cache.start(t)
		again(t, redeems(code)) // which could not be redeemed meanwhile
	})
	t.Run("while a store takes everything and answers nothing, requests end in time", func(t *testing.T) {
		thaw := freeze(t, cache)
		if tokens = s.refresh(t, at, tokens.str("refresh_token")); tokens.status != http.StatusOK {
			t.Errorf("a renewal, which Redis only makes faster: %d %s", tokens.status, tokens.body)
		}
		s.unavailable(t, 20, "/oauth2/token", redeems("no-code"))
		thaw()
		before := s.goroutines(t)
		thaw = freeze(t, postgres)
		s.unavailable(t, 100, "/oauth2/token", machine)
		s.fromMemory(t)
		s.http.CloseIdleConnections()
		eventually(t, "what waited is gone", func() error {
			if now := s.goroutines(t); now > before+40 {
				return problem("%d goroutines, %d before", now, before)
			}
			return nil
		})
		thaw()
		again(t, machine)
	})
	t.Run("with Redis flushed nothing that was over comes back", func(t *testing.T) { flushed(t, s, address) })
}

// freeze stops a server with its children where they are, and returns what lets them go on.
func freeze(t *testing.T, p *process) (thaw func()) {
	t.Helper()
	pids := []int{p.running.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pids[0]))
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the children of a process")
	}
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	all := func(signal syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal) // a child may have ended meanwhile
		}
	}
	all(syscall.SIGSTOP)
	thaw = sync.OnceFunc(func() { all(syscall.SIGCONT) })
	t.Cleanup(thaw)
	return thaw
}

// flushed ends things in every way, empties Redis, and tries them again.
func flushed(t *testing.T, s *issuers, address string) {
	at := s.each[0]
	store := redis.NewClient(&redis.Options{Addr: address})
	defer store.Close()
	revoke := func(token string) {
		t.Helper()
		if r, err := s.post(t.Context(), at, "/oauth2/revoke", url.Values{"token": {token}}); err != nil || r.status != http.StatusOK {
			t.Fatalf("revoking: %d %s, %v", r.status, r.body, err)
		}
	}
	used := s.code(t, s.browser(), at)
	ofCode := s.token(t, at, redeems(used))
	replayed := s.code(t, s.browser(), at)
	ofReplayed := s.token(t, at, redeems(replayed))
	demandError(t, "a replay", s.token(t, at, redeems(replayed)), http.StatusBadRequest, "invalid_grant")
	accessRevoked, familyRevoked, spent := s.tokens(t, at), s.tokens(t, at), s.tokens(t, at)
	revoke(accessRevoked.str("access_token"))
	revoke(familyRevoked.str("refresh_token"))
	if marks := store.Keys(t.Context(), "rgt:revoked:*").Val(); len(marks) < 2 {
		t.Errorf("revoked grants are not to be seen in Redis: %v", marks)
	}
	signedOut := s.browser()
	f := s.token(t, at, redeems(s.code(t, signedOut, at)))
	call(t, signedOut, http.MethodGet, at.url+"/oauth2/logout?id_token_hint="+f.str("id_token"), nil)
	successor := s.refresh(t, at, spent.str("refresh_token"))
	begun := s.browser()
	login := call(t, begun, http.MethodGet, at.url+authorizes(), nil).header.Get("Location")
	waiting := s.code(t, s.browser(), at)

	if err := store.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for what, access := range map[string]string{"revoked": accessRevoked.str("access_token"), "of a revoked family": familyRevoked.str("access_token"),
		"of a replayed code": ofReplayed.str("access_token"), "of a session that was ended": f.str("access_token")} {
		if a := call(t, s.http, http.MethodGet, at.url+"/oauth2/userinfo", nil, bearer(access)); a.status != http.StatusUnauthorized {
			t.Errorf("an access token, %s: %d %s", what, a.status, a.body)
		}
	}
	for what, refresh := range map[string]string{"revoked": familyRevoked.str("refresh_token"), "of a replayed code": ofReplayed.str("refresh_token"),
		"of a session that was ended": f.str("refresh_token")} {
		demandError(t, "a refresh token, "+what, s.refresh(t, at, refresh), http.StatusBadRequest, "invalid_grant")
	}
	for what, code := range map[string]string{"used": used, "replayed": replayed, "that nobody had redeemed yet": waiting} {
		demandError(t, "a code, "+what, s.token(t, at, redeems(code)), http.StatusBadRequest, "invalid_grant")
	}
	if r := s.refresh(t, at, ofCode.str("refresh_token")); r.status != http.StatusOK {
		t.Errorf("what a code gave when it was used: %d %s", r.status, r.body)
	}
	s.rotated(t, 11*time.Second)
	demandError(t, "a spent refresh token", s.refresh(t, at, spent.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
	demandError(t, "its successor", s.refresh(t, at, successor.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
	s.page(t, begun, login, "start again", http.StatusForbidden)
	s.tokens(t, at) // and people sign in as ever
}
