package mesh

import (
	"context"
	"net"
	"net/netip"

	"google.golang.org/grpc/peer"
)

// clientKey has the address of the client that a call began with: one IP address, in its one usual form. As with viaKey it is
// a workload's word for the record, heard from workloads alone and told to no others.
const clientKey = "mesh-client"

// maxClient is the longest address, in bytes.
const maxClient = len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")

// WithClientAddress says where work comes from that did not begin with an RPC, such as an HTTP request at the edge. Call it
// after [WithRequestID].
func WithClientAddress(ctx context.Context, client netip.Addr) context.Context {
	if callFrom(ctx) == nil {
		ctx = WithRequestID(ctx, "")
	}
	c := *callFrom(ctx)
	if client.IsUnspecified() {
		client = netip.Addr{}
	}
	c.client = client.Unmap().WithZone("")
	return context.WithValue(ctx, callKey{}, &c)
}

// ClientAddress returns the address of the client that the work of ctx began with: that of the RPC's peer, or, where the peer is
// a workload, the one that it names. The zero Addr is none: a workload that works by itself names nobody. It is as true as the
// workloads are trusted, and for the record.
func ClientAddress(ctx context.Context) netip.Addr {
	switch c := callFrom(ctx); {
	case c == nil:
		return netip.Addr{}
	case c.client.IsValid():
		return c.client
	}
	if info := authInfoOf(ctx); info != nil && info.workload != "" {
		return readClient(single(ctx, clientKey))
	}
	return peerAddress(ctx)
}

// readClient reads what a workload says. What is not exactly an address is none.
func readClient(said string) netip.Addr {
	if said == "" || len(said) > maxClient {
		return netip.Addr{}
	}
	client, err := netip.ParseAddr(said)
	if err != nil || client.Zone() != "" || client.Is4In6() || client.String() != said {
		return netip.Addr{}
	}
	return client
}

func peerAddress(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return netip.Addr{}
	}
	if tcp, ok := p.Addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	at, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// clientOnward is what a part says of the client when it calls on; empty for nothing.
func clientOnward(ctx context.Context) string {
	if client := ClientAddress(ctx); client.IsValid() {
		return client.String()
	}
	return ""
}
