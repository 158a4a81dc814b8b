package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// shown is what TLS says of the client of r. What it says of one of our own proxies is nothing about the proxy's client:
// that is the proxy's to say, where it may (RFC 9440, section 2).
func (e *edge) shown(r *http.Request) *tls.ConnectionState {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	peer := at.Addr().Unmap().WithZone("")
	holds := func(p netip.Prefix) bool { return p.Contains(peer) }
	if slices.ContainsFunc(e.vouching, holds) {
		if cert := clientCert(r.Header["Client-Cert"]); cert != nil {
			return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
		}
		return nil
	}
	if e.trusts(peer) {
		return nil
	}
	return r.TLS
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
