package jwt

import (
	"slices"

	"github.com/realguardio/realguardio/mesh/internal/jose"
)

type header struct {
	alg, kid string
}

// forbidden are header parameters that would let a token choose its own key or change how it is read (RFC 7515, section
// 4.1; RFC 8725, section 3.10). No issuer of ours sets them, so that one which is there is an attack.
var forbidden = []string{"jku", "x5u", "jwk", "x5c", "crit", "b64"}

// parseHeader reads what a token says about its own form. Nothing of it is believed: alg must fit the key, and the key
// is the issuer's.
func (v *Verifier) parseHeader(segment string) (header, error) {
	m, err := jose.Object(segment)
	if err != nil {
		return header{}, refused("malformed", "header: "+err.Error())
	}
	for _, name := range forbidden {
		if _, ok := m[name]; ok {
			return header{}, refused("forbidden_header", "header has "+name)
		}
	}
	typ, ok := jose.Text(m, "typ")
	if _, named := m["typ"]; ok != named || !v.claims.TypeAccepted(typ, named) {
		return header{}, refused("wrong_type", "header: typ is not that of an access token")
	}
	var h header
	if h.alg, ok = jose.Text(m, "alg"); !ok || !slices.Contains(v.cfg.Algorithms, h.alg) {
		return header{}, refused("algorithm", "header: alg is not allowed")
	}
	if h.kid, ok = jose.Text(m, "kid"); !ok || h.kid == "" || len(h.kid) > 256 {
		return header{}, refused("unknown_key", "header: kid is missing or too long")
	}
	return h, nil
}
