package cli

import (
	"errors"
	"strings"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/token"
)

// mutualTLSFlags say where clients from outside show certificates (RFC 8705).
type mutualTLSFlags struct {
	origin, authorities string
	proxies             []string
}

// declare adds them. who shows certificates there stands in the manual.
func (f *mutualTLSFlags) declare(s *settings.Set, p *partFlags, who string) {
	s.String(&f.origin, "mtls-origin", "URL where "+who+" (default: nowhere)", settings.HTTPURL, origin)
	s.String(&p.listen.MTLS, "mtls-listen", "address for it (default: none; see --client-cert-proxy)", settings.Address)
	s.Strings(&f.proxies, "client-cert-proxy", "network of proxies before --mtls-origin whose Client-Cert (RFC 9440) is believed; they must drop that header from what clients send", prefixes)
	s.Rule(func() error {
		switch {
		case f.origin == "" && (p.listen.MTLS != "" || len(f.proxies) > 0):
			return errors.New("--mtls-listen and --client-cert-proxy need --mtls-origin")
		case f.origin != "" && p.listen.MTLS == "" && len(f.proxies) == 0:
			return errors.New("--mtls-origin needs --mtls-listen, or --client-cert-proxy for the proxies that listen there")
		case p.listen.MTLS != "" && p.publicCert == "":
			return errors.New("--mtls-listen needs --public-cert-file and --public-key-file")
		}
		return nil
	})
}

// declareAuthorities adds whose certificates count as a client's name.
func (f *mutualTLSFlags) declareAuthorities(s *settings.Set) {
	s.String(&f.authorities, "client-ca-file", "authorities of the certificates of clients that registered a name (default: clients' own certificates alone)", settings.File, authorities)
	s.Rule(func() error {
		if f.authorities != "" && f.origin == "" {
			return errors.New("--client-ca-file needs --mtls-origin")
		}
		return nil
	})
}

// config is what they say to the token service.
func (f *mutualTLSFlags) config() (token.MutualTLS, error) {
	pool, err := assembly.ClientAuthorities(f.authorities)
	return token.MutualTLS{Origin: f.origin, Authorities: pool, Proxies: parsePrefixes(f.proxies)}, err
}

// boundTokenFlags say where API clients prove to the gateway that they hold the key of their token (RFC 8705, RFC 9449).
type boundTokenFlags struct {
	grpcOrigins []string
	mtls        mutualTLSFlags
}

func (f *boundTokenFlags) declare(s *settings.Set, p *partFlags) {
	s.Strings(&f.grpcOrigins, "grpc-origin", "where native gRPC clients reach the gateway, such as https://example.com:8090; tokens bound by DPoP are taken for it (default: none are)", settings.HTTPURL, origin)
	f.mtls.declare(s, p, "API clients, but no browsers, show certificates for REST, such as https://mtls.example.com")
}

func (f *boundTokenFlags) config() assembly.BoundTokens {
	b := assembly.BoundTokens{Proxies: parsePrefixes(f.mtls.proxies)}
	for _, o := range f.grpcOrigins {
		b.GRPCOrigins = append(b.GRPCOrigins, strings.TrimSuffix(o, "/"))
	}
	if f.mtls.origin != "" {
		b.Origins = []string{strings.TrimSuffix(f.mtls.origin, "/")}
	}
	return b
}

// declareNonces adds whether proofs of possession name a nonce.
func declareNonces(s *settings.Set, policy *token.NoncePolicy) {
	*policy = token.NoncesOffered
	s.String((*string)(policy), "dpop-nonce", "whether DPoP proofs name a nonce of the issuer's: required, offered (to clients that know of nonces), none",
		settings.OneOf(string(token.NoncesRequired), string(token.NoncesOffered), string(token.NoncesNone)))
}
