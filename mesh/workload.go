package mesh

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// TrustDomain is the SPIFFE trust domain where none is configured.
const TrustDomain = "realguardio"

// WorkloadID is the form of a workload's SPIFFE id where none is configured.
const WorkloadID = "spiffe://" + TrustDomain + "/" + partMark

// partMark stands for a workload's name in the form of its id.
const partMark = "{part}"

// WorkloadIDs tells the names of workloads from their SPIFFE ids, which all have one form: a trust domain, and a path in
// which one thing alone may differ. The zero value has the form [WorkloadID].
type WorkloadIDs struct{ domain, before, after string }

// ParseWorkloadIDs reads a form, such as "spiffe://cluster.local/ns/alarms/sa/{part}": an id in which {part} stands for
// the workload's name, once, within one segment of the path. What surrounds it has to be met to the letter.
func ParseWorkloadIDs(form string) (WorkloadIDs, error) {
	rest, found := strings.CutPrefix(form, "spiffe://")
	domain, path, _ := strings.Cut(rest, "/")
	before, after, marked := strings.Cut(path, partMark)
	w := WorkloadIDs{domain: domain, before: "/" + before, after: after}
	switch {
	case !found || !isTrustDomain(domain):
		return WorkloadIDs{}, fmt.Errorf("mesh: workload ids %q: want spiffe:// and a trust domain in lower case", form)
	case !marked || strings.Contains(after, partMark):
		return WorkloadIDs{}, fmt.Errorf("mesh: workload ids %q: %s must stand in the path once", form, partMark)
	}
	for segment := range strings.SplitSeq(before+"x"+after, "/") {
		if !isSegment(segment) {
			return WorkloadIDs{}, fmt.Errorf("mesh: workload ids %q: %q is not a segment of a SPIFFE path", form, segment)
		}
	}
	return w, nil
}

// Domain is the trust domain.
func (w WorkloadIDs) Domain() string { return w.orDefault().domain }

// ID returns the id of the workload with a name.
func (w WorkloadIDs) ID(name string) string {
	w = w.orDefault()
	return "spiffe://" + w.domain + w.before + name + w.after
}

// Name returns the name in a workload's certificate, out of its only URI. A certificate with more than one URI, or with
// another form, names nobody (SPIFFE X.509-SVID, section 2).
func (w WorkloadIDs) Name(cert *x509.Certificate) (string, bool) {
	if len(cert.URIs) != 1 {
		return "", false
	}
	return w.name(cert.URIs[0])
}

func (w WorkloadIDs) name(id *url.URL) (string, bool) {
	w = w.orDefault()
	if id.Scheme != "spiffe" || id.Host != w.domain || id.User != nil || id.RawQuery != "" || id.ForceQuery ||
		id.Fragment != "" || id.RawPath != "" {
		return "", false
	}
	rest, starts := strings.CutPrefix(id.Path, w.before)
	name, ends := strings.CutSuffix(rest, w.after)
	if !starts || !ends || !isSegment(name) {
		return "", false
	}
	return name, true
}

func (w WorkloadIDs) orDefault() WorkloadIDs {
	if w == (WorkloadIDs{}) {
		return WorkloadIDs{domain: TrustDomain, before: "/"}
	}
	return w
}

// isSegment reports whether s may stand between two slashes of a SPIFFE path (SPIFFE-ID, section 2.2).
func isSegment(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsFunc(s, func(c rune) bool {
		return !isLower(c) && (c < 'A' || c > 'Z')
	})
}

// isTrustDomain reports whether s is one (SPIFFE-ID, section 2.1).
func isTrustDomain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !isLower(c) })
}

func isLower(c rune) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}

// PeerCertificate returns the certificate that the peer of ctx, the context of an RPC, has proven to hold. It is how to ask: the
// AuthInfo that package peer has of our connections is a type of ours, and no credentials.TLSInfo.
func PeerCertificate(ctx context.Context) (*x509.Certificate, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	info, ok := tlsOf(p.AuthInfo)
	if !ok {
		return nil, false
	}
	return provenCertificate(info)
}

// provenCertificate is the peer's own certificate, where it was verified.
func provenCertificate(info credentials.TLSInfo) (*x509.Certificate, bool) {
	if len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil, false
	}
	return info.State.VerifiedChains[0][0], true
}

// Thumbprint is the digest by which a token is bound to a certificate: [Confirmation.X5T].
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
