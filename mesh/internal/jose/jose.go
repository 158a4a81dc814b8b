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
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
)

// The signature algorithms that are known here (RFC 7518, section 3.1; RFC 8037, section 3.1).
const (
	ES256 = "ES256"
	RS256 = "RS256"
	PS256 = "PS256"
	EdDSA = "EdDSA"
)

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
	if err != nil {
		return false
	}
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if alg != ES256 || len(sig) != 64 { // R and S, 32 bytes each (RFC 7518, section 3.4)
			return false
		}
		digest := sha256.Sum256([]byte(signed))
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return ecdsa.Verify(public, digest[:], r, s)
	case *rsa.PublicKey:
		digest := sha256.Sum256([]byte(signed))
		switch alg {
		case RS256:
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) == nil
		case PS256: // the salt is as long as the digest (RFC 7518, section 3.5)
			return rsa.VerifyPSS(public, crypto.SHA256, digest[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	case ed25519.PublicKey:
		return alg == EdDSA && ed25519.Verify(public, []byte(signed), sig)
	}
	return false
}
