package mesh

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"

	"google.golang.org/grpc/peer"
)

// TrustDomain is the SPIFFE trust domain where none is configured.
const TrustDomain = "realguardio"

// WorkloadName returns the name in a workload's certificate: NAME of its only URI, spiffe://<domain>/NAME. A certificate
// with another form, a deeper path or more than one URI names nobody (SPIFFE X.509-SVID, section 2).
func WorkloadName(cert *x509.Certificate, domain string) (string, bool) {
	if len(cert.URIs) != 1 {
		return "", false
	}
	uri := cert.URIs[0]
	name := strings.TrimPrefix(uri.Path, "/")
	if uri.Scheme != "spiffe" || uri.Host != domain || uri.User != nil || uri.RawQuery != "" || uri.Fragment != "" ||
		uri.RawPath != "" || name == "" || strings.Contains(name, "/") {
		return "", false
	}
	return name, true
}

// PeerCertificate returns the certificate that the peer of ctx, the context of an RPC, has proven to hold.
func PeerCertificate(ctx context.Context) (*x509.Certificate, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	info, ok := tlsOf(p.AuthInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil, false
	}
	return info.State.VerifiedChains[0][0], true
}

// Thumbprint is the digest by which a token is bound to a certificate: [Confirmation.X5T].
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// peerWorkload returns the name in the certificate that the peer of ctx has proven to hold.
func peerWorkload(ctx context.Context, domain string) (string, bool) {
	cert, ok := PeerCertificate(ctx)
	if !ok {
		return "", false
	}
	return WorkloadName(cert, domain)
}
