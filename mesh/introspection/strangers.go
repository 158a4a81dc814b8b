package introspection

import (
	"context"
	"crypto/sha256"
	"net"
	"net/netip"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/realguardio/realguardio/mesh"
)

const (
	// badTokens is how many tokens that its issuer does not know a peer may have asked about, and badRefill how many more with
	// each second.
	badTokens, badRefill = 100, 10
	// peersKnown is how many peers are told apart.
	peersKnown = 10_000
)

// strangers bounds how many bad tokens each peer may have the issuer asked about. Good ones cost nothing.
type strangers struct{ spent *memory[allowance] }

// allowance is what a peer has spent, at a time.
type allowance struct {
	spent float64
	at    time.Time
}

func (a allowance) now(now time.Time) float64 {
	return max(0, a.spent-now.Sub(a.at).Seconds()*badRefill)
}

func newStrangers() strangers { return strangers{newMemory[allowance](peersKnown)} }

// tired reports whether nothing more is asked for a peer now.
func (s strangers) tired(of digest, now time.Time) bool {
	a, _ := s.spent.get(of, now)
	return a.now(now) >= badTokens
}

// charge notes that a token of a peer was bad.
func (s strangers) charge(of digest, now time.Time) {
	a, _ := s.spent.get(of, now)
	spent := a.now(now) + 1
	s.spent.put(of, allowance{spent, now}, now.Add(time.Duration(spent/badRefill*float64(time.Second))), now)
}

// strangerOf is whose tokens are counted together: an address of IPv4, or the network of 64 bits that an address of IPv6 is in.
// A workload that has shown its certificate is no stranger, but brings the tokens of many.
func strangerOf(ctx context.Context) (of digest, ok bool) {
	p, there := peer.FromContext(ctx)
	if !there || mesh.PeerWorkload(ctx) != "" {
		return digest{}, false
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return digest{}, false
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Unmap().Is6() {
		if network, err := a.WithZone("").Prefix(64); err == nil {
			host = network.String()
		}
	}
	return sha256.Sum256([]byte(host)), true
}
