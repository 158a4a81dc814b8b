package jwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"golang.org/x/sync/singleflight"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/discovery"
)

const (
	maxKeys = 100
	// fetchLimit bounds one fetch whoever waits for it.
	fetchLimit = 10 * time.Second
	// maxWaiting is how many calls may wait for a key that is not known: half of those that a server has room for where
	// nothing else is configured (mesh.Limits), so that an issuer that is slow leaves room for who need not wait.
	maxWaiting = 500
)

// keySet holds the issuer's keys as last fetched. Reading takes no lock.
type keySet struct {
	cfg     Config
	http    *discovery.Client
	current atomic.Pointer[map[string]*key]
	// fetched is when keys were last fetched well, in nanoseconds of the Unix epoch; 0: never.
	fetched           atomic.Int64
	fetches, failures atomic.Uint64
	// failing tells that the last fetch brought no keys.
	failing atomic.Bool

	flight  singleflight.Group
	waiting atomic.Int64
	// Only touched inside of a flight.
	tried time.Time
	jwks  string
}

func newKeySet(cfg Config) *keySet {
	s := &keySet{cfg: cfg, http: discovery.New(cfg.HTTPClient), jwks: cfg.JWKSURL}
	s.current.Store(&map[string]*key{})
	return s
}

// fresh reports whether there are keys that may be trusted still.
func (s *keySet) fresh() bool { return s.age() < s.cfg.MaxStale }

// age is how long ago keys were last fetched well.
func (s *keySet) age() time.Duration {
	at := s.fetched.Load()
	if at == 0 {
		return 1<<63 - 1
	}
	return time.Duration(s.cfg.Now().UnixNano() - at)
}

// key returns the key named id. An id that is not known causes a fetch, of which there is one at a time and one in
// Cooldown, so that tokens with made-up ids cannot make us call the issuer.
func (s *keySet) key(ctx context.Context, id string) (*key, error) {
	k := (*s.current.Load())[id]
	if k != nil && s.fresh() {
		return k, nil
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return nil, fmt.Errorf("%w: too many wait for the issuer's keys", mesh.ErrCannotVerify)
	}
	err := s.refetch(ctx)
	if !s.fresh() {
		return nil, fmt.Errorf("%w: %w", mesh.ErrCannotVerify, err)
	}
	if k = (*s.current.Load())[id]; k != nil {
		return k, nil
	}
	if s.failing.Load() { // it may have a new one
		return nil, fmt.Errorf("%w: the key is not known here, and the issuer's keys cannot be fetched", mesh.ErrCannotVerify)
	}
	return nil, refused("unknown_key", "the issuer has no such key")
}

var errCooldown = errors.New("jwt: keys were asked for a moment ago")

// refetch fetches keys, or waits for the fetch that is under way. The fetch does not end with the caller who began it,
// because others may wait for it; fetchLimit ends it.
func (s *keySet) refetch(ctx context.Context) error {
	done := s.flight.DoChan("", func() (any, error) {
		if now := s.cfg.Now(); now.Sub(s.tried) < s.cfg.Cooldown {
			return nil, errCooldown
		}
		return nil, s.fetch(context.WithoutCancel(ctx))
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run fetches keys every Refresh, and more often while there are none.
func (s *keySet) run(ctx context.Context) {
	pause := s.cfg.Refresh
	if !s.fresh() {
		pause = 100 * time.Millisecond
	}
	for {
		// Spread over replicas.
		timer := time.NewTimer(pause - rand.N(pause/10+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		_, err, _ := s.flight.Do("", func() (any, error) { return nil, s.fetch(ctx) })
		switch {
		case err == nil:
			pause = s.cfg.Refresh
		case ctx.Err() != nil:
			return
		case s.fresh():
			s.cfg.Logger.WarnContext(ctx, "the issuer's keys cannot be refreshed", "issuer", s.cfg.Issuer, "error", err)
			pause = min(s.cfg.Refresh, 10*time.Second)
		default:
			pause = min(2*pause, 5*time.Second, s.cfg.Refresh)
		}
	}
}

// fetch fetches keys and puts them in use.
func (s *keySet) fetch(ctx context.Context) error {
	s.tried = s.cfg.Now()
	s.fetches.Add(1)
	err := s.renew(ctx)
	if s.failing.Store(err != nil); err != nil {
		s.failures.Add(1)
	}
	return err
}

func (s *keySet) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	document, err := s.document(ctx)
	if err != nil {
		if s.cfg.JWKSURL == "" {
			s.jwks = "" // ask discovery again: the keys may have moved
		}
		return err
	}
	set, err := jwk.Parse(document, jwk.WithIgnoreParseError(true))
	if err != nil {
		return fmt.Errorf("jwt: parse keys of %s: %w", s.cfg.Issuer, err)
	}
	if set.Len() > maxKeys {
		return fmt.Errorf("jwt: %s publishes %d keys", s.cfg.Issuer, set.Len())
	}
	s.adopt(ctx, set)
	s.fetched.Store(s.cfg.Now().UnixNano())
	return nil
}

// adopt replaces the keys in use. A key that stays keeps its identity, so that what it has verified stays cached; one
// that is gone, or has become another under the same id, is trusted no more.
func (s *keySet) adopt(ctx context.Context, set jwk.Set) {
	old, next := *s.current.Load(), map[string]*key{}
	ambiguous := map[string]bool{}
	for i := range set.Len() {
		published, _ := set.Key(i)
		k, err := newKey(published, s.cfg.Algorithms)
		if err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "a published key is not used",
				slog.String("issuer", s.cfg.Issuer), slog.String("kid", published.KeyID()), slog.String("error", err.Error()))
			continue
		}
		if before := old[k.id]; before != nil && before.thumbprint == k.thumbprint {
			k = before
		}
		if other := next[k.id]; other != nil && other.thumbprint != k.thumbprint {
			ambiguous[k.id] = true
		}
		next[k.id] = k
	}
	for id := range ambiguous {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the issuer publishes two keys of one id: neither is used",
			slog.String("issuer", s.cfg.Issuer), slog.String("kid", id))
		delete(next, id)
	}
	s.current.Store(&next)
	for id, k := range old {
		if next[id] != k {
			k.trusted.Store(false)
		}
	}
}

func (s *keySet) document(ctx context.Context) ([]byte, error) {
	if s.cfg.Keys != nil {
		document, err := s.cfg.Keys(ctx)
		if err != nil {
			return nil, fmt.Errorf("jwt: read keys of %s: %w", s.cfg.Issuer, err)
		}
		return document, nil
	}
	if s.jwks == "" {
		found, err := s.http.Endpoint(ctx, s.cfg.Issuer, "jwks_uri")
		if err != nil {
			return nil, fmt.Errorf("jwt: find keys: %w", err)
		}
		s.jwks = found
	}
	document, err := s.http.Get(ctx, s.jwks)
	if err != nil {
		return nil, fmt.Errorf("jwt: fetch keys: %w", err)
	}
	return document, nil
}
