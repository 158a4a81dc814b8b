// Package jwt verifies access tokens against an issuer's published keys (RFC 9068, RFC 7517), without asking the issuer.
//
// It does not know who may do what, nor which tokens were revoked: that is the guard's, in package mesh.
package jwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// maxToken is the longest token looked at, in bytes.
const maxToken = 8 << 10

// Config says which tokens a [Verifier] accepts.
type Config struct {
	// Issuer must equal "iss", to the letter. Required. Keys are found by its discovery document (OpenID Connect Discovery, section 4)
	// unless JWKSURL or Keys is set.
	Issuer string
	// Audiences: one of them must appear in "aud" (RFC 9068, section 4). Required.
	Audiences []string
	// Claims reads the tokens of another issuer than ours. Default: they are ours, typed and named as RFC 9068 has it.
	Claims *claims.Mapping
	// Algorithms are accepted, each by keys of its own type. A key that is published without its algorithm verifies by
	// the first of its type. Default: ES256, RS256 and EdDSA.
	Algorithms []string
	// JWKSURL is where the issuer's keys are. Default: what discovery says.
	JWKSURL string
	// Keys reads the issuer's JWK set in place of HTTP. It is for the issuer's own process.
	Keys func(ctx context.Context) ([]byte, error)
	// HTTPClient fetches keys. Default: one with a timeout of 10 seconds. Redirects are never followed.
	HTTPClient *http.Client

	// Leeway is the clock difference tolerated on "exp", "nbf" and "iat". Default: 30 seconds.
	Leeway time.Duration
	// Refresh is how often keys are fetched again, and so the longest that a key which its issuer has withdrawn is still
	// trusted without a revocation feed. A key that is published for twice as long before it signs is known by then, even
	// where fetching fails for a while. Default: a minute.
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
	cfg    Config
	claims *claims.Reader
	keys   *keySet
	cache  *cache
	// forgeries is what is known of tokens that their key did not sign.
	forgeries *forgeries

	misses, refused atomic.Uint64
}

var _ mesh.Verifier = (*Verifier)(nil)

// New makes a verifier and tries to fetch the issuer's keys once. That they cannot be fetched is no error: until they
// are there, Verify answers [mesh.ErrCannotVerify]. Call [Verifier.Run] to keep them fresh.
func New(ctx context.Context, cfg Config) (*Verifier, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	reader, err := claims.New(claims.Config{Issuer: cfg.Issuer, Audiences: cfg.Audiences, Leeway: cfg.Leeway, Mapping: cfg.Claims})
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	v := &Verifier{cfg: cfg, claims: reader, keys: newKeySet(cfg), cache: newCache(cfg.CacheSize), forgeries: newForgeries()}
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

// Issuer is whose tokens are verified.
func (v *Verifier) Issuer() string { return v.cfg.Issuer }

// Namespace is what the issuer's identifiers are set apart by; empty for ours.
func (v *Verifier) Namespace() string { return v.claims.Namespace() }

// Known returns whom token speaks for, if it was verified before and still stands.
func (v *Verifier) Known(token string) (mesh.Identity, bool) {
	e, s := v.cache.get(token)
	if e == nil || !e.key.trusted.Load() || !v.cfg.Now().Before(e.identity.Expiry) || !v.keys.fresh() {
		return mesh.Identity{}, false
	}
	s.hits.Add(1)
	return e.identity, true
}

// Verify returns whom token speaks for. It does no I/O unless the token names a key that is not known. An error wraps
// [mesh.ErrCannotVerify] or says why the token is refused; it never holds the token.
func (v *Verifier) Verify(ctx context.Context, token string) (mesh.Identity, error) {
	if identity, ok := v.Known(token); ok {
		return identity, nil
	}
	v.misses.Add(1)
	e, err := v.verify(ctx, token)
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
func (v *Verifier) verify(ctx context.Context, token string) (*verified, error) {
	if len(token) > maxToken {
		return nil, refused("oversized", "the token is too long")
	}
	jws, ok := jose.Split(token)
	if !ok {
		return nil, refused("malformed", "the token is not a compact JWS")
	}
	h, err := v.parseHeader(jws.Header)
	if err != nil {
		return nil, err
	}
	k, err := v.keys.key(ctx, h.kid)
	if err != nil {
		return nil, err
	}
	if h.alg != k.alg {
		return nil, refused("algorithm", "alg is not that of the key")
	}
	if err := v.forgeries.check(ctx, k, token, &jws, v.cfg.Now()); err != nil {
		return nil, err
	}
	members, err := jose.Object(jws.Payload)
	if err != nil {
		return nil, refused("malformed", "payload: "+err.Error())
	}
	identity, err := v.claims.Read(members, jws.Signed, v.cfg.Now())
	if err != nil {
		return nil, err
	}
	identity.KeyID = v.claims.Qualify(k.id)
	return &verified{token: token, identity: compact(identity), key: k}, nil
}

func (c *Config) complete() error {
	if c.Algorithms == nil {
		c.Algorithms = defaultAlgorithms
	}
	for _, alg := range c.Algorithms {
		if !AlgorithmKnown(alg) {
			return fmt.Errorf("jwt: algorithm %q is not one of %v", alg, knownAlgorithms)
		}
	}
	setDefault(&c.Leeway, 30*time.Second)
	setDefault(&c.Refresh, time.Minute)
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
