package backchannel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// newClient returns an HTTP client for addresses that administrators have registered. It goes to that address and nowhere
// else: no redirects, no proxies, and no addresses at which a machine is asked about itself, whatever a name resolves to at
// the moment of the connection.
func newClient(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tryTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
	}
	return &http.Client{
		Transport:     guarded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       tryTimeout,
	}
}

// plaintextKey marks requests without TLS, which must stay on this machine.
type plaintextKey struct{}

type guarded struct{ *http.Transport }

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		r = r.WithContext(context.WithValue(r.Context(), plaintextKey{}, true))
	}
	return g.Transport.RoundTrip(r)
}

var errForbidden = errors.New("nothing is sent to this address")

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	plaintext := ctx.Value(plaintextKey{}) != nil
	dialer := net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || forbidden(to.Addr()) || plaintext && !to.Addr().Unmap().IsLoopback() {
			return errForbidden
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// metadata are addresses of clouds' instance metadata that are not link-local.
var metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16")}

// forbidden tells whether an address is no client's.
func forbidden(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, known := range metadata {
		if a == known {
			return true
		}
	}
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
