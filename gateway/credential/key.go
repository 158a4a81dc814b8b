package credential

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/realguardio/realguardio/gateway/lru"
	"github.com/realguardio/realguardio/gateway/ratelimit"
	"github.com/realguardio/realguardio/mesh"
)

// Exchanger gets an access token for an API key from the identity provider.
type Exchanger interface {
	// ClientCredentials returns [ErrRefused] when the provider refuses the key; any other error is passing.
	ClientCredentials(ctx context.Context, id, secret string) (token string, expiry time.Time, err error)
}

// Config of a [Checker].
type Config struct {
	// Verifier, Revocations and Exchanger are required.
	Verifier    mesh.Verifier
	Revocations mesh.Revocations
	Exchanger   Exchanger
	// Introspector is asked about opaque tokens. Default: they are refused.
	Introspector Introspector
	// Introspections limits how often it is asked because of one address. Default: 10 a second, 100 at once.
	Introspections ratelimit.Limit
	// Attempts limits the exchanges of one key id from one address; tokens in memory are not counted.
	// Default: 1 a second, 20 at once.
	Attempts ratelimit.Limit
	// Capacity is how many tokens of each kind are kept in memory. Default: 10,000.
	Capacity int
	// Now tells the time. Default: time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// New checks cfg and returns a checker.
func New(cfg Config) (*Checker, error) {
	switch {
	case cfg.Verifier == nil:
		return nil, errors.New("credential: Verifier is required")
	case cfg.Revocations == nil:
		return nil, errors.New("credential: Revocations is required")
	case cfg.Exchanger == nil:
		return nil, errors.New("credential: Exchanger is required")
	}
	if cfg.Attempts == (ratelimit.Limit{}) {
		cfg.Attempts = ratelimit.Limit{PerSecond: 1, Burst: 20}
	}
	if cfg.Introspections == (ratelimit.Limit{}) {
		cfg.Introspections = ratelimit.Limit{PerSecond: 10, Burst: 100}
	}
	if cfg.Capacity <= 0 {
		cfg.Capacity = 10_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &keys{cfg: cfg, attempts: ratelimit.New[string](cfg.Attempts, cfg.Now), tokens: lru.New[digest, Access](cfg.Capacity)}
	_, _ = rand.Read(k.mac[:]) // never fails
	return &Checker{verifier: cfg.Verifier, revocations: cfg.Revocations, keys: k, opaques: newOpaques(cfg)}, nil
}

const (
	// freshFor is the life a token must have left to be used from memory.
	freshFor = 10 * time.Second
	// exchangeTimeout bounds one exchange.
	exchangeTimeout = 10 * time.Second
)

// digest stands for a whole credential, under a key of this process: the secret itself is not kept.
type digest [sha256.Size]byte

// keys exchanges API keys and remembers the tokens.
type keys struct {
	cfg      Config
	mac      [32]byte
	attempts *ratelimit.Limiter[string]
	tokens   *lru.Map[digest, Access]
	flights  singleflight.Group
	count    counters
}

// access returns the token of a key, from memory if it lives and is not revoked. Requests with one key share one
// exchange. A refusal is not remembered.
func (k *keys) access(ctx context.Context, key apiKey, from string) (Access, error) {
	d := k.digest(key)
	if a, ok := k.tokens.Get(d); ok {
		if a.Identity.Expiry.Sub(k.cfg.Now()) > freshFor && !k.cfg.Revocations.Revoked(a.Identity) {
			k.count.hits.Add(1)
			return a, nil
		}
		k.tokens.Delete(d)
	}
	done := k.flights.DoChan(string(d[:]), func() (any, error) {
		if wait, ok := k.attempts.Allow(key.id + " " + from); !ok {
			return Access{}, mesh.ResourceExhausted("RATE_LIMITED", wait)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout)
		defer cancel()
		return k.exchange(ctx, key, d)
	})
	select {
	case <-ctx.Done():
		return Access{}, ctx.Err()
	case r := <-done:
		return r.Val.(Access), r.Err
	}
}

// exchange gets a token from the provider. It is verified like any other, so that its identity is known here.
func (k *keys) exchange(ctx context.Context, key apiKey, d digest) (Access, error) {
	k.count.requests.Add(1)
	token, _, err := k.cfg.Exchanger.ClientCredentials(ctx, key.id, key.secret)
	if errors.Is(err, ErrRefused) {
		k.count.refused.Add(1)
		return Access{}, unauthenticated()
	}
	if err != nil {
		k.count.failures.Add(1)
		k.cfg.Logger.WarnContext(ctx, "an API key could not be exchanged", "key", key.id, "error", err)
		return Access{}, mesh.Unavailable("the identity provider")
	}
	id, err := k.cfg.Verifier.Verify(ctx, token)
	if err != nil {
		k.count.failures.Add(1)
		k.cfg.Logger.ErrorContext(ctx, "the identity provider issued a token that cannot be verified", "key", key.id, "error", err)
		return Access{}, mesh.Unavailable("the identity provider")
	}
	if k.cfg.Revocations.Revoked(id) {
		k.count.refused.Add(1)
		return Access{}, unauthenticated()
	}
	a := Access{Token: token, Identity: id}
	k.tokens.Put(d, a)
	return a, nil
}

func (k *keys) digest(key apiKey) digest {
	mac := hmac.New(sha256.New, k.mac[:])
	mac.Write([]byte(key.id + "\x00" + key.secret))
	return digest(mac.Sum(nil))
}
