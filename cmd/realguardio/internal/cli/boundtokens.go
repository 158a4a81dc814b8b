package cli

import (
	"errors"
	"strings"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

// boundTokenFlags say where API clients prove to the gateway that they hold the key of their token (RFC 8705, RFC 9449).
type boundTokenFlags struct {
	grpcOrigins, proxies []string
	mtlsOrigin           string
}

func (f *boundTokenFlags) declare(s *settings.Set, p *partFlags) {
	s.Strings(&f.grpcOrigins, "grpc-origin", "where native gRPC clients reach the gateway, such as https://example.com:8090; tokens bound by DPoP are taken for it (default: none are)", settings.HTTPURL, origin)
	s.String(&f.mtlsOrigin, "mtls-origin", "URL where API clients, but no browsers, show certificates for REST, such as https://mtls.example.com (default: nowhere)", settings.HTTPURL, origin)
	s.String(&p.listen.MTLS, "mtls-listen", "address for it (default: none; see --client-cert-proxy)", settings.Address)
	s.Strings(&f.proxies, "client-cert-proxy", "network of proxies before --mtls-origin whose Client-Cert (RFC 9440) is believed; they must drop that header from what clients send", prefixes)
	s.Rule(func() error {
		switch {
		case f.mtlsOrigin == "" && (p.listen.MTLS != "" || len(f.proxies) > 0):
			return errors.New("--mtls-listen and --client-cert-proxy need --mtls-origin")
		case f.mtlsOrigin != "" && p.listen.MTLS == "" && len(f.proxies) == 0:
			return errors.New("--mtls-origin needs --mtls-listen, or --client-cert-proxy for the proxies that listen there")
		case p.listen.MTLS != "" && p.publicCert == "":
			return errors.New("--mtls-listen needs --public-cert-file and --public-key-file")
		}
		return nil
	})
}

func (f *boundTokenFlags) config() assembly.BoundTokens {
	b := assembly.BoundTokens{Proxies: parsePrefixes(f.proxies)}
	for _, o := range f.grpcOrigins {
		b.GRPCOrigins = append(b.GRPCOrigins, strings.TrimSuffix(o, "/"))
	}
	if f.mtlsOrigin != "" {
		b.Origins = []string{strings.TrimSuffix(f.mtlsOrigin, "/")}
	}
	return b
}
