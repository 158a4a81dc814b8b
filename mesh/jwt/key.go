package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// defaultAlgorithms are one for each type of key. Our own issuer has no others.
var defaultAlgorithms = []string{jose.ES256, jose.RS256, jose.EdDSA}

// knownAlgorithms are those that a configuration may name.
var knownAlgorithms = []string{
	jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// AlgorithmKnown reports whether a configuration may name an algorithm.
func AlgorithmKnown(alg string) bool { return slices.Contains(knownAlgorithms, alg) }

// key is a public key of the issuer.
type key struct {
	id, alg string
	public  crypto.PublicKey
	// thumbprint tells two keys of one id apart (RFC 7638).
	thumbprint string
	// trusted becomes false for ever when the issuer publishes the key no more. Cached tokens look at it, so that a key
	// withdrawn after a compromise takes its verified tokens with it.
	trusted atomic.Bool
}

// newKey takes a published key, or says why it is none to verify tokens with by these algorithms.
func newKey(published jwk.Key, algorithms []string) (*key, error) {
	k := &key{id: published.KeyID()}
	if k.id == "" {
		return nil, fmt.Errorf("it has no kid")
	}
	if use := published.KeyUsage(); use != "" && use != "sig" {
		return nil, fmt.Errorf("its use is %q", use)
	}
	if err := k.take(published); err != nil {
		return nil, err
	}
	if err := k.dedicate(published.Algorithm().String(), algorithms); err != nil {
		return nil, err
	}
	thumbprint, err := published.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("compute its thumbprint: %w", err)
	}
	k.thumbprint = string(thumbprint)
	k.trusted.Store(true)
	return k, nil
}

// dedicate gives the key the one algorithm that it verifies by (RFC 8725, section 3.1): the one it was published with or,
// where it was with none, the first of its type. Only an algorithm of its own type fits a key, so that a public key can
// never serve as the secret of an HMAC.
func (k *key) dedicate(published string, algorithms []string) error {
	for _, alg := range algorithms {
		if jose.Fits(alg, k.public) && (published == "" || published == alg) {
			k.alg = alg
			return nil
		}
	}
	if published == "" {
		return fmt.Errorf("no algorithm is accepted for its type")
	}
	return fmt.Errorf("its alg %q is not accepted, or not for its type", published)
}

// take takes the key material. Only public keys are taken.
func (k *key) take(published jwk.Key) error {
	switch p := published.(type) {
	case jwk.ECDSAPublicKey:
		var public ecdsa.PublicKey
		if err := p.Raw(&public); err != nil {
			return fmt.Errorf("read it: %w", err)
		}
		if _, err := public.ECDH(); err != nil {
			return fmt.Errorf("it is not a point of its curve")
		}
		k.public = &public
	case jwk.RSAPublicKey:
		var public rsa.PublicKey
		if err := p.Raw(&public); err != nil {
			return fmt.Errorf("read it: %w", err)
		}
		// Above 8192 bits a verification costs more than a caller should be able to ask for.
		if bits := public.N.BitLen(); bits < 2048 || bits > 8192 || public.E < 65537 || public.E%2 == 0 {
			return fmt.Errorf("its size or exponent is unsafe")
		}
		k.public = &public
	case jwk.OKPPublicKey:
		var public ed25519.PublicKey
		if err := p.Raw(&public); err != nil {
			return fmt.Errorf("it is not Ed25519: %w", err)
		}
		k.public = public
	default:
		return fmt.Errorf("its type is not that of a public signing key")
	}
	return nil
}
