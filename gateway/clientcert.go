package gateway

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"slices"

	"github.com/realguardio/realguardio/mesh/clientcert"
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
		certificates, err := clientcert.FromHeader(r.Header)
		if err != nil || len(certificates) == 0 {
			return nil
		}
		return &tls.ConnectionState{PeerCertificates: certificates}
	}
	if e.trusts(peer) {
		return nil
	}
	return r.TLS
}
