package token_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// parallel runs f n times at once and returns the answers.
func parallel(n int, f func() reply) []reply {
	replies, begin := make([]reply, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			replies[i] = f()
		})
	}
	close(begin)
	all.Wait()
	return replies
}

// TestACodeIsRedeemedOnce redeems one code a hundred times at once: one caller is answered, and because the others were
// replays, what that one got is worth nothing.
func TestACodeIsRedeemedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		code := s.browser().code(asks("web", webCallback))
		var won []reply
		for _, r := range parallel(100, func() reply { return s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)) }) {
			if r.status == http.StatusOK {
				won = append(won, r)
				continue
			}
			refused(t, r, 400, "invalid_grant")
		}
		if len(won) != 1 {
			t.Fatalf("%d of 100 got tokens", len(won))
		}
		if s.accepted(won[0].str("access_token")) {
			t.Error("the access token survived the replays")
		}
		refused(t, s.refresh(won[0].str("refresh_token")), 400, "invalid_grant")
	})
}

func TestACodeReplayedLaterRevokes(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		code := s.browser().code(asks("web", webCallback))
		first := s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback))
		if !s.accepted(first.str("access_token")) {
			t.Fatal("the tokens do not work to begin with")
		}
		s.clock.Advance(10 * time.Minute) // the tombstone outlives the code
		renewed := s.refresh(first.str("refresh_token"))
		// Another client can do nothing to it.
		refused(t, s.post("/oauth2/token", "partner", partnerSecret, redeems(code, webCallback)), 400, "invalid_grant")
		if !s.accepted(renewed.str("access_token")) {
			t.Fatal("another client's attempt revoked the grant")
		}
		refused(t, s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)), 400, "invalid_grant")
		if s.accepted(renewed.str("access_token")) {
			t.Error("the access token survived the replay")
		}
		refused(t, s.refresh(renewed.str("refresh_token")), 400, "invalid_grant")
	})
}

// TestARefreshTokenIsRotatedOnce uses one refresh token a hundred times at once: one rotation, and whoever is answered
// gets the same successor.
func TestARefreshTokenIsRotatedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		first := s.tokens().str("refresh_token")
		successors := map[string]int{}
		for _, r := range parallel(100, func() reply { return s.refresh(first) }) {
			if r.status != http.StatusOK {
				t.Errorf("%d %s", r.status, r.body)
			}
			successors[r.str("refresh_token")]++
		}
		if len(successors) != 1 || successors[first] != 0 {
			t.Fatalf("%d different successors", len(successors))
		}
		var generation int64
		if err := s.db.QueryRow(t.Context(), `SELECT generation FROM grants`).Scan(&generation); err != nil || generation != 2 {
			t.Errorf("generation %d, %v", generation, err)
		}
		for next := range successors {
			if r := s.refresh(next); r.status != http.StatusOK {
				t.Errorf("the successor: %d %s", r.status, r.body)
			}
		}
	})
}

func TestReuseOfARefreshToken(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		reuse := func(t *testing.T, between func(first, second string), revokes bool) {
			first := s.tokens().str("refresh_token")
			second := s.refresh(first)
			between(first, second.str("refresh_token"))
			again := s.refresh(first)
			if !revokes {
				if again.status != http.StatusOK || again.str("refresh_token") != second.str("refresh_token") {
					t.Errorf("%d %s", again.status, again.body)
				}
				return
			}
			refused(t, again, 400, "invalid_grant")
			refused(t, s.refresh(second.str("refresh_token")), 400, "invalid_grant")
			if s.accepted(second.str("access_token")) {
				t.Error("an access token of the family is still accepted")
			}
		}
		t.Run("within the window it is answered with the same successor", func(t *testing.T) {
			reuse(t, func(string, string) { s.clock.Advance(9 * time.Second) }, false)
		})
		t.Run("after the window it revokes the family", func(t *testing.T) {
			reuse(t, func(string, string) { s.clock.Advance(11 * time.Second) }, true)
		})
		t.Run("within the window it revokes the family once the successor was used", func(t *testing.T) {
			reuse(t, func(_, second string) { s.refresh(second) }, true)
		})
		t.Run("after a restart it revokes the family", func(t *testing.T) {
			reuse(t, func(string, string) {
				s.clock.Advance(11 * time.Second)
				s = s.again(st)
			}, true)
		})
		t.Run("with Redis flushed it revokes the family, and stays revoked", func(t *testing.T) {
			flush := func() {
				if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			first := s.tokens().str("refresh_token")
			second := s.refresh(first).str("refresh_token")
			s.clock.Advance(11 * time.Second)
			flush()
			refused(t, s.refresh(first), 400, "invalid_grant")
			flush()
			refused(t, s.refresh(second), 400, "invalid_grant")
		})
	})
}

// TestARevokedGrantIsKnownToRedis is the fast path: what is marked there is refused before the database is asked.
func TestARevokedGrantIsKnownToRedis(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		refreshToken := s.tokens().str("refresh_token")
		if r := s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {refreshToken}}); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		marks, err := s.redis.Keys(t.Context(), "rgt:revoked:*").Result()
		if err != nil || len(marks) != 1 {
			t.Fatalf("marks %v, %v", marks, err)
		}
		// Even a database that had lost the revocation would not be asked.
		if _, err := s.db.Exec(t.Context(), `UPDATE grants SET revoked_at = 0`); err != nil {
			t.Fatal(err)
		}
		refused(t, s.refresh(refreshToken), 400, "invalid_grant")
	})
}

func TestRevocationEndpoint(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		revoke := func(client, secret, token string) reply {
			return s.post("/oauth2/revoke", client, secret, url.Values{"token": {token}})
		}
		tokens := s.tokens()
		access, refreshToken := tokens.str("access_token"), tokens.str("refresh_token")
		for name, token := range map[string]string{"access": access, "refresh": refreshToken, "garbage": "garbage", "forged": refreshToken[:len(refreshToken)-3] + "abc"} {
			if r := revoke("partner", partnerSecret, token); r.status != http.StatusOK {
				t.Errorf("%s token of another client: %d", name, r.status)
			}
		}
		if !s.accepted(access) {
			t.Fatal("another client revoked it")
		}
		refused(t, revoke("web", "wrong", access), 401, "invalid_client")
		refused(t, revoke("web", webSecret, ""), 400, "invalid_request")
		revoke("web", webSecret, access)
		if s.accepted(access) {
			t.Error("the access token is still accepted")
		}
		renewed := s.refresh(refreshToken)
		if !s.accepted(renewed.str("access_token")) {
			t.Error("revoking one access token ended the family")
		}
		revoke("web", webSecret, renewed.str("refresh_token"))
		revoke("web", webSecret, renewed.str("refresh_token"))
		if s.accepted(renewed.str("access_token")) {
			t.Error("revoking the refresh token left its access token")
		}
		refused(t, s.refresh(renewed.str("refresh_token")), 400, "invalid_grant")
	})
}

func TestARefreshTokenIsBound(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		use := func(client, secret, token string, more ...string) reply {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
			for i := 0; i < len(more); i += 2 {
				form.Set(more[i], more[i+1])
			}
			return s.post("/oauth2/token", client, secret, form)
		}
		token := s.tokens().str("refresh_token")
		refused(t, use("partner", partnerSecret, token), 400, "invalid_grant")
		refused(t, use("web", webSecret, token+"x"), 400, "invalid_grant")
		refused(t, use("web", webSecret, "grt_x.1.x"), 400, "invalid_grant")
		refused(t, use("web", webSecret, ""), 400, "invalid_request")
		refused(t, use("web", webSecret, token, "scope", "openid securitysystem.arm"), 400, "invalid_scope")
		narrowed := use("web", webSecret, token, "scope", "securitysystem.read")
		if narrowed.str("scope") != "securitysystem.read" || narrowed.str("id_token") != "" {
			t.Errorf("narrowed: %s", narrowed.body)
		}
		if r := s.refresh(narrowed.str("refresh_token")); r.str("scope") != "openid profile email securitysystem.read" {
			t.Errorf("the family was narrowed for good: %s", r.body)
		}
		s.clock.Advance(31 * 24 * time.Hour)
		refused(t, s.refresh(s.refresh(narrowed.str("refresh_token")).str("refresh_token")), 400, "invalid_request")

		disabled := s.tokens().str("refresh_token")
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET disabled = $1`, true); err != nil {
			t.Fatal(err)
		}
		refused(t, s.refresh(disabled), 400, "invalid_grant")
	})
}

// TestRevocationsAtOnceAreNumberedWithoutGaps is what readers of the log rely on.
func TestRevocationsAtOnceAreNumberedWithoutGaps(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		access := make(chan string, 60)
		for range cap(access) {
			access <- s.machine("service", serviceSecret).str("access_token")
		}
		for _, r := range parallel(cap(access), func() reply {
			return s.post("/oauth2/revoke", "service", serviceSecret, url.Values{"token": {<-access}})
		}) {
			if r.status != http.StatusOK {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		var n, lowest, highest, head int64
		if err := s.db.QueryRow(t.Context(), `SELECT count(*), min(number), max(number), (SELECT head FROM revocation_head) FROM revocations`).
			Scan(&n, &lowest, &highest, &head); err != nil {
			t.Fatal(err)
		}
		if n != 60 || lowest != 1 || highest != 60 || head != 60 {
			t.Errorf("%d entries from %d to %d, head %d", n, lowest, highest, head)
		}
	})
}
