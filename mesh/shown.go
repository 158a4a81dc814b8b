package mesh

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
)

// chooser chooses the certificate that a client shows, as [tls.Config.GetClientCertificate] does.
type chooser func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

// shown is the certificate that a client has shown in a handshake; empty where it was asked for none, or has none.
type shown struct {
	certificate *tls.Certificate
	// digest is by which a token is bound to it.
	digest string
	// request is how it was asked for.
	request *tls.CertificateRequestInfo
}

// keep notes what is chosen. It is for one handshake, which asks once at most.
func (s *shown) keep(choose chooser) chooser {
	return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, err := choose(request)
		s.request = request
		if err == nil && certificate != nil && len(certificate.Certificate) > 0 {
			s.certificate, s.digest = certificate, digestOf(certificate)
		}
		return certificate, err
	}
}

// digestOf is [Thumbprint] of a certificate that is not empty.
func digestOf(certificate *tls.Certificate) string {
	sum := sha256.Sum256(certificate.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
