package credential

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/realguardio/realguardio/gateway/lru"
	"github.com/realguardio/realguardio/gateway/ratelimit"
	"github.com/realguardio/realguardio/mesh"
)

// opaquePrefix is how every opaque access token begins.
const opaquePrefix = "rgo_"

// Introspector learns from the identity provider what an opaque access token means (RFC 7662).
type Introspector interface {
	// JWTForm returns the JWT that says what token means. It returns [ErrRefused] for a token that is not active; any other
	// error is passing.
	JWTForm(ctx context.Context, token string) (jwt string, err error)
}

const (
	// refusedFor is how long a token that the provider did not know is refused without asking again.
	refusedFor = time.Minute
	// introspectTimeout bounds one introspection.
	introspectTimeout = 10 * time.Second
)

// opaques asks once what a token means, and remembers the answer: of a good one until it ends, of any other for a while.
type opaques struct {
	cfg      Config
	mac      [32]byte
	attempts *ratelimit.Limiter[string]
	good     *lru.Map[digest, Access]
	bad      *lru.Map[digest, time.Time]
	flights  singleflight.Group
	count    counters
}

func newOpaques(cfg Config) *opaques {
	o := &opaques{
		cfg: cfg, attempts: ratelimit.New[string](cfg.Introspections, cfg.Now),
		good: lru.New[digest, Access](cfg.Capacity), bad: lru.New[digest, time.Time](cfg.Capacity),
	}
	_, _ = rand.Read(o.mac[:]) // never fails
	return o
}

// access returns the JWT that an opaque token stands for. What ends the token ends the JWT, whose id is the same.
func (o *opaques) access(ctx context.Context, token, from string) (Access, error) {
	if o.cfg.Introspector == nil || strings.ContainsFunc(token, func(r rune) bool { return !tokenRune(r) }) {
		return Access{}, unauthenticated()
	}
	d, now := o.digest(token), o.cfg.Now()
	if a, ok := o.good.Get(d); ok {
		if now.Before(a.Identity.Expiry) && !o.cfg.Revocations.Revoked(a.Identity) {
			o.count.hits.Add(1)
			return a, nil
		}
		o.good.Delete(d)
		if o.over(a.Identity, now) {
			o.bad.Put(d, now)
		}
	}
	if at, ok := o.bad.Get(d); ok && now.Sub(at) < refusedFor {
		o.count.hits.Add(1)
		return Access{}, unauthenticated()
	}
	done := o.flights.DoChan(string(d[:]), func() (any, error) {
		if a, ok := o.good.Get(d); ok {
			return a, nil // the one before this has just asked
		}
		if wait, ok := o.attempts.Allow(from); !ok {
			return Access{}, mesh.ResourceExhausted("RATE_LIMITED", wait)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), introspectTimeout)
		defer cancel()
		return o.introspect(ctx, token, d)
	})
	select {
	case <-ctx.Done():
		return Access{}, ctx.Err()
	case r := <-done:
		return r.Val.(Access), r.Err
	}
}

// over tells whether the token itself has ended. A key that was withdrawn ends the JWT that it signed, and not the token,
// which can be had in another form.
func (o *opaques) over(id mesh.Identity, now time.Time) bool {
	id.KeyID = ""
	return !now.Before(id.Expiry) || o.cfg.Revocations.Revoked(id)
}

// introspect asks. The answer is verified like any other token.
func (o *opaques) introspect(ctx context.Context, token string, d digest) (Access, error) {
	o.count.requests.Add(1)
	jwt, err := o.cfg.Introspector.JWTForm(ctx, token)
	if errors.Is(err, ErrRefused) {
		o.count.refused.Add(1)
		o.bad.Put(d, o.cfg.Now())
		return Access{}, unauthenticated()
	}
	if err != nil {
		o.count.failures.Add(1)
		o.cfg.Logger.WarnContext(ctx, "an opaque token could not be introspected", "error", err)
		return Access{}, mesh.Unavailable("the identity provider")
	}
	id, err := o.cfg.Verifier.Verify(ctx, jwt)
	if err != nil {
		o.count.failures.Add(1)
		o.cfg.Logger.ErrorContext(ctx, "what the identity provider says of an opaque token cannot be verified", "error", err)
		return Access{}, mesh.Unavailable("the identity provider")
	}
	if o.cfg.Revocations.Revoked(id) {
		o.count.refused.Add(1)
		o.bad.Put(d, o.cfg.Now())
		return Access{}, unauthenticated()
	}
	a := Access{Token: jwt, Identity: id}
	o.good.Put(d, a)
	return a, nil
}

func (o *opaques) digest(token string) digest {
	mac := hmac.New(sha256.New, o.mac[:])
	mac.Write([]byte(token))
	return digest(mac.Sum(nil))
}

// tokenRune tells whether a character can stand in an opaque token: what cannot is not worth a question.
func tokenRune(r rune) bool {
	return r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
