// Package keys owns the keys that tokens are signed with: it makes them, keeps them encrypted, signs, publishes their
// public halves (RFC 7517) and verifies what this issuer signed. What a token says is up to others.
package keys

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
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

// Alg is a JWS algorithm (RFC 7518, section 3.1).
type Alg string

// The algorithms that this issuer signs with.
const (
	ES256 Alg = "ES256"
	RS256 Alg = "RS256"
)

// Algs is the list of them.
var Algs = []Alg{ES256, RS256}

// rsaBits is RFC 7518's minimum: a larger key would triple the cost of a signature for the ninety days one lives.
const rsaBits = 2048

// Status is where a key is in its life.
type Status string

// A key signs while Active, and is published while Active or Retired.
const (
	Active  Status = "active"
	Retired Status = "retired"
)

// Record is a key as it is stored: the private half only encrypted.
type Record struct {
	// ID is the key's RFC 7638 thumbprint, the "kid" of what it signs.
	ID     string
	Alg    Alg
	Status Status
	// Sealed is the PKCS #8 form under AES-256-GCM, nonce first, bound to ID and Alg.
	Sealed  []byte
	Created time.Time
}

// Store keeps records.
type Store interface {
	Keys(ctx context.Context) ([]Record, error)
	// AddKey stores an active key unless there is an active one of its algorithm already: of several replicas that
	// start at once, one wins and the others use its key.
	AddKey(ctx context.Context, r Record) error
}

// key is one usable key.
type key struct {
	id      string
	alg     Alg
	active  bool
	private crypto.Signer
	public  jwk.Key
	header  map[string]string // typ -> encoded protected header
}

// sealer encrypts private keys at rest.
type sealer struct{ aead cipher.AEAD }

func newSealer(kek []byte) (sealer, error) {
	if len(kek) != 32 {
		return sealer{}, fmt.Errorf("the key-encryption key has %d bytes, want 32", len(kek))
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return sealer{}, fmt.Errorf("using the key-encryption key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealer{}, fmt.Errorf("using the key-encryption key: %w", err)
	}
	return sealer{aead}, nil
}

func (s sealer) seal(plain []byte, id string, alg Alg) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, []byte(string(alg)+"\x00"+id))
}

func (s sealer) open(r Record) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(r.Sealed) < n {
		return nil, errors.New("too short")
	}
	return s.aead.Open(nil, r.Sealed[:n], r.Sealed[n:], []byte(string(r.Alg)+"\x00"+r.ID))
}

// generate makes a key of alg, sealed.
func generate(s sealer, alg Alg, now time.Time) (Record, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
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
	return Record{ID: id, Alg: alg, Status: Active, Sealed: s.seal(der, id, alg), Created: now}, nil
}

// load opens a stored key.
func load(s sealer, r Record) (*key, error) {
	der, err := s.open(r)
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
	k := &key{id: r.ID, alg: r.Alg, active: r.Status == Active, private: private, public: public, header: map[string]string{}}
	for _, typ := range []string{TypAccessToken, TypIDToken} {
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
