// Package jwt verifies access tokens against an issuer's published keys (RFC 9068, RFC 7517), without asking the issuer.
//
// It does not know who may do what, nor which tokens were revoked: that is the guard's, in package mesh.
package jwt

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// maxToken is the longest token looked at, in bytes.
const maxToken = 8 << 10

// Config says which tokens a [Verifier] accepts.
type Config struct {
	// Issuer must equal "iss". Required. Keys are found by its discovery document (OpenID Connect Discovery, section 4)
	// unless JWKSURL or Keys is set.
	Issuer string
	// Audiences: one of them must appear in "aud" (RFC 9068, section 4). Required.
	Audiences []string
	// JWKSURL is where the issuer's keys are. Default: what discovery says.
	JWKSURL string
	// Keys reads the issuer's JWK set in place of HTTP. It is for the issuer's own process.
	Keys func(ctx context.Context) ([]byte, error)
	// HTTPClient fetches keys. Default: one with a timeout of 10 seconds. Redirects are never followed.
	HTTPClient *http.Client

	// Leeway is the clock difference tolerated on "exp", "nbf" and "iat". Default: 30 seconds.
	Leeway time.Duration
	// Refresh is how often keys are fetched again, and so the longest that a key which its issuer has withdrawn is still
	// trusted without a revocation feed. Default: 5 minutes.
	Refresh time.Duration
	// Cooldown is the least time between two fetches that unknown key ids cause. Default: 5 seconds.
	Cooldown time.Duration
	// MaxStale is how long keys are trusted while the issuer cannot be reached. Default: 24 hours.
	MaxStale time.Duration
	// CacheSize is about how many verified tokens are remembered. Default: 16384, about 25 MB when full, so that ten
	// thousand callers fit, however unevenly they fall.
	CacheSize int

	// Logger is told when keys change or cannot be fetched. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Verifier verifies access tokens. It is safe for concurrent use.
type Verifier struct {
	cfg   Config
	keys  *keySet
	cache *cache

	misses, refused atomic.Uint64
}

var _ mesh.Verifier = (*Verifier)(nil)

// New makes a verifier and tries to fetch the issuer's keys once. That they cannot be fetched is no error: until they
// are there, Verify answers [mesh.ErrCannotVerify]. Call [Verifier.Run] to keep them fresh.
func New(ctx context.Context, cfg Config) (*Verifier, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	v := &Verifier{cfg: cfg, keys: newKeySet(cfg), cache: newCache(cfg.CacheSize)}
	if err := v.keys.refetch(ctx); err != nil {
		cfg.Logger.WarnContext(ctx, "the issuer's keys cannot be fetched yet", "issuer", cfg.Issuer, "error", err)
	}
	return v, nil
}

// Run refreshes the issuer's keys until ctx ends. It returns nil.
func (v *Verifier) Run(ctx context.Context) error {
	v.keys.run(ctx)
	return nil
}

// Ready reports whether keys are there and not older than MaxStale.
func (v *Verifier) Ready() bool { return v.keys.fresh() }

// Verify returns whom token speaks for. It does no I/O unless the token names a key that is not known. An error wraps
// [mesh.ErrCannotVerify] or says why the token is refused; it never holds the token.
func (v *Verifier) Verify(ctx context.Context, token string) (mesh.Identity, error) {
	now := v.cfg.Now()
	if e, s := v.cache.get(token); e != nil && e.key.trusted.Load() && now.Before(e.identity.Expiry) && v.keys.fresh() {
		s.hits.Add(1)
		return e.identity, nil
	}
	v.misses.Add(1)
	e, err := v.verify(ctx, token, now)
	if err != nil {
		if !errors.Is(err, mesh.ErrCannotVerify) {
			v.refused.Add(1)
		}
		return mesh.Identity{}, err
	}
	v.cache.put(e)
	return e.identity, nil
}

// verify does what there is to do about a token that is not remembered.
func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*verified, error) {
	if len(token) > maxToken {
		return nil, refused("oversized", "the token is too long")
	}
	jws, ok := jose.Split(token)
	if !ok {
		return nil, refused("malformed", "the token is not a compact JWS")
	}
	h, err := parseHeader(jws.Header)
	if err != nil {
		return nil, err
	}
	k, err := v.keys.key(ctx, h.kid)
	if err != nil {
		return nil, err
	}
	if err := k.verify(h.alg, jws.Signed, jws.Signature); err != nil {
		return nil, err
	}
	identity, err := v.claims(jws.Payload, now)
	if err != nil {
		return nil, err
	}
	identity.KeyID = k.id
	return &verified{token: token, identity: identity, key: k}, nil
}

func (c *Config) complete() error {
	switch {
	case c.Issuer == "":
		return errors.New("jwt: Issuer is missing")
	case len(c.Audiences) == 0:
		return errors.New("jwt: Audiences is missing")
	}
	for _, a := range c.Audiences {
		if a == "" {
			return errors.New("jwt: Audiences has an empty one")
		}
	}
	setDefault(&c.Leeway, 30*time.Second)
	setDefault(&c.Refresh, 5*time.Minute)
	setDefault(&c.Cooldown, 5*time.Second)
	setDefault(&c.MaxStale, 24*time.Hour)
	setDefault(&c.CacheSize, 16_384)
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// refusal says why a token is not accepted.
type refusal struct{ cause, text string }

func refused(cause, text string) error { return &refusal{cause: cause, text: text} }

func (r *refusal) Error() string { return "jwt: " + r.text }

// Cause is one of a few fixed words, for metrics.
func (r *refusal) Cause() string { return r.cause }
