package token

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/redisstore"
)

// NoncePolicy says whether DPoP proofs have to name a nonce that the server gave out (RFC 9449, section 8).
type NoncePolicy string

// The policies. A client that does not know of nonces is let in where they are offered, and one that does gains by them.
const (
	NoncesRequired NoncePolicy = "required"
	NoncesOffered  NoncePolicy = "offered"
	NoncesNone     NoncePolicy = "none"
)

// MutualTLS says how clients show certificates (RFC 8705).
type MutualTLS struct {
	// Origin is the URL of MutualTLSHandler, without a trailing slash: "https://mtls.id.example.com". Browsers never go
	// there, so that nobody is asked to choose a certificate. Empty: clients cannot show certificates.
	Origin string
	// Authorities are those that certificates of clients come from that registered a name (tls_client_auth). Nil: clients can
	// have certificates of their own alone.
	Authorities *x509.CertPool
	// Proxies are networks of proxies in front of Origin, which may tell in Client-Cert (RFC 9440) which certificate a client
	// has shown. A proxy must take away that header from what clients send.
	Proxies []netip.Prefix
}

// nonceSlot is how often the nonce changes; one that was given out is good until the end of the next slot.
const nonceSlot = 2 * time.Minute

func (cfg *Config) completeBinding() error {
	switch cfg.DPoPNonces {
	case "":
		cfg.DPoPNonces = NoncesOffered
	case NoncesRequired, NoncesOffered, NoncesNone:
	default:
		return fmt.Errorf("token: %q is no policy for DPoP nonces", cfg.DPoPNonces)
	}
	if cfg.MutualTLS.Origin == "" {
		if cfg.MutualTLS.Authorities != nil || len(cfg.MutualTLS.Proxies) > 0 {
			return fmt.Errorf("token: MutualTLS has authorities or proxies, and no origin")
		}
		return nil
	}
	u, err := url.Parse(cfg.MutualTLS.Origin)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != cfg.MutualTLS.Origin {
		return fmt.Errorf("token: MutualTLS.Origin %q must be https and a host, without a path or trailing slash", cfg.MutualTLS.Origin)
	}
	if cfg.MutualTLS.Origin == cfg.Issuer {
		return fmt.Errorf("token: MutualTLS.Origin must not be the issuer's own, where browsers go")
	}
	return nil
}

// newProofs checks DPoP proofs. What was used is known to all replicas, and so are the nonces.
func newProofs(cfg Config, store *redisstore.Store) (*dpop.Checker, error) {
	var nonces *dpop.Nonces
	if cfg.DPoPNonces != NoncesNone {
		key, err := hkdf.Key(sha256.New, cfg.Keys.MAC, nil, "DPoP nonces", 32)
		if err != nil {
			return nil, fmt.Errorf("deriving the key of DPoP nonces: %w", err)
		}
		if nonces, err = dpop.NewNonces(nonceSlot, key); err != nil {
			return nil, err
		}
	}
	return dpop.New(dpop.Config{Replays: store, Nonces: nonces, OptionalNonces: cfg.DPoPNonces == NoncesOffered, Now: cfg.Now})
}
