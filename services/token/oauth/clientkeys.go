package oauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"unicode/utf8"

	"github.com/lestrrat-go/jwx/v2/cert"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// maxClientKeys lets a client roll its keys over, and bounds what one assertion is tried against.
const maxClientKeys = 8

// AssertionAlgs are what client assertions may be signed with: never with a secret that both sides know. EdDSA means
// Ed25519 here, which clients call by either name (RFC 9864, section 2.2).
var AssertionAlgs = []string{"ES256", "RS256", "PS256", "EdDSA", "Ed25519"}

// clientKey is a public key that a client proves itself by.
type clientKey struct {
	id     string
	public crypto.PublicKey
	// algs are what the type of the key allows, or the one that the client registered it for.
	algs []string
	// certificate is the one for the key that the client registered with it; nil without.
	certificate *x509.Certificate
}

// checkKeys refuses keys that prove nothing, because they are not secret or can be computed.
func checkKeys(c *Client) error {
	if c.JWKS == "" {
		return nil
	}
	known, err := clientKeys(c.JWKS)
	if err != nil {
		return &MetadataError{"jwks", err.Error()}
	}
	without := func(k clientKey) bool { return k.certificate == nil }
	if c.TLSAuth.By == BySelfSigned && slices.ContainsFunc(known, without) {
		return &MetadataError{"jwks", "each key must have its certificate in x5c (RFC 8705, section 2.2.2)"}
	}
	return nil
}

// clientKeys reads a JWK Set (RFC 7517, section 5). The error is for whoever registers it, and quotes nothing.
func clientKeys(set string) ([]clientKey, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if !unambiguous([]byte(set)) || json.Unmarshal([]byte(set), &document) != nil || len(document.Keys) == 0 {
		return nil, errors.New("must be a JWK Set with at least one key")
	}
	if len(document.Keys) > maxClientKeys {
		return nil, fmt.Errorf("must have at most %d keys", maxClientKeys)
	}
	var all []clientKey
	for i, raw := range document.Keys {
		k, err := readClientKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		same := func(other clientKey) bool { return other.id == k.id }
		if len(document.Keys) > 1 && (k.id == "" || slices.ContainsFunc(all, same)) {
			return nil, fmt.Errorf("key %d: of several keys each must have a kid of its own", i+1)
		}
		all = append(all, k)
	}
	return all, nil
}

func readClientKey(raw []byte) (clientKey, error) {
	parsed, err := jwk.ParseKey(raw)
	if err != nil {
		return clientKey{}, errors.New("is not a key that can be read")
	}
	if use := parsed.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return clientKey{}, errors.New(`must have the use "sig", or none`)
	}
	k := clientKey{id: parsed.KeyID()}
	switch key := parsed.(type) {
	case jwk.ECDSAPublicKey:
		err = k.takeEC(key)
	case jwk.RSAPublicKey:
		err = k.takeRSA(key)
	case jwk.OKPPublicKey:
		err = k.takeEd25519(key)
	default:
		err = errors.New("must be a public key, of the type EC, RSA or OKP: a private or shared one does not belong here")
	}
	if err != nil {
		return clientKey{}, err
	}
	if alg := parsed.Algorithm().String(); alg != "" {
		if !slices.Contains(k.algs, alg) {
			return clientKey{}, errors.New("must have an alg that is ES256, RS256, PS256 or EdDSA and fits its type, or none")
		}
		if _, both := k.public.(ed25519.PublicKey); !both {
			k.algs = []string{alg}
		}
	}
	return k, k.takeCertificate(parsed.X509CertChain())
}

// takeCertificate reads the first certificate of a chain (RFC 7517, section 4.7), which must be one for the key.
func (k *clientKey) takeCertificate(chain *cert.Chain) error {
	if chain == nil || chain.Len() == 0 {
		return nil
	}
	encoded, _ := chain.Get(0)
	der, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		return errors.New("must have certificates in x5c that can be read")
	}
	if k.certificate, err = x509.ParseCertificate(der); err != nil {
		return errors.New("must have certificates in x5c that can be read")
	}
	same, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !same.Equal(k.certificate.PublicKey) {
		return errors.New("must have a certificate in x5c that is for the key itself")
	}
	return nil
}

func (k *clientKey) takeEC(key jwk.ECDSAPublicKey) error {
	var public ecdsa.PublicKey
	if key.Raw(&public) != nil || public.Curve != elliptic.P256() {
		return errors.New("must be on the curve P-256")
	}
	if _, err := public.ECDH(); err != nil {
		return errors.New("is not a point of P-256")
	}
	k.public, k.algs = &public, []string{"ES256"}
	return nil
}

func (k *clientKey) takeRSA(key jwk.RSAPublicKey) error {
	var public rsa.PublicKey
	if key.Raw(&public) != nil {
		return errors.New("is not an RSA key that can be read")
	}
	if len(key.E()) > 4 {
		return errExponent()
	}
	if err := checkRSA(&public); err != nil {
		return err
	}
	k.public, k.algs = &public, []string{"RS256", "PS256"}
	return nil
}

func errExponent() error { return errors.New("must have an odd exponent from 65537 on") }

// checkRSA refuses keys that can be computed from what is public, and those that cost too much to check.
func checkRSA(public *rsa.PublicKey) error {
	switch bits := public.N.BitLen(); {
	case bits < 2048 || bits > 8192: // above, one verification costs more than a stranger should be able to ask for
		return errors.New("must have 2048 to 8192 bits")
	case public.E < 65537 || public.E%2 == 0:
		return errExponent()
	case public.N.Bit(0) == 0 || predictable(public.N):
		return errors.New("can be factored: it was made by a broken generator")
	}
	return nil
}

func (k *clientKey) takeEd25519(key jwk.OKPPublicKey) error {
	var public ed25519.PublicKey
	if key.Raw(&public) != nil || len(public) != ed25519.PublicKeySize {
		return errors.New("must be on the curve Ed25519")
	}
	k.public, k.algs = public, []string{"EdDSA", "Ed25519"}
	return nil
}

// predictable tells whether an RSA modulus has the form that a widespread chip gave its keys (ROCA, CVE-2017-15361): of
// each small prime the remainder is a power of 65537. Of other moduli one in a hundred million is.
func predictable(modulus *big.Int) bool {
	for _, prime := range []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157} {
		remainder := new(big.Int).Mod(modulus, big.NewInt(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			found = found || power == remainder
			power = power * 65537 % prime
		}
		if !found {
			return false
		}
	}
	return true
}

// unambiguous tells whether raw is one JSON value that no two readers could read differently: no object, however deep, has
// a member twice (RFC 7515, section 4; RFC 7519, section 4).
func unambiguous(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if !unambiguousValue(d) {
		return false
	}
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

func unambiguousValue(d *json.Decoder) bool {
	begin, err := d.Token()
	if err != nil {
		return false
	}
	delimiter, structured := begin.(json.Delim)
	if !structured {
		return true
	}
	for seen := map[string]bool{}; d.More(); {
		if delimiter == '{' {
			token, err := d.Token()
			name, ok := token.(string)
			if err != nil || !ok || seen[name] {
				return false
			}
			seen[name] = true
		}
		if !unambiguousValue(d) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}
