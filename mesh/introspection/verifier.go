// Package introspection verifies access tokens that only their issuer can read, by asking it (RFC 7662), and remembers
// the answers for moments.
//
// What the answers mean is package claims'; which tokens come here is package issuers'.
package introspection

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/internal/discovery"
)

const (
	// maxToken is the longest token asked about, in bytes; minToken the shortest that could be worth guessing.
	maxToken, minToken = 4 << 10, 16
	// flights is how many questions may be under way, so that strangers' tokens do not become a flood at the issuer.
	flights = 64
	// maxWaiting is how many calls may wait for answers: half of those that a server has room for where nothing else is
	// configured (mesh.Limits), so that an issuer that is slow leaves room for who need not wait.
	maxWaiting = 500
)

// Config says whom a [Verifier] asks, and what it accepts.
type Config struct {
	// Issuer is whose tokens these are. What an answer says of its issuer must equal this. Required.
	Issuer string
	// Audiences: one of them must be among the token's. Required.
	Audiences []string
	// Claims reads the answers. Types do not count here: that a token is an access token is said by "token_type" or by
	// what Require demands. Default: that of RFC 9068, without roles and scopes.
	Claims claims.Mapping
	// URL is the introspection endpoint. Default: what discovery says.
	URL string
	// ClientID and, one of the two, Secret (client_secret_basic) or Key (private_key_jwt) prove this part. Required.
	ClientID, Secret string
	Key              crypto.Signer
	// KeyID is what the issuer calls Key. Default: it is not named.
	KeyID string
	// HTTPClient asks. Default: one without limits but Timeout. Redirects are never followed.
	HTTPClient *http.Client

	// TTL is how long an answer counts, and so the longest that a token lives after its issuer has ended it; never beyond
	// its expiry. Default: 10 seconds.
	TTL time.Duration
	// RefusedTTL is the same for a token that is not active. Default: 10 seconds.
	RefusedTTL time.Duration
	// MaxLife is how long a stream may last on one answer, because while it lasts nobody asks again. Default: 5 minutes.
	MaxLife time.Duration
	// NoExpiry accepts answers that do not say when the token expires. Default: they are refused.
	NoExpiry bool
	// CacheSize is how many good tokens are remembered, and how many bad ones. Default: 10000 each, about 10 MB.
	CacheSize int
	// Timeout bounds one question. Default: 5 seconds.
	Timeout time.Duration
	// Leeway is the clock difference tolerated. Default: 30 seconds.
	Leeway time.Duration

	// Logger is told when the issuer cannot be asked. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Verifier is safe for concurrent use.
type Verifier struct {
	cfg     Config
	claims  *claims.Reader
	http    *discovery.Client
	breaker breaker
	slots   chan struct{}
	flight  singleflight.Group
	waiting atomic.Int64
	count   counters
	good    *memory[mesh.Identity]
	bad     *memory[error]
	// strangers counts the bad tokens of each peer.
	strangers strangers

	// endpoint is the introspection endpoint, empty until it was discovered; discovering is held by who does so.
	endpoint    atomic.Pointer[string]
	discovering chan struct{}
}

var _ mesh.Verifier = (*Verifier)(nil)

// New checks cfg. It asks nobody.
func New(cfg Config) (*Verifier, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	reader, err := claims.New(claims.Config{Issuer: cfg.Issuer, Audiences: cfg.Audiences, Leeway: cfg.Leeway, Mapping: &cfg.Claims})
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	v := &Verifier{
		cfg: cfg, claims: reader, http: discovery.New(cfg.HTTPClient), breaker: breaker{now: cfg.Now}, slots: make(chan struct{}, flights),
		good: newMemory[mesh.Identity](cfg.CacheSize), bad: newMemory[error](cfg.CacheSize), strangers: newStrangers(), discovering: make(chan struct{}, 1),
	}
	if cfg.URL != "" {
		v.endpoint.Store(&cfg.URL)
	}
	return v, nil
}

// Issuer is whose tokens are verified.
func (v *Verifier) Issuer() string { return v.cfg.Issuer }

// Namespace is what the issuer's identifiers are set apart by.
func (v *Verifier) Namespace() string { return v.claims.Namespace() }

// Ready reports whether the issuer is asked. It is not for moments after it has failed several times in a row.
func (v *Verifier) Ready() bool { return !v.breaker.open() }

// Run has nothing to do. It returns nil when ctx ends.
func (v *Verifier) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// digest stands for a whole token: an answer counts for no other, and tokens are not kept.
type digest [sha256.Size]byte

// Known returns whom token speaks for, if that was asked moments ago.
func (v *Verifier) Known(token string) (mesh.Identity, bool) {
	id, ok := v.good.get(sha256.Sum256([]byte(token)), v.cfg.Now())
	if ok {
		v.count.hits.Add(1)
	}
	return id, ok
}

// Verify returns whom token speaks for, and asks its issuer if that is not known. An error wraps [mesh.ErrCannotVerify] or
// says why the token is refused; it never holds the token. The wait for an issuer that is down is short, and its tokens
// are not accepted meanwhile. From an address that has sent many bad tokens, only those are asked about that were good before:
// strangers who guess do not become a flood at the issuer, nor keep those out whom it knows.
func (v *Verifier) Verify(ctx context.Context, token string) (mesh.Identity, error) {
	d, now := digest(sha256.Sum256([]byte(token))), v.cfg.Now()
	if id, ok := v.good.get(d, now); ok {
		v.count.hits.Add(1)
		return id, nil
	}
	if err, ok := v.bad.get(d, now); ok {
		v.count.hits.Add(1)
		return mesh.Identity{}, err
	}
	if len(token) > maxToken || len(token) < minToken || strings.Trim(token, tokenCharacters) != "" {
		return mesh.Identity{}, refused("malformed", "the token cannot be one")
	}
	of, stranger := strangerOf(ctx)
	if stranger && v.strangers.tired(of, now) && !v.good.holds(d) {
		v.count.guessed.Add(1)
		return mesh.Identity{}, fmt.Errorf("%w: too many bad tokens from one peer", mesh.ErrCannotVerify)
	}
	defer v.waiting.Add(-1)
	if v.waiting.Add(1) > maxWaiting {
		v.count.turnedAway.Add(1)
		return mesh.Identity{}, fmt.Errorf("%w: too many wait for %s", mesh.ErrCannotVerify, v.cfg.Issuer)
	}
	done := v.flight.DoChan(string(d[:]), func() (any, error) {
		if id, ok := v.good.get(d, v.cfg.Now()); ok {
			return id, nil // the one before this has just asked
		}
		// Not ended by the caller who began it, because others may wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.cfg.Timeout)
		defer cancel()
		return v.find(ctx, token, d)
	})
	select {
	case r := <-done:
		if r.Err != nil {
			if stranger && !errors.Is(r.Err, mesh.ErrCannotVerify) {
				v.strangers.charge(of, now)
			}
			return mesh.Identity{}, r.Err
		}
		return r.Val.(mesh.Identity), nil
	case <-ctx.Done():
		return mesh.Identity{}, fmt.Errorf("%w: %w", mesh.ErrCannotVerify, ctx.Err())
	}
}

// tokenCharacters are those of a bearer token (RFC 6750, section 2.1).
const tokenCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

// find asks, and remembers the answer. It counts from before the question: the issuer may have ended the token while its
// answer was under way.
func (v *Verifier) find(ctx context.Context, token string, d digest) (mesh.Identity, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		v.count.turnedAway.Add(1)
		return mesh.Identity{}, fmt.Errorf("%w: too many questions to %s", mesh.ErrCannotVerify, v.cfg.Issuer)
	}
	if !v.breaker.allow() {
		v.count.turnedAway.Add(1)
		return mesh.Identity{}, fmt.Errorf("%w: %s has just failed to answer", mesh.ErrCannotVerify, v.cfg.Issuer)
	}
	asked := v.cfg.Now()
	v.count.requests.Add(1)
	answer, err := v.ask(ctx, token)
	// A stranger may find a token that the issuer calls a bad request. That must not keep others' from being asked about.
	answered := err == nil || errors.Is(err, discovery.ErrBadRequest)
	if opened := v.breaker.record(answered); opened {
		v.cfg.Logger.WarnContext(ctx, "the issuer cannot be asked about tokens", "issuer", v.cfg.Issuer, "error", err)
	}
	if err != nil {
		v.count.failures.Add(1)
		return mesh.Identity{}, fmt.Errorf("%w: %w", mesh.ErrCannotVerify, err)
	}
	id, err := v.read(answer, token, asked)
	if err != nil {
		v.count.refused.Add(1)
		v.bad.put(d, err, asked.Add(v.cfg.RefusedTTL), asked)
		return mesh.Identity{}, err
	}
	until := asked.Add(v.cfg.TTL)
	if id.Expiry.Before(until) {
		until = id.Expiry
	}
	v.good.put(d, id, until, asked)
	return id, nil
}

func (c *Config) complete() error {
	switch {
	case c.ClientID == "":
		return errors.New("ClientID is missing")
	case (c.Secret == "") == (c.Key == nil):
		return errors.New("either Secret or Key is required")
	case c.TTL < 0, c.RefusedTTL < 0, c.MaxLife < 0, c.CacheSize < 0, c.Timeout < 0:
		return errors.New("nothing may be negative")
	}
	if c.Key != nil {
		if _, err := algorithmOf(c.Key); err != nil {
			return err
		}
	}
	setDefault(&c.TTL, 10*time.Second)
	setDefault(&c.RefusedTTL, 10*time.Second)
	setDefault(&c.MaxLife, 5*time.Minute)
	setDefault(&c.CacheSize, 10_000)
	setDefault(&c.Timeout, 5*time.Second)
	setDefault(&c.Leeway, 30*time.Second)
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{}
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

func (r *refusal) Error() string { return "introspection: " + r.text }

// Cause is one of a few fixed words, for metrics.
func (r *refusal) Cause() string { return r.cause }
