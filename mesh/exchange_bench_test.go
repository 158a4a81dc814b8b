package mesh_test

import (
	"testing"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// BenchmarkExchangeHit is what Exchange adds to a call whose token is kept, where Forward adds nothing.
func BenchmarkExchangeHit(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: iss.Exchanger(b, "customer")})
	if err != nil {
		b.Fatal(err)
	}
	to := mesh.Callee{Audience: echoAudience, Scopes: []string{"a.read"}}
	bearer := mesh.NewBearer(mesh.ExchangePerCall(x, to))
	ctx := mesh.WithBearer(b.Context(), iss.Token(b, meshtest.Claims{SessionID: "s1", Scopes: []string{"a.read", "a.write"}}))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := bearer(ctx, "/test.mesh.v1.Echo/Scoped"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
