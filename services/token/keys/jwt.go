package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Values of the header "typ" of what is signed here. They keep one kind of token from being taken for another.
const (
	TypAccessToken = "at+jwt" // RFC 9068
	TypIDToken     = "JWT"
	TypLogoutToken = "logout+jwt" // OpenID Connect Back-Channel Logout, section 2.4
)

var typs = []string{TypAccessToken, TypIDToken, TypLogoutToken}

// maxToken bounds what Verify looks at.
const maxToken = 8 << 10

// ErrToken says that a token is not one of ours, without saying why.
var ErrToken = errors.New("not a token of this issuer")

// Sign returns payload as a compact JWS with the active key of alg.
//
// It signs with the standard library, not through jwx: this is the whole cost of a token, and a general encoder doubles
// it. The tests verify its output with jwx.
func (r *Ring) Sign(alg Alg, typ string, payload []byte) (string, error) {
	k := r.set.Load().active[alg]
	if k == nil {
		return "", fmt.Errorf("%w for %s", errNoKey, alg)
	}
	header, ok := k.header[typ]
	if !ok {
		return "", fmt.Errorf("signing a token: unknown type %q", typ)
	}
	b64 := base64.RawURLEncoding
	out := make([]byte, 0, len(header)+b64.EncodedLen(len(payload))+b64.EncodedLen(256)+2)
	out = append(out, header...)
	out = append(out, '.')
	out = b64.AppendEncode(out, payload)
	signature, err := k.sign(out)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	out = append(out, '.')
	return string(b64.AppendEncode(out, signature)), nil
}

func (k *key) sign(input []byte) ([]byte, error) {
	if private, ok := k.private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(private, input), nil
	}
	digest := sha256.Sum256(input)
	private, ok := k.private.(*ecdsa.PrivateKey)
	if !ok {
		return k.private.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	der, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		return nil, err
	}
	return joseSignature(der)
}

// joseSignature turns an ASN.1 signature into the two 32-byte numbers of RFC 7518, section 3.4.
func joseSignature(der []byte) ([]byte, error) {
	var r, s, inner cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1(&r, asn1.INTEGER) || !inner.ReadASN1(&s, asn1.INTEGER) {
		return nil, errors.New("reading an ECDSA signature: malformed")
	}
	out := make([]byte, 64)
	for i, n := range []cryptobyte.String{r, s} {
		n = bytes.TrimLeft(n, "\x00")
		if len(n) > 32 {
			return nil, errors.New("reading an ECDSA signature: number too long")
		}
		copy(out[32*(i+1)-len(n):], n)
	}
	return out, nil
}

// Verify returns the payload of a token that this issuer signed as one of typ. It checks no claim. Any failure is
// ErrToken.
func (r *Ring) Verify(typ, token string) ([]byte, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 || !canonical(token) {
		return nil, ErrToken
	}
	encoded, _, _ := strings.Cut(token, ".")
	k := r.set.Load().byID[IDOf(token)]
	// We wrote every header that we signed: another one, even if it says the same, was not ours. That leaves nothing to
	// negotiate: no algorithm, no key material, no "crit".
	if k == nil || encoded != k.header[typ] {
		return nil, ErrToken
	}
	payload, err := jws.Verify([]byte(token), jws.WithKey(jwa.SignatureAlgorithm(k.alg), k.private.Public()))
	if err != nil {
		return nil, ErrToken
	}
	return payload, nil
}

// IDOf returns the "kid" that a token names, or "". Only of a verified token is it the key that signed it.
func IDOf(token string) string {
	encoded, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	if json.Unmarshal(raw, &header) != nil {
		return ""
	}
	return header.KeyID
}

// canonical tells whether every part of a token is written in the one way that base64url has for its bytes (RFC 7515,
// section 2). With another way a token could be changed and stay good, which who compares or remembers tokens does not
// expect. Go's decoder skips line breaks even when it is strict.
func canonical(token string) bool {
	if strings.ContainsAny(token, "\r\n") {
		return false
	}
	for part := range strings.SplitSeq(token, ".") {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return false
		}
	}
	return true
}
