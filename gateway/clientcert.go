package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
)

// shown is what TLS says of the client of r. What it says of one of our own proxies is nothing about the proxy's client:
// that is the proxy's to say, where it is trusted with it (RFC 9440, section 2).
func (e *edge) shown(r *http.Request) *tls.ConnectionState {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	switch {
	case err != nil:
		return nil
	case !e.trusts(peer.Addr().Unmap().WithZone("")):
		return r.TLS
	}
	var cert *x509.Certificate
	if e.vouched {
		cert = clientCert(r.Header["Client-Cert"])
	}
	if cert == nil {
		return nil
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

// clientCert reads the header Client-Cert: a certificate in DER, as a byte sequence of a structured field (RFC 8941, section
// 3.3.5). It returns nil for what is not one.
func clientCert(values []string) *x509.Certificate {
	if len(values) != 1 || len(values[0]) > 8<<10 {
		return nil
	}
	text, opened := strings.CutPrefix(values[0], ":")
	text, closed := strings.CutSuffix(text, ":")
	der, err := base64.StdEncoding.DecodeString(text)
	if !opened || !closed || err != nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert
}
