package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// algorithms, one for each type of key, so that a proof cannot choose how its key is used. RS256 is not among them: new
// signatures have no need of its padding (RFC 8725, section 3.2).
var algorithms = []string{jose.ES256, jose.EdDSA, ed25519Name, jose.PS256}

// ed25519Name is what newer clients call EdDSA with a key of Ed25519 (RFC 9864, section 2.2).
const ed25519Name = "Ed25519"

// fits reports whether alg is the key's algorithm, by whichever name.
func (k *publicKey) fits(alg string) bool {
	return alg == k.alg || k.alg == jose.EdDSA && alg == ed25519Name
}

// publicKey is the key that a proof brings.
type publicKey struct {
	alg    string
	public crypto.PublicKey
	// thumbprint is the SHA-256 of the key's required members in one fixed form (RFC 7638, section 3), in base64url.
	thumbprint string
}

// harmless are the members of a key that say nothing about it which is not checked elsewhere. Any other, such as a private
// part or a certificate, is refused.
var harmless = map[string]bool{"kty": true, "alg": true, "use": true, "kid": true, "key_ops": true, "ext": true}

// readKey reads a public key (RFC 7517, RFC 7518, section 6, RFC 8037, section 2). Each key has one form here, so that it
// has one thumbprint.
func readKey(raw json.RawMessage) (*publicKey, error) {
	m, err := jose.Members(raw)
	if err != nil {
		return nil, err
	}
	var k *publicKey
	var own []string
	switch kty, _ := jose.Text(m, "kty"); kty {
	case "EC":
		own = []string{"crv", "x", "y"}
		k, err = p256(m)
	case "OKP":
		own = []string{"crv", "x"}
		k, err = ed25519Key(m)
	case "RSA":
		own = []string{"n", "e"}
		k, err = rsaKey(m)
	default:
		return nil, errors.New("its type is not that of a public signing key")
	}
	if err != nil {
		return nil, err
	}
	if err := k.checkMembers(m, own); err != nil {
		return nil, err
	}
	return k, nil
}

// checkMembers refuses a key with other members than own, those of its type, and harmless ones, and what these say where it
// does not hold for a key that signs.
func (k *publicKey) checkMembers(m map[string]json.RawMessage, own []string) error {
	known := 0
	for _, name := range own {
		if m[name] != nil {
			known++
		}
	}
	for name := range m {
		if harmless[name] {
			known++
		}
	}
	if known != len(m) {
		return errors.New("it has members that a public key has not")
	}
	if m["alg"] != nil {
		if alg, _ := jose.Text(m, "alg"); !k.fits(alg) {
			return errors.New("its alg is not the one for its type")
		}
	}
	if m["use"] != nil {
		if use, _ := jose.Text(m, "use"); use != "sig" {
			return errors.New("its use is not sig")
		}
	}
	return nil
}

func p256(m map[string]json.RawMessage) (*publicKey, error) {
	if crv, _ := jose.Text(m, "crv"); crv != "P-256" {
		return nil, errors.New("its curve is not P-256")
	}
	x, textX, err := octets(m, "x", 32)
	if err != nil {
		return nil, err
	}
	y, textY, err := octets(m, "y", 32)
	if err != nil {
		return nil, err
	}
	point := append(append([]byte{4}, x...), y...) // uncompressed (SEC 1, section 2.3.3)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errors.New("it is not a point of P-256")
	}
	return &publicKey{jose.ES256, public, digest(`{"crv":"P-256","kty":"EC","x":"` + textX + `","y":"` + textY + `"}`)}, nil
}

func ed25519Key(m map[string]json.RawMessage) (*publicKey, error) {
	if crv, _ := jose.Text(m, "crv"); crv != "Ed25519" {
		return nil, errors.New("its curve is not Ed25519")
	}
	x, text, err := octets(m, "x", ed25519.PublicKeySize)
	if err != nil {
		return nil, err
	}
	return &publicKey{jose.EdDSA, ed25519.PublicKey(x), digest(`{"crv":"Ed25519","kty":"OKP","x":"` + text + `"}`)}, nil
}

// rsaKey takes sizes that are safe, and no larger than what a stranger may ask us to compute with.
func rsaKey(m map[string]json.RawMessage) (*publicKey, error) {
	n, textN, err := octets(m, "n", 0)
	if err != nil {
		return nil, err
	}
	e, textE, err := octets(m, "e", 0)
	if err != nil {
		return nil, err
	}
	if n[0] == 0 || e[0] == 0 { // Base64urlUInt (RFC 7518, section 2)
		return nil, errors.New("a number of it begins with zero")
	}
	exponent := new(big.Int).SetBytes(e)
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}
	bits := public.N.BitLen()
	if bits < 2048 || bits > 4096 || public.N.Bit(0) == 0 || exponent.BitLen() > 31 || public.E < 65537 || public.E%2 == 0 {
		return nil, errors.New("its size or exponent is unsafe")
	}
	return &publicKey{jose.PS256, public, digest(`{"e":"` + textE + `","kty":"RSA","n":"` + textN + `"}`)}, nil
}

// octets returns a member's bytes, of which there must be size unless that is 0, and its text.
func octets(m map[string]json.RawMessage, name string, size int) ([]byte, string, error) {
	text, _ := jose.Text(m, name)
	raw, err := jose.Decode(text)
	if err != nil || len(raw) == 0 || size > 0 && len(raw) != size {
		return nil, "", fmt.Errorf("its %s is missing or malformed", name)
	}
	return raw, text, nil
}
