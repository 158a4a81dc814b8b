package revocation_test

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// BenchmarkRevoked asks about a token of which nothing is revoked, beside a number of others of every kind.
func BenchmarkRevoked(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := revocation.NewSet(revocation.Config{})
			for i := range n {
				add(b, s, revocation.Entry{Kind: revocation.Kind(i % 6), Value: fmt.Sprint("v", i)})
			}
			b.ReportAllocs()
			for b.Loop() {
				if s.Revoked(alice) {
					b.Fatal("revoked")
				}
			}
		})
	}
}

// BenchmarkMillion is a set with a million live entries, nearly all of single tokens, as a storm leaves it: what it takes
// in memory, how long one more takes, and a question, about other tokens each time, so that no cache of the processor
// helps.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	in, out := make([]mesh.Identity, 1<<14), make([]mesh.Identity, 1<<14)
	before := heap()
	s := revocation.NewSet(revocation.Config{})
	began := time.Now()
	for i := range n {
		id := rand.Text()
		if i%(n/len(in)) == 0 && i/(n/len(in)) < len(in) {
			in[i/(n/len(in))] = mesh.Identity{Subject: "u", ClientID: "web", SessionID: "s", TokenID: id}
		}
		kind := revocation.Token
		if i%1000 == 0 {
			kind = revocation.Kind(i / 1000 % 6)
		}
		add(b, s, revocation.Entry{Kind: kind, Value: id, Expires: began.Add(time.Hour)})
	}
	filled := time.Since(began)
	memory := heap() - before
	for i := range out {
		out[i] = mesh.Identity{Subject: "u", ClientID: "web", SessionID: "s", TokenID: rand.Text()}
	}
	ask := func(ids []mesh.Identity) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportMetric(float64(memory)/n, "bytes/entry")
			b.ReportMetric(float64(filled.Nanoseconds())/n, "ns/entry")
			for i := range b.N {
				s.Revoked(ids[i%len(ids)])
			}
		}
	}
	b.Run("not revoked", ask(out))
	b.Run("revoked", ask(in))
}

// heap is what is in use, after what is not has gone.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
