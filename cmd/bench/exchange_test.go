package bench

import (
	"context"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// BenchmarkExchange compares calls whose tokens are exchanged for ones that are for the callee alone, all of them
// exchanged before, with calls that send the callers' own.
func BenchmarkExchange(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	tokens, addr := tokensOf(b, iss, 1_000), guarded(b, iss)
	exchanges, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: exchanger{b, iss}})
	if err != nil {
		b.Fatal(err)
	}
	exchanging := mesh.ExchangePerCall(exchanges, mesh.Callee{Audience: meshtest.Audience})
	compareRates(b, "calls/s", getMe(b, meshConn(b, iss, addr, exchanging), *concurrency, tokens, mesh.WithBearer),
		getMe(b, meshConn(b, iss, addr, mesh.PerCall()), *concurrency, tokens, mesh.WithBearer), "at least 0.90 at the lower end", atLeast(0.90))
}

// exchanger issues another token for each that it is given.
type exchanger struct {
	b   *testing.B
	iss *meshtest.Issuer
}

func (e exchanger) Exchange(context.Context, mesh.ExchangeRequest) (mesh.Exchanged, error) {
	return mesh.Exchanged{Token: tokensOf(e.b, e.iss, 1)[0], Expiry: time.Now().Add(5 * time.Minute)}, nil
}
