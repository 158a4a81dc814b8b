// Package ratelimit says who comes too often: a token bucket for each key, of a bounded number of keys.
package ratelimit

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/realguardio/realguardio/gateway/lru"
)

// Limit is the rate allowed to one key. The zero Limit allows everything.
type Limit struct {
	// PerSecond is the steady rate.
	PerSecond float64
	// Burst is how many may come at once.
	Burst int
}

// keys is how many callers are remembered. Whoever is forgotten starts with a full bucket.
const keys = 1 << 16

// Limiter is safe for concurrent use. A nil *Limiter allows everything.
type Limiter[K comparable] struct {
	limit   Limit
	now     func() time.Time
	buckets *lru.Map[K, *rate.Limiter]
}

// New returns a limiter that gives each key its own bucket.
func New[K comparable](limit Limit, now func() time.Time) *Limiter[K] {
	if limit == (Limit{}) {
		return nil
	}
	return &Limiter[K]{limit: limit, now: now, buckets: lru.New[K, *rate.Limiter](keys)}
}

// Allow takes one from the bucket of key. Where it is empty, wait is when to come again.
func (l *Limiter[K]) Allow(key K) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	bucket := l.buckets.GetOr(key, func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
	})
	now := l.now()
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	short := 1 - bucket.TokensAt(now)
	return time.Duration(short / l.limit.PerSecond * float64(time.Second)), false
}
