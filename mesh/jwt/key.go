package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// The algorithms of RFC 7518, section 3.1 and RFC 8037 that are accepted, one for each type of key.
const (
	es256 = "ES256"
	rs256 = "RS256"
	eddsa = "EdDSA"
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

// verify checks the signature (base64url) over signed. The standard library is called directly: jws.Verify parses the
// token again, at half the price of the signature itself, and the strict reading has been done already.
func (k *key) verify(alg, signed, signature string) error {
	bad := refused("signature", "the signature does not verify")
	if alg != k.alg {
		return refused("algorithm", "alg is not that of the key")
	}
	sig, err := strict64.DecodeString(signature)
	if err != nil {
		return bad
	}
	digest := sha256.Sum256([]byte(signed))
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		if len(sig) != 64 { // R and S, 32 bytes each (RFC 7518, section 3.4)
			return bad
		}
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		if !ecdsa.Verify(public, digest[:], r, s) {
			return bad
		}
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) != nil {
			return bad
		}
	case ed25519.PublicKey:
		if !ed25519.Verify(public, []byte(signed), sig) {
			return bad
		}
	default:
		return bad
	}
	return nil
}
