package oauth

import (
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
)

// maxCertificateName bounds what a client's certificate is told by.
const maxCertificateName = 1000

// fieldOf is the field of the Client message for each way to be authenticated by a certificate.
var fieldOf = map[TLSAuthBy]string{
	BySubjectDN: "tlsClientAuthSubjectDn", BySANDNS: "tlsClientAuthSanDns", BySANURI: "tlsClientAuthSanUri", BySANIP: "tlsClientAuthSanIp",
	BySANEmail: "tlsClientAuthSanEmail", BySelfSigned: "selfSignedTlsClientAuth",
}

var hostName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// checkTLSAuth checks how a certificate is told. The certificates of a JWKS are checked with its keys.
func checkTLSAuth(c *Client) error {
	by := c.TLSAuth.By
	refused := func(why string) error { return &MetadataError{fieldOf[by], why} }
	switch {
	case by == ByNothing && c.TLSAuth.Name == "":
		return nil
	case fieldOf[by] == "":
		return &MetadataError{"tlsClientAuthSubjectDn", "is told by nothing that is known"}
	case c.Kind == KindAPIKey:
		return refused("an API key authenticates by its secret")
	case by == BySelfSigned && c.JWKS == "":
		return refused("needs jwks with the certificates in x5c (RFC 8705, section 2.2.2)")
	case by != BySelfSigned && c.JWKS != "":
		return &MetadataError{"jwks", "a client authenticates by keys, or by the name in its certificate"}
	case len(c.TLSAuth.Name) > maxCertificateName || !plain(c.TLSAuth.Name):
		return refused("must be at most 1000 bytes of text")
	}
	if why := c.TLSAuth.problem(); why != "" {
		return refused(why)
	}
	return nil
}

// problem says why no certificate should be told by a name, or "".
func (a TLSAuth) problem() string {
	switch a.By {
	case BySubjectDN:
		if _, err := parseDN(a.Name); err != nil {
			return err.Error()
		}
	case BySANDNS:
		if !hostName.MatchString(a.Name) {
			return "must be a host name, such as it stands in the certificate"
		}
	case BySANURI:
		if u, err := url.Parse(a.Name); err != nil || !u.IsAbs() || u.String() != a.Name {
			return "must be an absolute URI, such as it stands in the certificate"
		}
	case BySANIP:
		if _, err := netip.ParseAddr(a.Name); err != nil {
			return "must be an IP address"
		}
	case BySANEmail:
		if parsed, err := mail.ParseAddress(a.Name); err != nil || parsed.Address != a.Name {
			return "must be an e-mail address"
		}
	case BySelfSigned:
		if a.Name != "" {
			return "goes by the certificate itself, and by no name"
		}
	}
	return ""
}
