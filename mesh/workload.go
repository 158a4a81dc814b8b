package mesh

import (
	"context"
	"crypto/x509"
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

// peerWorkload returns the name in the certificate that the peer of ctx has proven to hold.
func peerWorkload(ctx context.Context, domain string) (string, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", false
	}
	info, ok := tlsOf(p.AuthInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return "", false
	}
	return WorkloadName(info.State.VerifiedChains[0][0], domain)
}
