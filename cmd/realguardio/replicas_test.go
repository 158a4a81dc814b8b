package main_test

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
)

// rush sends n requests at once, in turn to each of the processes, and returns the answers.
func (s *issuers) rush(t *testing.T, n int, path string, form url.Values, with ...as) []reply {
	t.Helper()
	replies, errs, begin := make([]reply, n), make([]error, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			replies[i], errs[i] = s.post(t.Context(), s.each[i%len(s.each)], path, form, with...)
		})
	}
	close(begin)
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return replies
}

// refusedBy demands that every process refuses an access token: at UserInfo at once, and at its guard, which hears of
// revocations as every other verifier of the mesh does, as soon as it has heard.
func (s *issuers) refusedBy(t *testing.T, access string) {
	t.Helper()
	for _, one := range s.each {
		a := call(t, s.http, http.MethodGet, one.url+"/oauth2/userinfo", nil, bearer(access))
		if a.status != http.StatusUnauthorized {
			t.Errorf("UserInfo of %s still answers %d %s", one.name, a.status, a.body)
		}
		me := tokenv1.NewAccountServiceClient(s.dial(t, one, "gateway"))
		eventually(t, "the guard of "+one.name+" refuses the token", func() error {
			if _, err := me.GetMe(withToken(t.Context(), access), &tokenv1.GetMeRequest{}); status.Code(err) != codes.Unauthenticated {
				return problem("%v", err)
			}
			return nil
		})
	}
}

// demandError demands an OAuth error.
func demandError(t *testing.T, what string, r reply, want int, code string) {
	t.Helper()
	if r.status != want || r.str("error") != code {
		t.Errorf("%s: got %d %s, want %d %s", what, r.status, r.body, want, code)
	}
}

// generation is that of the only live grant, or of the newest.
func (s *issuers) generation(t *testing.T) (n int64) {
	t.Helper()
	if err := s.db.QueryRow(t.Context(), `SELECT generation FROM grants ORDER BY created_at DESC, id DESC LIMIT 1`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// rotated makes all grants have been rotated some time ago, instead of waiting.
func (s *issuers) rotated(t *testing.T, ago time.Duration) {
	t.Helper()
	if _, err := s.db.Exec(t.Context(), `UPDATE grants SET rotated_at = $1`, time.Now().Add(-ago).UnixMicro()); err != nil {
		t.Fatal(err)
	}
}

// TestTwoProcessesDecideRacesAsOne runs the token service as two processes of the operating system on one PostgreSQL and
// one Redis, and sends both what must happen once.
func TestTwoProcessesDecideRacesAsOne(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	_, redis := startRedis(t)
	_, postgres := startPostgres(t)
	s := startIssuers(t, 2, postgres+"&schema=token", redis)
	here, there := s.each[0], s.each[1]

	t.Run("of a hundred who redeem one code one succeeds, and the others end what it got", func(t *testing.T) {
		code := s.code(t, s.browser(), here)
		var won []reply
		for _, r := range s.rush(t, 100, "/oauth2/token", redeems(code)) {
			if r.status == http.StatusOK {
				won = append(won, r)
				continue
			}
			demandError(t, "one who lost", r, http.StatusBadRequest, "invalid_grant")
		}
		if len(won) != 1 {
			t.Fatalf("%d of 100 got tokens", len(won))
		}
		s.refusedBy(t, won[0].str("access_token"))
		for _, one := range s.each {
			demandError(t, "its refresh token", s.refresh(t, one, won[0].str("refresh_token")), http.StatusBadRequest, "invalid_grant")
		}
	})
	t.Run("a code redeemed at one and replayed at the other ends what it got", func(t *testing.T) {
		code := s.code(t, s.browser(), here)
		first := s.token(t, here, redeems(code))
		if a := call(t, s.http, http.MethodGet, there.url+"/oauth2/userinfo", nil, bearer(first.str("access_token"))); a.status != http.StatusOK {
			t.Fatalf("the other does not know the token to begin with: %d %s", a.status, a.body)
		}
		demandError(t, "the replay", s.token(t, there, redeems(code)), http.StatusBadRequest, "invalid_grant")
		s.refusedBy(t, first.str("access_token"))
		demandError(t, "its refresh token", s.refresh(t, here, first.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("of a hundred who use one refresh token one rotates it, and all get the same successor", func(t *testing.T) {
		first := s.tokens(t, here).str("refresh_token")
		second := s.rotatedOnce(t, first)
		if r := s.refresh(t, there, second); r.status != http.StatusOK {
			t.Errorf("the successor: %d %s", r.status, r.body)
		}
	})
	t.Run("of a hundred polls of a connected device one gets tokens, and the others end them", func(t *testing.T) { s.deviceOnce(t) })
	t.Run("of a hundred browsers with one pushed request one gets a code", func(t *testing.T) { s.pushedOnce(t) })
	t.Run("of a hundred uses of one client assertion one gets a token", func(t *testing.T) { s.assertedOnce(t) })
	for name, between := range map[string]func(){
		"a spent refresh token ends the family":                                func() {},
		"a spent refresh token ends the family after a kill of both processes": s.killAll,
	} {
		t.Run(name, func(t *testing.T) {
			first := s.tokens(t, here).str("refresh_token")
			second := s.refresh(t, there, first)
			between()
			s.rotated(t, 0) // a start may take long on a busy machine
			again := s.refresh(t, here, first)
			if again.status != http.StatusOK || again.str("refresh_token") != second.str("refresh_token") {
				t.Errorf("within the window: %d %s", again.status, again.body)
			}
			s.rotated(t, 11*time.Second)
			demandError(t, "after the window", s.refresh(t, here, first), http.StatusBadRequest, "invalid_grant")
			s.refusedBy(t, second.str("access_token"))
			s.killAll()
			demandError(t, "the successor", s.refresh(t, there, second.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
			s.refusedBy(t, second.str("access_token"))
		})
	}
	t.Run("and after a kill a refresh token of before is rotated once", func(t *testing.T) {
		first := s.tokens(t, here).str("refresh_token")
		s.killAll()
		s.rotatedOnce(t, first)
	})
}

// rotatedOnce uses a refresh token of the first generation a hundred times at once and returns its successor.
func (s *issuers) rotatedOnce(t *testing.T, first string) string {
	t.Helper()
	successors := []string{}
	for _, r := range s.rush(t, 100, "/oauth2/token", renews(first)) {
		if r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
		successors = append(successors, r.str("refresh_token"))
	}
	slices.Sort(successors)
	if successors = slices.Compact(successors); len(successors) != 1 || successors[0] == first {
		t.Fatalf("%d different successors", len(successors))
	}
	if n := s.generation(t); n != 2 {
		t.Errorf("generation %d", n)
	}
	return successors[0]
}
