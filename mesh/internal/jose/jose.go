// Package jose takes signed JSON objects (RFC 7515) apart so strictly that two readers cannot read them differently, and
// checks their signatures.
//
// It does not know what the objects mean, whose keys are trusted, nor which algorithm a key may be used with where:
// those are its users' decisions, package jwt for access tokens and package dpop for proofs.
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
)

// The signature algorithms that are known here (RFC 7518, section 3.1; RFC 8037, section 3.1).
const (
	ES256 = "ES256"
	ES384 = "ES384"
	ES512 = "ES512"
	RS256 = "RS256"
	RS384 = "RS384"
	RS512 = "RS512"
	PS256 = "PS256"
	PS384 = "PS384"
	PS512 = "PS512"
	EdDSA = "EdDSA"
)

// hashes are those that the algorithms sign; EdDSA takes what is signed as it is.
var hashes = map[string]crypto.Hash{
	ES256: crypto.SHA256, ES384: crypto.SHA384, ES512: crypto.SHA512,
	RS256: crypto.SHA256, RS384: crypto.SHA384, RS512: crypto.SHA512,
	PS256: crypto.SHA256, PS384: crypto.SHA384, PS512: crypto.SHA512,
}

// curves are those of the algorithms by elliptic curves, one for each (RFC 7518, section 3.4).
var curves = map[string]elliptic.Curve{ES256: elliptic.P256(), ES384: elliptic.P384(), ES512: elliptic.P521()}

// Fits reports whether a key's type is that of an algorithm.
func Fits(alg string, public crypto.PublicKey) bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return curves[alg] != nil && curves[alg] == public.Curve
	case *rsa.PublicKey:
		return hashes[alg] != 0 && curves[alg] == nil
	case ed25519.PublicKey:
		return alg == EdDSA
	default:
		return false
	}
}

// JWS is a signed object in compact serialization (RFC 7515, section 7.1), its parts still in base64url.
type JWS struct {
	Header, Payload, Signature string
	// Signed is what the signature is over.
	Signed string
}

// Split takes a JWS apart. It reports false for what is not one.
func Split(compact string) (JWS, bool) {
	if strings.Count(compact, ".") != 2 {
		return JWS{}, false
	}
	header, rest, _ := strings.Cut(compact, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	return JWS{header, payload, signature, compact[:len(header)+1+len(payload)]}, true
}

// strict64 refuses padding, other alphabets and stray bits, so that each value has one form (RFC 4648, section 3.5).
var strict64 = base64.RawURLEncoding.Strict()

// Decode decodes base64url.
func Decode(s string) ([]byte, error) {
	// Go's decoder skips line breaks, which would give one value many forms.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errNotBase64
	}
	raw, err := strict64.DecodeString(s)
	if err != nil {
		return nil, errNotBase64
	}
	return raw, nil
}

var errNotBase64 = errors.New("it is not base64url")

// Verified reports whether signature, in base64url, is that of signed by public. An algorithm verifies by keys of its
// own type only.
//
// The standard library is called directly: a library's verifier parses the object again, at half the price of the
// signature itself, and the strict reading has been done already.
func Verified(alg string, public crypto.PublicKey, signed, signature string) bool {
	sig, err := Decode(signature)
	if err != nil || !Fits(alg, public) {
		return false
	}
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		size := (public.Curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size { // R and S (RFC 7518, section 3.4)
			return false
		}
		r, s := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		return ecdsa.Verify(public, digest(alg, signed), r, s)
	case *rsa.PublicKey:
		if alg[0] == 'P' { // the salt is as long as the digest (RFC 7518, section 3.5)
			return rsa.VerifyPSS(public, hashes[alg], digest(alg, signed), sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(public, hashes[alg], digest(alg, signed), sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(signed), sig)
	}
	return false
}

func digest(alg, signed string) []byte {
	switch hashes[alg] {
	case crypto.SHA384:
		sum := sha512.Sum384([]byte(signed))
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512([]byte(signed))
		return sum[:]
	default:
		sum := sha256.Sum256([]byte(signed))
		return sum[:]
	}
}
