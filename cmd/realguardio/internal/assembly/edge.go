package assembly

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/mesh"
)

// PublicTLS is TLS for the outside, with a certificate that is read again when its files change.
func PublicTLS(certFile, keyFile string) (*tls.Config, error) {
	own, err := mesh.TLSFiles{CA: certFile, Cert: certFile, Key: keyFile}.Server()
	if err != nil {
		return nil, fmt.Errorf("cannot use the public certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: own.GetCertificate, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// Trusting is TLS towards a server whose certificate comes from the authority in caFile.
func Trusting(caFile string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// clientAddress tells where a request comes from: of X-Forwarded-For the last address that is not one of our own proxies.
func clientAddress(trusted []netip.Prefix) func(*http.Request) string {
	trusts := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return func(r *http.Request) string {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			return r.RemoteAddr
		}
		client, err := netip.ParseAddr(host)
		if err != nil {
			return host
		}
		client = client.Unmap().WithZone("")
		said := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
		for _, hop := range slices.Backward(said) {
			next, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil || !trusts(client) {
				break
			}
			client = next.Unmap().WithZone("")
		}
		return client.String()
	}
}
