package web

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/realguardio/realguardio/mesh/clientcert"
	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// MutualTLS says how clients show certificates (RFC 8705). The zero value is for a server to which nobody does.
type MutualTLS struct {
	// Origin is where programs, but no browsers, are asked for certificates, such as "https://mtls.id.example.com".
	Origin string
	// Authorities tells whether the certificates of some authority are trusted, besides those that clients registered.
	Authorities bool
	// Proxies are the networks of proxies that end the connections of clients, and say in Client-Cert (RFC 9440) with which
	// certificate. From anywhere else that header counts for nothing.
	Proxies []netip.Prefix
}

// offered tells whether there is a way to come with a certificate.
func (m MutualTLS) offered() bool { return m.Origin != "" }

// withCertificates are the endpoints that there are at [MutualTLS.Origin] too, by their names in the metadata.
var withCertificates = map[string]string{
	"token_endpoint":                        "/oauth2/token",
	"pushed_authorization_request_endpoint": "/oauth2/par",
	"revocation_endpoint":                   "/oauth2/revoke",
	"introspection_endpoint":                "/oauth2/introspect",
	"device_authorization_endpoint":         "/oauth2/device_authorization",
	"userinfo_endpoint":                     "/oauth2/userinfo",
}

// aliases are the URLs of those endpoints there (RFC 8705, section 5); nil without.
func (h *handler) aliases() map[string]string {
	if !h.MutualTLS.offered() {
		return nil
	}
	all := map[string]string{}
	for name, path := range withCertificates {
		all[name] = h.MutualTLS.Origin + path
	}
	return all
}

// forPrograms serves what is at [MutualTLS.Origin], and nothing for browsers: one that came would be asked for a certificate.
func (h *handler) forPrograms(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, path := range withCertificates {
		mux.Handle(path, next)
	}
	return mux
}

// proof is the DPoP proof of a request to an endpoint of ours, and what it has to be for. That nonces exist is told to
// whoever sends proofs.
func (h *handler) proof(w http.ResponseWriter, r *http.Request) dpop.Request {
	proofs := r.Header.Values("DPoP")
	if nonce := h.OAuth.Proofs.Nonce(); len(proofs) > 0 && nonce != "" {
		w.Header().Set("DPoP-Nonce", nonce)
	}
	urls := []string{h.issuer + r.URL.Path}
	if h.MutualTLS.offered() {
		urls = append(urls, h.MutualTLS.Origin+r.URL.Path)
	}
	return dpop.Request{Proofs: proofs, Method: r.Method, URLs: urls}
}

// certificates are what a request's sender has proven to hold: their own certificate, and then those between it and an
// authority. None for who has shown none.
func (h *handler) certificates(r *http.Request) ([]*x509.Certificate, error) {
	if !h.byProxy(r) {
		if r.TLS == nil {
			return nil, nil
		}
		return r.TLS.PeerCertificates, nil
	}
	// The certificate of the connection, if any, is the proxy's own.
	all, err := clientcert.FromHeader(r.Header)
	if err != nil {
		return nil, invalidRequest(err.Error())
	}
	return all, nil
}

// byProxy tells whether a request came by one of the proxies that clients show their certificates to.
func (h *handler) byProxy(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	peer, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	peer = peer.Unmap().WithZone("")
	return slices.ContainsFunc(h.MutualTLS.Proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// authMethods are how clients can authenticate here.
func (h *handler) authMethods() []oauth.AuthMethod {
	methods := oauth.AuthMethods
	if h.MutualTLS.offered() {
		methods = append(slices.Clone(methods), oauth.AuthSelfSignedTLS)
		if h.MutualTLS.Authorities {
			methods = append(methods, oauth.AuthTLS)
		}
	}
	return methods
}
