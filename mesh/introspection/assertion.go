package introspection

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// assertionLife is how long an assertion of ours may travel.
const assertionLife = time.Minute

// assert adds to form what proves this part by its key (RFC 7523, section 2.2).
func (v *Verifier) assert(form url.Values) error {
	alg, err := algorithmOf(v.cfg.Key)
	if err != nil {
		return err
	}
	now := v.cfg.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": v.cfg.ClientID, "sub": v.cfg.ClientID, "aud": v.cfg.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return fmt.Errorf("make an assertion: %w", err)
	}
	headers := jws.NewHeaders()
	if v.cfg.KeyID != "" {
		if err := headers.Set(jws.KeyIDKey, v.cfg.KeyID); err != nil {
			return fmt.Errorf("make an assertion: %w", err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(alg, v.cfg.Key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return fmt.Errorf("sign an assertion: %w", err)
	}
	form.Set("client_id", v.cfg.ClientID)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", string(signed))
	return nil
}

func algorithmOf(key crypto.Signer) (jwa.SignatureAlgorithm, error) {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return jwa.ES256, nil
		}
	case *rsa.PublicKey:
		return jwa.RS256, nil
	case ed25519.PublicKey:
		return jwa.EdDSA, nil
	}
	return "", errors.New("the client's key must be RSA, EC on P-256 or Ed25519")
}
