// Package issuers verifies the tokens of several issuers at once: each token by the one issuer that it says it is from,
// with keys, memory and failures apart.
//
// How one issuer's tokens are verified is left to package jwt and package introspection.
package issuers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// maxToken is the longest token looked at, in bytes.
const maxToken = 8 << 10

// Issuer verifies the tokens of one issuer: jwt.Verifier those that are JWTs, introspection.Verifier those that only the
// issuer can read.
type Issuer interface {
	mesh.Verifier
	// Known returns whom a token speaks for that was verified before and still stands. It does no I/O.
	Known(token string) (mesh.Identity, bool)
	// Issuer is what "iss" says in its tokens.
	Issuer() string
	// Namespace sets its identifiers apart.
	Namespace() string
	// Ready reports whether a token could be verified now.
	Ready() bool
	// Run does what has to be done meanwhile, until ctx ends.
	Run(ctx context.Context) error
}

// Trusted is an issuer whose tokens are accepted.
type Trusted struct {
	// JWT verifies its JWTs. Default: it has none.
	JWT Issuer
	// Opaque verifies its tokens that are no JWTs. Default: it has none.
	Opaque Issuer
	// OpaquePrefix is how these begin, all of them and no other issuer's. Only one issuer may do without.
	OpaquePrefix string
	// Required is an issuer without which this part is not ready.
	Required bool
}

// Config lists whom a [Verifier] trusts.
type Config struct {
	// Trusted are asked for what they remember in this order: first the one that most tokens are from. At least one.
	Trusted []Trusted
	// Withheld are prefixes of opaque credentials that nobody is to be asked about, because they are another reader's
	// secrets. Default: those of RealGuardIO's own token service.
	Withheld []string
}

// ours are access tokens, API keys, refresh tokens and client secrets of our token service.
var ours = []string{"rgo_", "rgk_", "rgt_", "rgs_"}

// Verifier is safe for concurrent use.
type Verifier struct {
	cfg          Config
	jwts, opaque []Issuer
	// byIssuer has the verifiers of JWTs.
	byIssuer map[string]Issuer
}

var _ mesh.Verifier = (*Verifier)(nil)

// New refuses issuers that could be mistaken for each other.
func New(cfg Config) (*Verifier, error) {
	if cfg.Withheld == nil {
		cfg.Withheld = ours
	}
	v := &Verifier{cfg: cfg, byIssuer: map[string]Issuer{}}
	if len(cfg.Trusted) == 0 {
		return nil, errors.New("issuers: nobody is trusted")
	}
	owner := map[string]string{} // of each namespace
	for _, t := range cfg.Trusted {
		if t.JWT == nil && t.Opaque == nil {
			return nil, errors.New("issuers: one is trusted for no kind of token")
		}
		for _, i := range []Issuer{t.JWT, t.Opaque} {
			if i == nil {
				continue
			}
			if other, taken := owner[i.Namespace()]; taken && other != i.Issuer() {
				return nil, fmt.Errorf("issuers: %s and %s share the namespace %q", other, i.Issuer(), i.Namespace())
			}
			owner[i.Namespace()] = i.Issuer()
		}
		if t.Opaque != nil {
			v.opaque = append(v.opaque, t.Opaque)
		}
		if t.JWT == nil {
			continue
		}
		v.jwts = append(v.jwts, t.JWT)
		if v.byIssuer[t.JWT.Issuer()] != nil {
			return nil, fmt.Errorf("issuers: %s is trusted twice", t.JWT.Issuer())
		}
		v.byIssuer[t.JWT.Issuer()] = t.JWT
	}
	return v, v.checkPrefixes()
}

// checkPrefixes demands that each opaque token has one reader.
func (v *Verifier) checkPrefixes() error {
	var prefixes []string
	for _, t := range v.cfg.Trusted {
		if t.Opaque == nil {
			continue
		}
		if slices.Contains(prefixes, t.OpaquePrefix) {
			return fmt.Errorf("issuers: two have opaque tokens with the prefix %q", t.OpaquePrefix)
		}
		prefixes = append(prefixes, t.OpaquePrefix)
	}
	return nil
}

// Verify implements [mesh.Verifier].
func (v *Verifier) Verify(ctx context.Context, token string) (mesh.Identity, error) {
	for _, i := range v.jwts {
		if identity, ok := i.Known(token); ok {
			return identity, nil
		}
	}
	if len(token) > maxToken {
		return mesh.Identity{}, refused("oversized", "the token is too long")
	}
	i, err := v.issuerOf(token)
	if err != nil {
		return mesh.Identity{}, err
	}
	return i.Verify(ctx, token)
}

// issuerOf picks who verifies a token. What the token says is not believed: it chooses by whose keys the token has to be
// good, and the one chosen checks again that the token is its own.
func (v *Verifier) issuerOf(token string) (Issuer, error) {
	switch strings.Count(token, ".") {
	case 2:
		jws, _ := jose.Split(token)
		members, err := jose.Object(jws.Payload)
		if err != nil {
			return nil, refused("malformed", "the token is not a JWT")
		}
		iss, _ := jose.Text(members, "iss")
		if i := v.byIssuer[iss]; i != nil {
			return i, nil
		}
		return nil, refused("issuer", "the token is of an issuer that is not trusted")
	case 0, 1:
		if i := v.opaqueOf(token); i != nil {
			return i, nil
		}
		return nil, refused("malformed", "the token is not a JWT, and nobody here can read others")
	default: // an encrypted JWT, or nothing
		return nil, refused("malformed", "the token has too many parts")
	}
}

// opaqueOf picks by the longest prefix, so that no issuer is shown what is another's.
func (v *Verifier) opaqueOf(token string) Issuer {
	if slices.ContainsFunc(v.cfg.Withheld, func(prefix string) bool { return strings.HasPrefix(token, prefix) }) {
		return nil
	}
	var found Issuer
	longest := -1
	for _, t := range v.cfg.Trusted {
		if t.Opaque != nil && len(t.OpaquePrefix) > longest && strings.HasPrefix(token, t.OpaquePrefix) {
			found, longest = t.Opaque, len(t.OpaquePrefix)
		}
	}
	return found
}

// Ready reports whether tokens of every required issuer could be verified now and, where none is required, those of one.
func (v *Verifier) Ready() bool {
	required, able := false, false
	for _, t := range v.cfg.Trusted {
		ready := (t.JWT == nil || t.JWT.Ready()) && (t.Opaque == nil || t.Opaque.Ready())
		if t.Required && !ready {
			return false
		}
		required, able = required || t.Required, able || ready
	}
	return required || able
}

// Run runs what every issuer needs, until ctx ends.
func (v *Verifier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, i := range slices.Concat(v.jwts, v.opaque) {
		group.Go(func() error { return i.Run(ctx) })
	}
	return group.Wait()
}

// refusal says why a token is not accepted.
type refusal struct{ cause, text string }

func refused(cause, text string) error { return &refusal{cause: cause, text: text} }

func (r *refusal) Error() string { return "issuers: " + r.text }

// Cause is one of a few fixed words, for metrics.
func (r *refusal) Cause() string { return r.cause }
