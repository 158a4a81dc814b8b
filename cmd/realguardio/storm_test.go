package main_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// storm is so many revocations, spread over time.
type storm struct {
	processes, verifiers int
	revocations          int
	every                time.Duration
	// within is how long 99 of 100 may take from the acknowledgement to the last verifier. Zero: nothing is demanded.
	within time.Duration
	// again is the same, from when a part that was gone is back.
	again time.Duration
}

// full is what is promised: 50 verifiers in 5 processes and a thousand revocations a second, for ten seconds. brief is as
// much of it as everybody's test run can take; how long it takes says nothing on a machine that is busy with other tests.
var (
	full  = storm{processes: 5, verifiers: 10, revocations: 10_000, every: time.Millisecond, within: 100 * time.Millisecond, again: time.Second}
	brief = storm{processes: 2, verifiers: 5, revocations: 600, every: 4 * time.Millisecond}
)

// tokenID is the "jti" of a token.
func tokenID(token string) string {
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token+"..", ".")[1])
	var claims struct {
		ID string `json:"jti"`
	}
	_ = json.Unmarshal(payload, &claims) // what is no token has no id
	return claims.ID
}

// issue gets n tokens of the application's own.
func (s *issuers) issue(t *testing.T, n int) []string {
	t.Helper()
	tokens, next := make([]string, n), atomic.Int64{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r, err := s.post(t.Context(), s.each[0], "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"securitysystem.read"}})
				if err != nil || r.status != http.StatusOK {
					t.Errorf("issuing: %v, %d %s", err, r.status, r.body)
					return
				}
				tokens[i] = r.str("access_token")
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return tokens
}

// follow starts the processes with verifiers, which follow the token services in turn, and has them look out for tokens.
func (st storm) follow(t *testing.T, s *issuers, silence time.Duration, tokens []string) []*verifiersProcess {
	t.Helper()
	config := verifiersConfig{
		Dir: s.dir, Issuer: s.issuer, Secret: s.secrets["customer"], Verifiers: st.verifiers, MaxSilence: silence,
	}
	for _, one := range s.each {
		config.Targets = append(config.Targets, one.grpc)
	}
	var all []*verifiersProcess
	for range st.processes {
		all = append(all, startVerifiers(t, config))
	}
	for _, p := range all {
		p.ask(t, order{Watch: tokens})
	}
	return all
}

// rage revokes all tokens at the rate of the storm, as their client does (RFC 7009), and returns when each was
// acknowledged. What a service does not answer is asked again, of the next.
func (st storm) rage(t *testing.T, s *issuers, tokens []string) []int64 {
	t.Helper()
	acknowledged, next, began := make([]int64, len(tokens)), atomic.Int64{}, time.Now()
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(tokens); i = int(next.Add(1)) - 1 {
				wait(t.Context(), time.Until(began.Add(time.Duration(i)*st.every)))
				for try := i; acknowledged[i] == 0; try++ {
					r, err := s.post(t.Context(), s.each[try%len(s.each)], "/oauth2/revoke", url.Values{"token": {tokens[i]}})
					switch {
					case err == nil && r.status == http.StatusOK:
						acknowledged[i] = moment()
					case t.Context().Err() != nil:
						return
					default:
						wait(t.Context(), 20*time.Millisecond)
					}
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	t.Logf("%d revocations acknowledged in %v: %.0f a second", len(tokens), took.Round(time.Millisecond), float64(len(tokens))/took.Seconds())
	return acknowledged
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tally demands that every verifier refuses every token, and says how long that took from the acknowledgement to the last
// verifier. Unless within is zero, 99 of 100 must not have taken longer.
func tally(t *testing.T, processes []*verifiersProcess, acknowledged []int64, within time.Duration) {
	t.Helper()
	guards, callers := make([]int64, len(acknowledged)), make([]int64, (len(acknowledged)+sampled-1)/sampled)
	missed, verifiers := 0, 0
	latest := func(of []int64, at []int64) {
		for i, refused := range at {
			if refused == 0 {
				missed++
			}
			of[i] = max(of[i], refused)
		}
	}
	var lag time.Duration
	for _, p := range processes {
		r := p.ask(t, order{Report: patience})
		for i := range r.Refused {
			latest(guards, r.Refused[i])
			latest(callers, r.Answered[i])
			lag = max(lag, r.Stats[i].Lag)
			verifiers++
		}
	}
	if missed > 0 {
		t.Errorf("%d refusals are missing", missed)
	}
	answers := make([]int64, len(callers))
	for i := range answers {
		answers[i] = acknowledged[i*sampled]
	}
	took := between(acknowledged, guards)
	t.Logf("from acknowledgement to refusal at the last of %d verifiers: %v; as callers see it: %v; lag of the last one: %v",
		verifiers, took, between(answers, callers), lag)
	if got := took.at(.99); within > 0 && got > within {
		t.Errorf("the p99 is %v, more than %v", got, within)
	}
}

// durations are sorted.
type durations []time.Duration

// between is how long it took from each moment to the other.
func between(from, to []int64) durations {
	took := make(durations, len(from))
	for i := range from {
		took[i] = time.Duration(max(0, to[i]-from[i])).Round(100 * time.Microsecond)
	}
	slices.Sort(took)
	return took
}

func (d durations) at(share float64) time.Duration { return d[int(share*float64(len(d)-1))] }

func (d durations) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, longest %v", d.at(.5), d.at(.99), d.at(1))
}

// TestAStormOfRevocationsReachesEveryVerifier demands that none is missed and, of the full storm, that it is in time.
func TestAStormOfRevocationsReachesEveryVerifier(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	databases := map[string]func(*testing.T) string{
		"PostgreSQL": func(t *testing.T) string {
			_, postgres := startPostgres(t)
			return postgres + "&schema=token"
		},
	}
	size := brief
	if soak(t) > 0 {
		size = full
		databases["SQLite"] = func(t *testing.T) string { return "sqlite://" + t.TempDir() + "/token.db" }
	}
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			_, redis := startRedis(t)
			s := startIssuers(t, 1, database(t), redis)
			tokens := s.issue(t, size.revocations)
			processes := size.follow(t, s, 0, tokens)
			tally(t, processes, size.rage(t, s, tokens), size.within)
		})
	}
}

// TestNoRevocationIsMissedWhenPartsFailInAStorm takes away, in the middle of it, Redis, then one of two token services by
// a kill, and brings both back.
func TestNoRevocationIsMissedWhenPartsFailInAStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	size := brief
	if soak(t) > 0 {
		size = full
	}
	nudges, redis := startRedis(t)
	_, postgres := startPostgres(t)
	s := startIssuers(t, 2, postgres+"&schema=token", redis)
	tokens := s.issue(t, size.revocations+1)
	last, tokens := tokens[size.revocations:], tokens[:size.revocations]
	processes := size.follow(t, s, time.Second, tokens)

	var acknowledged []int64
	var raging sync.WaitGroup
	raging.Go(func() { acknowledged = size.rage(t, s, tokens) })
	part := time.Duration(size.revocations) * size.every / 4
	wait(t.Context(), part)
	nudges.stop(t, syscall.SIGTERM)
	wait(t.Context(), part/2)
	nudges.start(t)
	reachable(t, "Redis", "tcp", redis)
	wait(t.Context(), part/2)
	s.each[0].kill(t)
	s.http.CloseIdleConnections()
	eventually(t, "sensitive methods close where the token service is gone, and only there", func() error {
		for _, p := range processes {
			for i, got := range p.ask(t, order{Sensitive: true}).Sensitive {
				if want := []codes.Code{codes.Unavailable, codes.PermissionDenied}[i%2]; got != want {
					return problem("verifier %d answers %v, want %v", i, got, want)
				}
			}
		}
		return nil
	})
	s.each[0].start(t)
	s.ready(s.each[0])
	back := moment()
	raging.Wait()
	t.Log("from acknowledgement, or from when the token service was ready again:")
	for i := range acknowledged {
		acknowledged[i] = max(acknowledged[i], back)
	}
	tally(t, processes, acknowledged, size.again)
	eventually(t, "sensitive methods open again", func() error {
		for _, p := range processes {
			if r := p.ask(t, order{Sensitive: true}); slices.Contains(r.Sensitive, codes.Unavailable) {
				return problem("%v", r.Sensitive)
			}
		}
		return nil
	})
	t.Logf("open everywhere %v after the token service was ready again", time.Duration(moment()-back).Round(time.Millisecond))
	for _, p := range processes {
		p.ask(t, order{Watch: last})
	}
	tally(t, processes, size.rage(t, s, last), 0)
}
