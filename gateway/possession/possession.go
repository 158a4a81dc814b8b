// Package possession checks that whoever sends an HTTP request holds the key that its access token is bound to: by a proof
// of DPoP (RFC 9449) or by the certificate of the connection (RFC 8705).
//
// It does not know whether the token is good, which others have found out before, nor how a refusal looks.
package possession

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/dpop"
)

// nonceSlot is how long a nonce is given out; it is accepted for as long again.
const nonceSlot = 5 * time.Minute

// Config says what a [Checker] goes by.
type Config struct {
	// Vault remembers used proofs, for all replicas. Required.
	Vault *vault.Vault
	// Secrets are shared by all replicas: nonces are made of the first, and accepted of all. At least one is required.
	Secrets [][]byte
	// Origins are those under which requests are sent here, such as "https://example.com". At least one is required.
	Origins []string
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Checker is safe for concurrent use.
type Checker struct {
	proofs  *dpop.Checker
	origins []string
}

// New makes a checker.
func New(cfg Config) (*Checker, error) {
	if cfg.Vault == nil || len(cfg.Origins) == 0 {
		return nil, errors.New("possession: Vault and Origins are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	keys := make([][]byte, 0, len(cfg.Secrets))
	for _, secret := range cfg.Secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "realguardio dpop nonces", 32)
		if err != nil {
			return nil, fmt.Errorf("possession: derive the key of nonces: %w", err)
		}
		keys = append(keys, key)
	}
	nonces, err := dpop.NewNonces(nonceSlot, keys...)
	if err != nil {
		return nil, fmt.Errorf("possession: %w", err)
	}
	proofs, err := dpop.New(dpop.Config{Replays: replays{cfg.Vault, cfg.Now}, Nonces: nonces, Now: cfg.Now})
	if err != nil {
		return nil, fmt.Errorf("possession: %w", err)
	}
	return &Checker{proofs: proofs, origins: cfg.Origins}, nil
}

// Proofs checks proofs that come otherwise than by HTTP, with the same memory.
func (c *Checker) Proofs() *dpop.Checker { return c.proofs }

// Token returns the token of an Authorization value of the scheme DPoP (RFC 9449, section 7.1), and "" of any other.
func Token(authorization string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "DPoP") {
		return "", false
	}
	return token, true
}

// Check demands that the sender of r holds the key that its token is bound to. proven is the token where it came by the
// scheme DPoP, as it came, and empty where it came as a bearer token. A nonce for the caller is put into the headers of the
// answer. The error is a refusal made by mesh.
func (c *Checker) Check(answer http.Header, r *http.Request, proven string, to mesh.Confirmation) error {
	switch {
	case proven != "" && to.JKT != "":
		return c.proof(answer, r, proven, to.JKT)
	case proven != "":
		return mesh.Unauthenticated("INVALID_TOKEN")
	case to.JKT != "":
		return mesh.Unauthenticated(mesh.ReasonUnprovenKey)
	case to.X5T != "" && !shows(r, to.X5T):
		return mesh.Unauthenticated(mesh.ReasonOtherCertificate)
	default:
		return nil
	}
}

func (c *Checker) proof(answer http.Header, r *http.Request, token, thumbprint string) error {
	urls := make([]string, len(c.origins))
	for i, origin := range c.origins {
		urls[i] = origin + r.URL.EscapedPath()
	}
	proof, err := c.proofs.Check(r.Context(), dpop.Request{
		Proofs: r.Header["Dpop"], Method: r.Method, URLs: urls, AccessToken: token, Thumbprint: thumbprint,
	})
	if proof.RenewNonce || errors.Is(err, dpop.ErrUseNonce) {
		answer.Set("DPoP-Nonce", c.proofs.Nonce())
	}
	if err != nil {
		return mesh.UnprovenKey(err)
	}
	return nil
}

// shows reports whether the connection of r has proven to hold the key of the certificate with this digest.
func shows(r *http.Request, digest string) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(mesh.Thumbprint(r.TLS.PeerCertificates[0])), []byte(digest)) == 1
}

// replays remembers used proofs in Redis.
type replays struct {
	vault *vault.Vault
	now   func() time.Time
}

// Use implements [dpop.Replays].
func (u replays) Use(ctx context.Context, key string, until time.Time) (bool, error) {
	return u.vault.Once(ctx, vault.KeyOf("proof", key), until.Sub(u.now()))
}
