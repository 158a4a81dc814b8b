package dpop

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// Bounds on what is looked at, in bytes.
const (
	maxProof = 4 << 10 // one with an RSA key of 4096 bits has about half of that
	maxID    = 256
)

// proofType is "typ" of every proof.
const proofType = "dpop+jwt"

// parsed is a proof whose signature is good.
type parsed struct {
	key                      *publicKey
	id, method, token, nonce string
	// url is "htu", normalised.
	url    string
	issued time.Time
}

// names reports whether the proof is for url.
func (p *parsed) names(url string) bool {
	normal, err := normalise(url)
	return err == nil && normal == p.url
}

// parse reads a proof and verifies its signature by the key that it brings (RFC 9449, section 4.2).
func parse(proof string) (*parsed, error) {
	if len(proof) > maxProof {
		return nil, invalid("proof_malformed", "it is too long")
	}
	jws, ok := jose.Split(proof)
	if !ok {
		return nil, invalid("proof_malformed", "it is not a compact JWS")
	}
	alg, key, err := header(jws.Header)
	if err != nil {
		return nil, err
	}
	if !jose.Verified(alg, key.public, jws.Signed, jws.Signature) {
		return nil, invalid("proof_signature", "the signature does not verify")
	}
	return claims(jws.Payload, key)
}

// forbidden are members of a header that name a second key, or change how the proof is read. Any other that is not known is
// ignored, as the conformance suite of FAPI 2.0 wants it (RFC 7515, section 4).
var forbidden = []string{"kid", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "enc", "zip"}

// header reads how the proof is signed: by the key that it brings.
func header(segment string) (alg string, key *publicKey, err error) {
	m, err := jose.Object(segment)
	if err != nil {
		return "", nil, invalid("proof_malformed", "header: "+err.Error())
	}
	if typ, _ := jose.Text(m, "typ"); typ != proofType {
		return "", nil, invalid("proof_type", "header: typ is not "+proofType)
	}
	alg, _ = jose.Text(m, "alg")
	if alg == "" || m["jwk"] == nil || slices.ContainsFunc(forbidden, func(name string) bool { return m[name] != nil }) {
		return "", nil, invalid("proof_malformed", "header: it lacks alg or jwk, or has a member that a proof must not have")
	}
	key, err = readKey(m["jwk"])
	if err != nil {
		return "", nil, invalid("proof_key", "header: jwk: "+err.Error())
	}
	if !key.fits(alg) {
		return "", nil, invalid("proof_algorithm", "header: alg is not the one for this type of key")
	}
	return key.alg, key, nil
}

func claims(segment string, key *publicKey) (*parsed, error) {
	m, err := jose.Object(segment)
	if err != nil {
		return nil, invalid("proof_malformed", "payload: "+err.Error())
	}
	p := &parsed{key: key}
	var url string
	for _, c := range []struct {
		name     string
		to       *string
		required bool
	}{{"jti", &p.id, true}, {"htm", &p.method, true}, {"htu", &url, true}, {"ath", &p.token, false}, {"nonce", &p.nonce, false}} {
		value, ok := jose.Text(m, c.name)
		if !ok && (c.required || m[c.name] != nil) || ok && value == "" {
			return nil, invalid("proof_malformed", "payload: "+c.name+" is missing, empty or not a string")
		}
		*c.to = value
	}
	if len(p.id) > maxID {
		return nil, invalid("proof_malformed", "payload: jti is too long")
	}
	if p.url, err = normalise(url); err != nil {
		return nil, invalid("proof_url", "payload: htu: "+err.Error())
	}
	var ok bool
	if p.issued, ok = date(m["iat"]); !ok {
		return nil, invalid("proof_time", "payload: iat is missing or not a date")
	}
	return p, nil
}

// date reads a NumericDate (RFC 7519, section 2), whole seconds of it. What is not between the years 1970 and 9999 is
// refused, because arithmetic on it overflows.
func date(raw json.RawMessage) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
