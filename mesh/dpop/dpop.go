// Package dpop checks proofs that the sender of a request holds the key that its token is bound to, and makes such proofs
// (RFC 9449). It depends on the standard library alone, and serves token endpoints, REST and gRPC alike.
//
// It does not read tokens, nor answer refusals: what a request must be bound to, and how its refusal looks on the wire,
// is known where the request is served.
package dpop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Algorithms are those that a proof may be signed with, each by keys of its own type: P-256, RSA and Ed25519. The list is
// for discovery ("dpop_signing_alg_values_supported") and for challenges ("algs"), where a space goes between them.
func Algorithms() []string { return slices.Clone(algorithms) }

// Why a proof is refused. What [Checker.Check] returns wraps one of them; it may have a method Cause() string with a short
// fixed word for metrics. Its text is for the log.
var (
	// ErrInvalidProof is the error "invalid_dpop_proof".
	ErrInvalidProof = errors.New("dpop: the proof is invalid")
	// ErrUseNonce is the error "use_dpop_nonce": the proof is good but for the nonce. The answer carries a fresh one, from
	// [Checker.Nonce].
	ErrUseNonce = errors.New("dpop: the proof lacks a nonce of this server's")
	// ErrCannotCheck says that it cannot be found out now whether the proof was used before. The request is not served.
	ErrCannotCheck = errors.New("dpop: proofs cannot be checked now")
)

// Replays remembers which proofs have been used. It is safe for concurrent use, and shared by all replicas of a server.
type Replays interface {
	// Use reports whether key is used for the first time, and remembers it until a time. Of several callers with one key
	// exactly one is told true. With an error nothing is known, and nobody is let in.
	Use(ctx context.Context, key string, until time.Time) (first bool, err error)
}

// Config says which proofs a [Checker] accepts.
type Config struct {
	// Replays is where used proofs are remembered. Required.
	Replays Replays
	// Nonces makes each proof name a value that this server has given out lately, so that nobody can make proofs in
	// advance (RFC 9449, section 8). Default: none is asked for.
	Nonces *Nonces
	// OptionalNonces accepts proofs that name none, too: for clients that do not know of nonces. One that is named must be
	// good. Default: each proof names one.
	OptionalNonces bool
	// MaxAge is how long after its "iat" a proof is accepted. Default: 2 minutes.
	MaxAge time.Duration
	// Leeway is how far a client's clock may be ahead. Default: 30 seconds.
	Leeway time.Duration
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Checker checks proofs. It is safe for concurrent use.
type Checker struct{ cfg Config }

// New makes a checker.
func New(cfg Config) (*Checker, error) {
	if cfg.Replays == nil {
		return nil, errors.New("dpop: Replays is missing")
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 2 * time.Minute
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Checker{cfg: cfg}, nil
}

// Request is what a proof must be for.
type Request struct {
	// Proofs are all values of the header or metadata "DPoP". One is a proof; none and two are refused.
	Proofs []string
	// Method is the HTTP method ("htm"); POST for gRPC.
	Method string
	// URLs are those under which the request may have been sent, absolute; the proof names one ("htu"). Their origin is the
	// server's own to know: one that the client has sent is no evidence. A query is not looked at.
	URLs []string
	// AccessToken is the token that goes with the proof, as it was presented ("ath"). Empty at a token endpoint.
	AccessToken string
	// Thumbprint is the key that the token is bound to ("jkt"). Empty where any key will do, because the token is yet to be
	// issued.
	Thumbprint string
}

// Proof is what a good proof says.
type Proof struct {
	// Thumbprint is that of the key (RFC 7638, SHA-256, base64url).
	Thumbprint string
	// ID is "jti".
	ID string
	// IssuedAt is "iat".
	IssuedAt time.Time
	// RenewNonce is true where the nonce will soon be refused: the answer should carry the next, from [Checker.Nonce].
	RenewNonce bool
}

// Check returns what the one proof of r says if it is good in every way and was not used before. The error wraps one of
// those above. Only a proof that is good is remembered: a stranger cannot fill the memory.
func (c *Checker) Check(ctx context.Context, r Request) (Proof, error) {
	if len(r.Proofs) != 1 {
		return Proof{}, invalid("proof_count", fmt.Sprintf("%d proofs came", len(r.Proofs)))
	}
	p, err := parse(r.Proofs[0])
	if err != nil {
		return Proof{}, err
	}
	if err := c.fits(p, r); err != nil {
		return Proof{}, err
	}
	proof := Proof{Thumbprint: p.key.thumbprint, ID: p.id, IssuedAt: p.issued}
	if c.cfg.Nonces != nil && (p.nonce != "" || !c.cfg.OptionalNonces) {
		now := c.cfg.Now()
		if !c.cfg.Nonces.accepts(p.nonce, now) {
			return Proof{}, &refusal{ErrUseNonce, "proof_nonce", "the nonce is missing or old"}
		}
		proof.RenewNonce = p.nonce != c.cfg.Nonces.issue(now)
	}
	// Each key has ids of its own, so that nobody can use up another's. The clocks of replicas differ, so that the last
	// moment at which one of them accepts the proof is a little later than here.
	first, err := c.cfg.Replays.Use(ctx, digest(p.key.thumbprint+"."+p.id), p.issued.Add(c.cfg.MaxAge+c.cfg.Leeway))
	switch {
	case err != nil:
		return Proof{}, &refusal{ErrCannotCheck, "proof_replays_down", fmt.Sprintf("look for an earlier use: %v", err)}
	case !first:
		return Proof{}, invalid("proof_replayed", "the proof was used before")
	}
	return proof, nil
}

// Nonce returns the value that proofs should name now; empty if none is asked for.
func (c *Checker) Nonce() string {
	if c.cfg.Nonces == nil {
		return ""
	}
	return c.cfg.Nonces.issue(c.cfg.Now())
}

// fits compares what the proof is for with what came (RFC 9449, section 4.3).
func (c *Checker) fits(p *parsed, r Request) error {
	now := c.cfg.Now()
	switch {
	case p.method != r.Method:
		return invalid("proof_method", "htm is another method")
	case !slices.ContainsFunc(r.URLs, p.names):
		return invalid("proof_url", "htu is another URL")
	case p.issued.After(now.Add(c.cfg.Leeway)):
		return invalid("proof_time", "iat is in the future")
	case p.issued.Before(now.Add(-c.cfg.MaxAge)):
		return invalid("proof_time", "iat is too long ago")
	case r.AccessToken != "" && p.token != digest(r.AccessToken):
		return invalid("proof_token", "ath is of another token")
	case r.Thumbprint != "" && p.key.thumbprint != r.Thumbprint:
		return invalid("proof_key", "the key is not that of the token")
	}
	return nil
}

// digest is the SHA-256 of s in base64url.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// refusal says why a proof is not accepted.
type refusal struct {
	kind        error
	cause, text string
}

func invalid(cause, text string) error { return &refusal{ErrInvalidProof, cause, text} }

func (r *refusal) Error() string { return r.kind.Error() + ": " + r.text }
func (r *refusal) Unwrap() error { return r.kind }
func (r *refusal) Cause() string { return r.cause }
