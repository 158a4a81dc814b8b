// Package keys owns the keys that tokens are signed with: it makes them, keeps them encrypted, replaces them, signs,
// publishes their public halves (RFC 7517) and verifies what this issuer signed. What a token says is up to others.
package keys

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Alg is a JWS algorithm (RFC 7518, section 3.1; RFC 8037).
type Alg string

// The algorithms that this issuer signs with.
const (
	ES256 Alg = "ES256"
	RS256 Alg = "RS256"
	// EdDSA is with Ed25519.
	EdDSA Alg = "EdDSA"
)

// Algs is the list of them.
var Algs = []Alg{ES256, RS256, EdDSA}

// rsaBits is RFC 7518's minimum: a larger key would triple the cost of a signature for the ninety days one lives.
const rsaBits = 2048

// Status is where a key is in its life.
type Status string

// A key is published while it is Next, signs while Active, and stays published while Retired until the last token that it
// signed has expired. A Revoked one is nothing but remembered.
const (
	Next    Status = "next"
	Active  Status = "active"
	Retired Status = "retired"
	Revoked Status = "revoked"
)

// Record is a key as it is stored: the private half only encrypted.
type Record struct {
	// ID is the key's RFC 7638 thumbprint, the "kid" of what it signs.
	ID     string
	Alg    Alg
	Status Status
	// Sealed is the PKCS #8 form under AES-256-GCM, nonce first, bound to ID and Alg. A revoked key has none.
	Sealed []byte
	// Created is when it was first published.
	Created time.Time
	// Activated is when it began to sign, Retired when it ceased to sign or to be trusted; zero: not yet.
	Activated, Retired time.Time
}

// Turn is a rotation of one algorithm: From signs until now, To from now on.
type Turn struct {
	Alg      Alg
	From, To string
}

// Store keeps records.
type Store interface {
	Keys(ctx context.Context) ([]Record, error)
	// AddKey stores a next or an active key unless there is one of its algorithm already: of several replicas that make
	// one at once, one wins and the others use its key.
	AddKey(ctx context.Context, r Record) error
	// RotateKeys takes all turns, or none when one of them has been taken meanwhile; it tells which.
	RotateKeys(ctx context.Context, turns []Turn, now time.Time) (taken bool, err error)
	// RevokeKey ends a key, erases its private half, and writes the revocation of everything that it signed, until a
	// time. If it was active the next one is from now on; what is missing then is replaced by spare. Revoking one that is
	// revoked, or not there, changes nothing.
	RevokeKey(ctx context.Context, id string, spare Record, now, until time.Time) error
	// ResealKey replaces the sealed form of a key, unless it has changed from old meanwhile.
	ResealKey(ctx context.Context, id string, old, sealed []byte) error
	// PurgeKeys forgets what ceased to sign before a time.
	PurgeKeys(ctx context.Context, before time.Time) error
}

// key is one usable key. It does not change.
type key struct {
	id      string
	alg     Alg
	private crypto.Signer
	public  jwk.Key
	header  map[string]string // typ -> encoded protected header
}

// sealer encrypts private keys at rest: with the first key, and opens with each.
type sealer []cipher.AEAD

func newSealer(keks [][]byte) (sealer, error) {
	if len(keks) == 0 {
		return nil, errors.New("the key-encryption key is missing")
	}
	var s sealer
	for _, kek := range keks {
		if len(kek) != 32 {
			return nil, fmt.Errorf("the key-encryption key has %d bytes, want 32", len(kek))
		}
		block, err := aes.NewCipher(kek)
		if err != nil {
			return nil, fmt.Errorf("using the key-encryption key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("using the key-encryption key: %w", err)
		}
		s = append(s, aead)
	}
	return s, nil
}

func (s sealer) seal(plain []byte, id string, alg Alg) []byte {
	nonce := make([]byte, s[0].NonceSize())
	rand.Read(nonce)
	return s[0].Seal(nonce, nonce, plain, []byte(string(alg)+"\x00"+id))
}

// open returns a private key, and whether it is sealed with an earlier key-encryption key.
func (s sealer) open(r Record) (plain []byte, outdated bool, err error) {
	for i, aead := range s {
		n := aead.NonceSize()
		if len(r.Sealed) < n {
			return nil, false, errors.New("too short")
		}
		if plain, err = aead.Open(nil, r.Sealed[:n], r.Sealed[n:], []byte(string(r.Alg)+"\x00"+r.ID)); err == nil {
			return plain, i > 0, nil
		}
	}
	return nil, false, err
}

// generate makes a key of alg, sealed.
func generate(s sealer, alg Alg, status Status, now time.Time) (Record, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("unknown algorithm %q", alg)
	}
	if err != nil {
		return Record{}, fmt.Errorf("making a signing key: %w", err)
	}
	id, err := thumbprint(private.Public())
	if err != nil {
		return Record{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Record{}, fmt.Errorf("encoding a signing key: %w", err)
	}
	r := Record{ID: id, Alg: alg, Status: status, Sealed: s.seal(der, id, alg), Created: now}
	if status == Active {
		r.Activated = now
	}
	return r, nil
}

// load opens a stored key.
func load(s sealer, r Record) (*key, error) {
	der, _, err := s.open(r)
	if err != nil {
		return nil, fmt.Errorf("opening signing key %s: the key-encryption key is not the one it was sealed with, or the record was changed", r.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("decoding signing key %s: %w", r.ID, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("decoding signing key %s: it cannot sign", r.ID)
	}
	public, err := publicJWK(private.Public(), r)
	if err != nil {
		return nil, err
	}
	k := &key{id: r.ID, alg: r.Alg, private: private, public: public, header: map[string]string{}}
	for _, typ := range typs {
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, r.Alg, r.ID, typ)
		k.header[typ] = base64.RawURLEncoding.EncodeToString([]byte(header))
	}
	return k, nil
}

func publicJWK(public crypto.PublicKey, r Record) (jwk.Key, error) {
	k, err := jwk.FromRaw(public)
	if err != nil {
		return nil, fmt.Errorf("publishing signing key %s: %w", r.ID, err)
	}
	for name, value := range map[string]string{jwk.KeyIDKey: r.ID, jwk.AlgorithmKey: string(r.Alg), jwk.KeyUsageKey: "sig"} {
		if err := k.Set(name, value); err != nil {
			return nil, fmt.Errorf("publishing signing key %s: %w", r.ID, err)
		}
	}
	return k, nil
}

func thumbprint(public crypto.PublicKey) (string, error) {
	k, err := jwk.FromRaw(public)
	if err != nil {
		return "", fmt.Errorf("naming a signing key: %w", err)
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("naming a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
