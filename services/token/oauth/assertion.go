package oauth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// AssertionType is the "client_assertion_type" of private_key_jwt (RFC 7523, section 2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Bounds of a client assertion.
const (
	maxAssertion = 8 << 10
	// maxAssertionAge is how far ahead it may expire, and so how long it is remembered that it was used.
	maxAssertionAge = time.Hour
	// assertionLeeway is the clock difference tolerated.
	assertionLeeway = 30 * time.Second
	maxAssertionID  = 256
)

// AssertionStore remembers which assertions were used.
type AssertionStore interface {
	// UseAssertion reports whether this is the first use of an assertion, by its hash: of any number of callers exactly
	// one is told so within keep.
	UseAssertion(ctx context.Context, hash string, keep time.Duration) (first bool, err error)
}

// assertion is what a client says to prove itself. Nothing of it is believed before its signature is verified.
type assertion struct {
	token  string
	alg    string
	keyID  string
	client string
	claims map[string]json.RawMessage
}

// readAssertion takes a compact JWS apart whose header tells nothing but how it was signed.
func readAssertion(token string) (assertion, bool) {
	parts := strings.Split(token, ".")
	if len(token) > maxAssertion || len(parts) != 3 || strings.ContainsAny(token, "\r\n") {
		return assertion{}, false
	}
	header, ok := segment(parts[0])
	claims, readable := segment(parts[1])
	if !ok || !readable {
		return assertion{}, false
	}
	for name := range header {
		// No key material, nothing critical, nothing that changes how the rest is read. Thumbprints of certificates are
		// nothing to us.
		if !slices.Contains([]string{"alg", "kid", "typ", "cty", "x5t", "x5t#S256"}, name) {
			return assertion{}, false
		}
	}
	a := assertion{token: token, alg: memberText(header, "alg"), keyID: memberText(header, "kid"), client: memberText(claims, "sub"), claims: claims}
	typ := strings.ToLower(memberText(header, "typ"))
	typed := header["typ"] == nil || typ == "jwt" || typ == "client-authentication+jwt"
	named := header["kid"] == nil || a.keyID != ""
	return a, typed && named && slices.Contains(AssertionAlgs, a.alg) && a.client != ""
}

func segment(encoded string) (map[string]json.RawMessage, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || !unambiguous(raw) {
		return nil, false
	}
	var members map[string]json.RawMessage
	return members, json.Unmarshal(raw, &members) == nil && members != nil
}

// memberText returns a member that is a string, or "".
func memberText(members map[string]json.RawMessage, name string) (value string) {
	if json.Unmarshal(members[name], &value) != nil {
		return ""
	}
	return value
}

// proves tells whether an assertion proves that it comes from the client now, and that for the first time (RFC 7523,
// section 3). Without the memory of earlier ones none proves anything.
func (s *Server) proves(ctx context.Context, client *Client, a assertion) (bool, error) {
	if client.JWKS == "" || client.TLSAuth.By != ByNothing || !a.signedBy(client) {
		return false, nil
	}
	now := s.Now()
	expiry, ok := a.expiry(now)
	id := memberText(a.claims, "jti")
	if !ok || memberText(a.claims, "iss") != client.ID || a.client != client.ID || !s.isAudience(a.claims["aud"]) || id == "" || len(id) > maxAssertionID {
		return false, nil
	}
	if client.bindsTokens() && !s.isStrict(a) {
		return false, nil
	}
	sum := sha256.Sum256([]byte(client.ID + "\x00" + id))
	first, err := s.Assertions.UseAssertion(ctx, base64.RawURLEncoding.EncodeToString(sum[:]), expiry.Add(2*assertionLeeway).Sub(now))
	if err != nil {
		return false, fmt.Errorf("looking for an earlier use of a client assertion: %w", err)
	}
	return first, nil
}

// isStrict tells whether an assertion is as the FAPI 2.0 Security Profile wants it (sections 5.3.2.1 and 5.4.1): not signed by
// RSASSA-PKCS1-v1_5, and for the issuer alone. Clients whose tokens are bound to a key are held to it.
func (s *Server) isStrict(a assertion) bool {
	return a.alg != "RS256" && memberText(a.claims, "aud") == s.Issuer
}

// signedBy tells whether one of the client's keys made the signature: the one that is named, if one is.
func (a assertion) signedBy(client *Client) bool {
	known, err := clientKeys(client.JWKS)
	if err != nil {
		return false // checked at registration
	}
	for _, k := range known {
		if a.keyID != "" && a.keyID != k.id || !slices.Contains(k.algs, a.alg) {
			continue
		}
		if a.signedWith(k.public) {
			return true
		}
	}
	return false
}

func (a assertion) signedWith(key crypto.PublicKey) bool {
	if public, ok := key.(ed25519.PublicKey); ok { // jws does not know the algorithm by its newer name
		end := strings.LastIndexByte(a.token, '.')
		signature, err := base64.RawURLEncoding.Strict().DecodeString(a.token[end+1:])
		return err == nil && ed25519.Verify(public, []byte(a.token[:end]), signature)
	}
	_, err := jws.Verify([]byte(a.token), jws.WithKey(jwa.SignatureAlgorithm(a.alg), key))
	return err == nil
}

// expiry is when the assertion ends, if it is good now.
func (a assertion) expiry(now time.Time) (time.Time, bool) {
	expiry, there, ok := a.time("exp")
	if !there || !ok || !now.Before(expiry.Add(assertionLeeway)) || expiry.After(now.Add(maxAssertionAge+assertionLeeway)) {
		return time.Time{}, false
	}
	for _, name := range []string{"nbf", "iat"} {
		from, there, ok := a.time(name)
		if there && (!ok || from.After(now.Add(assertionLeeway))) {
			return time.Time{}, false
		}
	}
	return expiry, true
}

// time reads a NumericDate (RFC 7519, section 2).
func (a assertion) time(name string) (t time.Time, there, ok bool) {
	raw, there := a.claims[name]
	if !there {
		return time.Time{}, false, false
	}
	var seconds float64
	if string(raw) == "null" || json.Unmarshal(raw, &seconds) != nil || seconds < 0 || seconds > math.MaxInt32*4 {
		return time.Time{}, true, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true, true
}

// isAudience tells whether an assertion was made for this server and nobody besides: somebody else who got it could use it
// here. Clients name the issuer, or the endpoint where they first used assertions (RFC 7523, section 3; RFC 9126,
// section 2).
func (s *Server) isAudience(raw json.RawMessage) bool {
	var all []string
	if json.Unmarshal(raw, &all) != nil {
		var one string
		if json.Unmarshal(raw, &one) != nil {
			return false
		}
		all = []string{one}
	}
	ours := []string{s.Issuer, s.Issuer + "/oauth2/token", s.Issuer + "/oauth2/par"}
	return len(all) > 0 && covers(ours, all)
}
