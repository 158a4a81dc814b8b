package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// soak is how long the tests that find the rare run: zero for the handful of rounds that everybody runs. `make test-soak`
// sets it.
func soak(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	return d
}

// seed is what the random choices of a test come from, printed so that they can be made again (SOAK_SEED).
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("SOAK_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
	}
	t.Logf("SOAK_SEED=%d", n)
	return n
}

// promise is a change that was acknowledged, and how to see that it is still so. What it was about is changed no more, but
// by the promise itself.
type promise struct {
	what string
	kept func(ctx context.Context, w *world) error
}

const (
	killRounds = 4
	// killWorkers change things at once.
	killWorkers = 4
	// oldPromises bounds how many of earlier rounds are looked at again in each: they become many.
	oldPromises = 150
)

// TestAKillLosesNothingThatWasAcknowledged has the token service change what it keeps, in every way there is, kills it at
// a random moment, starts it again, and sees that everything that it had acknowledged is so.
func TestAKillLosesNothingThatWasAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	for name, databaseURL := range map[string]func(*testing.T) string{
		"SQLite": func(t *testing.T) string { return "sqlite://" + t.TempDir() + "/token.db" },
		"PostgreSQL": func(t *testing.T) string {
			_, url := startPostgres(t)
			return url + "&schema=token"
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, redis := startRedis(t)
			s := startIssuers(t, 1, databaseURL(t), redis)
			// What another connection keeps open would not be recovered after a kill.
			_ = s.db.Close()
			random := rand.New(rand.NewPCG(seed(t), 0))
			var kept []promise
			until := time.Now().Add(soak(t))
			for round := 0; round < killRounds || time.Now().Before(until); round++ {
				made := killRound(t, s, random)
				random.Shuffle(len(kept), func(i, k int) { kept[i], kept[k] = kept[k], kept[i] })
				checkKept(t, s, append(made, kept[:min(len(kept), oldPromises)]...))
				kept = append(kept, made...)
				if t.Failed() {
					t.Fatalf("in round %d", round)
				}
			}
			t.Logf("%d acknowledged changes are there", len(kept))
		})
	}
}

// killRound changes things until the process is killed, starts it again, and returns what was promised.
func killRound(t *testing.T, s *issuers, random *rand.Rand) []promise {
	t.Helper()
	w := newWorld(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var made []promise
	var workers sync.WaitGroup
	for range killWorkers {
		choice := rand.New(rand.NewPCG(random.Uint64(), 0))
		workers.Go(func() {
			for ctx.Err() == nil {
				p, err := changes[choice.IntN(len(changes))](ctx, w, choice)
				mu.Lock()
				made = append(made, p...)
				mu.Unlock()
				if err != nil && !gone(err) {
					t.Error(err)
				}
				if err != nil {
					return
				}
			}
		})
	}
	// The work is a few milliseconds each: the moment falls everywhere in it.
	timer := time.NewTimer(100*time.Millisecond + time.Duration(random.Int64N(int64(300*time.Millisecond))))
	defer timer.Stop()
	<-timer.C
	s.each[0].kill(t)
	cancel()
	workers.Wait()
	s.http.CloseIdleConnections()
	s.each[0].start(t)
	s.ready(s.each[0])
	if len(made) == 0 {
		t.Log("nothing was acknowledged in this round")
	}
	return made
}

func checkKept(t *testing.T, s *issuers, promises []promise) {
	t.Helper()
	w := newWorld(t, s)
	for _, p := range promises {
		if err := p.kept(t.Context(), w); err != nil {
			t.Errorf("%s was acknowledged: %v", p.what, err)
		}
	}
}

// answered turns an answer that was not the expected one into an error.
func answered(what string, r reply, want int) error {
	if r.status != want {
		return fmt.Errorf("%s: %d %s, want %d", what, r.status, r.body, want)
	}
	return nil
}

// userinfo asks UserInfo, which knows of every revocation from the database.
func (w *world) userinfo(ctx context.Context, access string, want int) error {
	a, err := try(ctx, w.http, http.MethodGet, w.each[0].url+"/oauth2/userinfo", nil, bearer(access))
	if err == nil && a.status != want {
		err = fmt.Errorf("UserInfo answered %d %s, want %d", a.status, a.body, want)
	}
	return err
}
