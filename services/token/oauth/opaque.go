package oauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// opaquePrefix tells an opaque access token from every other, and lets scanners find a leaked one.
const opaquePrefix = "rgo_"

const (
	opaqueSalt = 16
	maxOpaque  = 8 << 10
)

var errOpaque = errors.New("not an opaque token of this issuer")

// opaque makes access tokens that tell nothing: their claims under AES-256-GCM. Nothing is stored for them, every replica
// can open them, and what ends a token ends them by the same claims.
type opaque struct{ key []byte }

func newOpaque(secret []byte) (opaque, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "opaque access tokens", 32)
	if err != nil {
		return opaque{}, fmt.Errorf("deriving the key of opaque tokens: %w", err)
	}
	return opaque{key}, nil
}

func (o opaque) seal(payload []byte) (string, error) {
	salt := make([]byte, opaqueSalt)
	rand.Read(salt)
	aead, err := o.aead(salt)
	if err != nil {
		return "", err
	}
	return opaquePrefix + base64.RawURLEncoding.EncodeToString(aead.Seal(salt, nil, payload, nil)), nil
}

// open returns the payload of a token. A token has one form: Go's decoder skips line breaks even when it is strict.
func (o opaque) open(token string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(token, opaquePrefix)
	if !ok || len(token) > maxOpaque || strings.ContainsAny(encoded, "\r\n") {
		return nil, errOpaque
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) < opaqueSalt {
		return nil, errOpaque
	}
	aead, err := o.aead(raw[:opaqueSalt])
	if err != nil {
		return nil, err
	}
	payload, err := aead.Open(nil, nil, raw[opaqueSalt:], nil)
	if err != nil {
		return nil, errOpaque
	}
	return payload, nil
}

// aead gives every token a key of its own: one key for all could encrypt no more than 2^32 of them under random nonces
// (NIST SP 800-38D, section 8.3).
func (o opaque) aead(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, o.key, "token\x00"+string(salt), 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of an opaque token: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("using the key of an opaque token: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
