package mesh_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// What deciding a call may cost whose token is remembered.
const (
	admitTime   = 1500 * time.Nanosecond
	admitAllocs = 4
)

// BenchmarkAdmit is what the guard adds to a call whose token is remembered, with revocations known. It fails when that is more
// than it may be.
func BenchmarkAdmit(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	policies, err := mesh.NewPolicies(echoFile().Services().Get(0))
	if err != nil {
		b.Fatal(err)
	}
	set := revocation.NewSet(revocation.Config{})
	for _, kind := range []revocation.Kind{revocation.Token, revocation.Session, revocation.Subject} {
		if err := set.Add(revocation.Entry{Kind: kind, Value: "other"}); err != nil {
			b.Fatal(err)
		}
	}
	admit, err := mesh.NewAdmit(policies, iss.Verifier(b, "echo"), set)
	if err != nil {
		b.Fatal(err)
	}
	certificate := iss.CA.Client(b, "gateway")
	connection := peer.NewContext(b.Context(), &peer.Peer{AuthInfo: mesh.AuthInfo(credentials.TLSInfo{State: tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{certificate.Certificates[0].Leaf},
	}})})
	claims := meshtest.Claims{SessionID: "s1", GrantID: "g1", Roles: []string{"A"}, Scopes: []string{"a.read", "a.write", "openid"}}
	bearer := iss.Token(b, claims)
	claims.Extra = map[string]any{"cnf": map[string]any{"x5t#S256": digestOf(certificate)}}
	for _, bench := range []struct {
		name, token string
		more        []string
	}{
		{name: "a bearer token", token: bearer},
		{name: "a token bound to a certificate", token: iss.Token(b, claims)},
		{name: "a call that came through others", token: bearer, more: []string{"mesh-via", "securitysystem gateway"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ctx := metadata.NewIncomingContext(connection, metadata.Pairs(append(bench.more,
				"authorization", "Bearer "+bench.token, "x-request-id", "req-1", "user-agent", "grpc-go", ":authority", "customer:9101", "content-type", "application/grpc")...))
			once := func() {
				if _, err := admit(ctx, "/test.mesh.v1.Echo/Scoped"); err != nil {
					b.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(100, once); n > admitAllocs {
				b.Errorf("it allocates %v times, and may %d times", n, admitAllocs)
			}
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
			if took := b.Elapsed() / time.Duration(b.N); b.N > 1000 && took > admitTime {
				b.Errorf("it takes %v, and may take %v", took, admitTime)
			}
		})
	}
}
