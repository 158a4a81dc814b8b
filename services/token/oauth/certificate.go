package oauth

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// TLSAuthBy says what of a certificate tells which client holds it (RFC 8705, section 2).
type TLSAuthBy string

// Ways to be authenticated by a certificate. The first five name what a certificate of a trusted authority must say
// (tls_client_auth, section 2.1.2), the last one is for a certificate of the client's own that stands in its JWKS
// (self_signed_tls_client_auth, section 2.2).
const (
	ByNothing    TLSAuthBy = ""
	BySubjectDN  TLSAuthBy = "subject_dn"
	BySANDNS     TLSAuthBy = "san_dns"
	BySANURI     TLSAuthBy = "san_uri"
	BySANIP      TLSAuthBy = "san_ip"
	BySANEmail   TLSAuthBy = "san_email"
	BySelfSigned TLSAuthBy = "self_signed"
)

// TLSAuth says which certificate a client authenticates by; zero for a client that does not.
type TLSAuth struct {
	By TLSAuthBy
	// Name is what the certificate must name; empty with BySelfSigned.
	Name string
}

// named tells whether a certificate has the name. One that has others besides has this one too: the authority has checked
// all of them.
func (a TLSAuth) named(c *x509.Certificate) bool {
	switch a.By {
	case BySubjectDN:
		registered, err := parseDN(a.Name)
		return err == nil && registered.is(c.RawSubject)
	case BySANDNS:
		return slices.ContainsFunc(c.DNSNames, func(name string) bool { return strings.EqualFold(name, a.Name) })
	case BySANURI:
		for _, uri := range c.URIs {
			if uri.String() == a.Name {
				return true
			}
		}
	case BySANIP:
		registered, err := netip.ParseAddr(a.Name)
		for _, ip := range c.IPAddresses {
			if address, ok := netip.AddrFromSlice(ip); ok && err == nil && address.Unmap() == registered.Unmap() {
				return true
			}
		}
	case BySANEmail:
		return slices.Contains(c.EmailAddresses, a.Name)
	}
	return false
}

// hasCertificate tells whether a client proves itself by the certificate that it holds, which comes first, with those of
// the authorities between it and one that is trusted.
func (s *Server) hasCertificate(client *Client, chain []*x509.Certificate) bool {
	if client.TLSAuth.By == ByNothing || len(chain) == 0 || weakKey(chain[0]) {
		return false
	}
	held, now := chain[0], s.Now()
	if client.TLSAuth.By == BySelfSigned {
		return inForce(held, now) && client.registeredCertificate(held)
	}
	return client.TLSAuth.named(held) && s.issuedByTrusted(chain, now)
}

// issuedByTrusted tells whether a certificate is good now and comes from an authority that clients' certificates come from.
func (s *Server) issuedByTrusted(chain []*x509.Certificate, now time.Time) bool {
	if s.ClientAuthorities == nil {
		return false // or the system's would be trusted, of which anybody gets certificates
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: s.ClientAuthorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// registeredCertificate tells whether a certificate stands in the client's JWKS.
func (c *Client) registeredCertificate(held *x509.Certificate) bool {
	known, err := clientKeys(c.JWKS)
	if err != nil {
		return false // checked at registration
	}
	return slices.ContainsFunc(known, func(k clientKey) bool { return k.certificate != nil && bytes.Equal(k.certificate.Raw, held.Raw) })
}

func inForce(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// weakKey tells whether others than its holder could have the key of a certificate, because it can be computed. Curves are
// chosen by the TLS stack.
func weakKey(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && checkRSA(key) != nil
}

// thumbprintOf is how a token names the certificate that it is bound to (RFC 8705, section 3.1).
func thumbprintOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
