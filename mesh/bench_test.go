package mesh_test

import (
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// BenchmarkAdmit is what the guard adds to a call whose token is remembered, with revocations known.
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
	token := iss.Token(b, meshtest.Claims{SessionID: "s1", GrantID: "g1", Roles: []string{"A"}, Scopes: []string{"a.read", "a.write", "openid"}})
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs(
		"authorization", "Bearer "+token, "x-request-id", "req-1", "user-agent", "grpc-go", ":authority", "customer:9101", "content-type", "application/grpc"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := admit(ctx, "/test.mesh.v1.Echo/Scoped"); err != nil {
			b.Fatal(err)
		}
	}
}
