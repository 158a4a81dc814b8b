package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// Key is a client's key, which makes proofs. It is safe for concurrent use, and prints as "[redacted]".
type Key struct {
	private    *ecdsa.PrivateKey
	header     string
	thumbprint string
	// Now tells the time. Default: time.Now. It is set before the key is used.
	Now func() time.Time
}

// NewKey makes a key of a private key of P-256, such as ecdsa.GenerateKey and x509.ParsePKCS8PrivateKey return.
func NewKey(private crypto.PrivateKey) (*Key, error) {
	p, ok := private.(*ecdsa.PrivateKey)
	if !ok || p.Curve != elliptic.P256() {
		return nil, errors.New("dpop: the key is not of P-256")
	}
	point, err := p.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("dpop: read the key: %w", err)
	}
	jwk := map[string]string{
		"kty": "EC", "crv": "P-256",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}
	raw, err := json.Marshal(jwk)
	if err != nil {
		return nil, fmt.Errorf("dpop: write the key: %w", err)
	}
	public, err := readKey(raw)
	if err != nil {
		return nil, fmt.Errorf("dpop: the key: %w", err)
	}
	header, err := segment(map[string]any{"typ": proofType, "alg": jose.ES256, "jwk": jwk})
	if err != nil {
		return nil, err
	}
	return &Key{private: p, header: header, thumbprint: public.thumbprint, Now: time.Now}, nil
}

// GenerateKey makes a new key.
func GenerateKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("dpop: make a key: %w", err)
	}
	return NewKey(private)
}

// Thumbprint is what a token bound to the key names as "jkt".
func (k *Key) Thumbprint() string { return k.thumbprint }

// String keeps the key out of logs.
func (k *Key) String() string { return "[redacted]" }

// GoString keeps the key out of logs.
func (k *Key) GoString() string { return k.String() }

// Target is the request that a proof is made for.
type Target struct {
	// Method is the HTTP method; POST for gRPC.
	Method string
	// URL is the request's. Of gRPC it is https://AUTHORITY/package.Service/Method.
	URL string
	// AccessToken is the token that goes with it, if any.
	AccessToken string
	// Nonce is what the server has last given out, if it has.
	Nonce string
}

// Proof makes a proof for one request. It is used once.
func (k *Key) Proof(t Target) (string, error) {
	url, err := normalise(t.URL)
	if err != nil {
		return "", fmt.Errorf("dpop: make a proof for %q: %w", t.URL, err)
	}
	claims := map[string]any{"jti": rand.Text(), "htm": t.Method, "htu": url, "iat": k.Now().Unix()}
	if t.AccessToken != "" {
		claims["ath"] = digest(t.AccessToken)
	}
	if t.Nonce != "" {
		claims["nonce"] = t.Nonce
	}
	payload, err := segment(claims)
	if err != nil {
		return "", err
	}
	signed := k.header + "." + payload
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return "", fmt.Errorf("dpop: sign a proof: %w", err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// segment writes a part of a JWS.
func segment(members any) (string, error) {
	raw, err := json.Marshal(members)
	if err != nil {
		return "", fmt.Errorf("dpop: write a proof: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}
