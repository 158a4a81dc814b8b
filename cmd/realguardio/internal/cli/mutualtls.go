package cli

import (
	"errors"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/token"
)

// mutualTLSFlags say how OAuth clients show certificates to the token service (RFC 8705).
type mutualTLSFlags struct {
	origin, authorities string
	proxies             []string
}

// declareNonces adds whether proofs of possession name a nonce.
func declareNonces(s *settings.Set, policy *token.NoncePolicy) {
	*policy = token.NoncesOffered
	s.String((*string)(policy), "dpop-nonce", "whether DPoP proofs name a nonce of the issuer's: required, offered (to clients that know of nonces), none",
		settings.OneOf(string(token.NoncesRequired), string(token.NoncesOffered), string(token.NoncesNone)))
}

func (f *mutualTLSFlags) declare(s *settings.Set, p *partFlags) {
	s.String(&f.origin, "mtls-origin", "URL where clients, but no browsers, show certificates, such as https://mtls.id.example.com (default: nowhere)", settings.HTTPURL, origin)
	s.String(&p.listen.MTLS, "mtls-listen", "address for it (default: none; see --client-cert-proxy)", settings.Address)
	s.String(&f.authorities, "client-ca-file", "authorities of the certificates of clients that registered a name (default: clients' own certificates alone)", settings.File, authorities)
	s.Strings(&f.proxies, "client-cert-proxy", "network of proxies before --mtls-origin whose Client-Cert (RFC 9440) is believed; they must drop that header from what clients send", prefixes)
	s.Rule(func() error {
		switch {
		case f.origin == "" && (p.listen.MTLS != "" || f.authorities != "" || len(f.proxies) > 0):
			return errors.New("--mtls-listen, --client-ca-file and --client-cert-proxy need --mtls-origin")
		case f.origin != "" && p.listen.MTLS == "" && len(f.proxies) == 0:
			return errors.New("--mtls-origin needs --mtls-listen, or --client-cert-proxy for the proxies that listen there")
		case p.listen.MTLS != "" && p.publicCert == "":
			return errors.New("--mtls-listen needs --public-cert-file and --public-key-file")
		}
		return nil
	})
}

func (f *mutualTLSFlags) config() (token.MutualTLS, error) {
	pool, err := assembly.ClientAuthorities(f.authorities)
	return token.MutualTLS{Origin: f.origin, Authorities: pool, Proxies: parsePrefixes(f.proxies)}, err
}
