package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// The algorithms of RFC 7518, section 3.1 and RFC 8037 that are accepted, one for each type of key.
const (
	es256 = jose.ES256
	rs256 = jose.RS256
	eddsa = jose.EdDSA
)

func allowed(alg string) bool { return alg == es256 || alg == rs256 || alg == eddsa }

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

// newKey takes a published key, or says why it is none to verify tokens with.
func newKey(published jwk.Key) (*key, error) {
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
	if alg := published.Algorithm().String(); alg != "" && alg != k.alg {
		return nil, fmt.Errorf("its alg %q is not %s", alg, k.alg)
	}
	thumbprint, err := published.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("compute its thumbprint: %w", err)
	}
	k.thumbprint = string(thumbprint)
	k.trusted.Store(true)
	return k, nil
}

// take takes the key material. Only public keys are taken, each with the one algorithm of its type, so that a public
// key can never serve as the secret of an HMAC.
func (k *key) take(published jwk.Key) error {
	switch p := published.(type) {
	case jwk.ECDSAPublicKey:
		var public ecdsa.PublicKey
		if err := p.Raw(&public); err != nil {
			return fmt.Errorf("read it: %w", err)
		}
		if public.Curve != elliptic.P256() {
			return fmt.Errorf("its curve is not P-256")
		}
		if _, err := public.ECDH(); err != nil {
			return fmt.Errorf("it is not a point of P-256")
		}
		k.alg, k.public = es256, &public
	case jwk.RSAPublicKey:
		var public rsa.PublicKey
		if err := p.Raw(&public); err != nil {
			return fmt.Errorf("read it: %w", err)
		}
		// Above 8192 bits a verification costs more than a caller should be able to ask for.
		if bits := public.N.BitLen(); bits < 2048 || bits > 8192 || public.E < 65537 || public.E%2 == 0 {
			return fmt.Errorf("its size or exponent is unsafe")
		}
		k.alg, k.public = rs256, &public
	case jwk.OKPPublicKey:
		var public ed25519.PublicKey
		if err := p.Raw(&public); err != nil {
			return fmt.Errorf("it is not Ed25519: %w", err)
		}
		k.alg, k.public = eddsa, public
	default:
		return fmt.Errorf("its type is not that of a public signing key")
	}
	return nil
}

// verify checks the signature (base64url) over signed.
func (k *key) verify(alg, signed, signature string) error {
	if alg != k.alg {
		return refused("algorithm", "alg is not that of the key")
	}
	if !jose.Verified(alg, k.public, signed, signature) {
		return refused("signature", "the signature does not verify")
	}
	return nil
}
