package audit

import (
	"context"
	"net/netip"

	"github.com/realguardio/realguardio/mesh"
)

// origin is where a request came from, for the record alone: nothing is decided by it.
type origin struct{ address, requestID string }

type originKey struct{}

// WithOrigin says where an HTTP request came from, and by which id other logs know it, for all that is recorded on its
// way. An RPC needs none: of that the mesh knows both.
func WithOrigin(ctx context.Context, address, requestID string) context.Context {
	return context.WithValue(ctx, originKey{}, origin{address, requestID})
}

func originOf(ctx context.Context) origin {
	if from, ok := ctx.Value(originKey{}).(origin); ok {
		return from
	}
	return origin{address: AddressOf(mesh.ClientAddress(ctx)), requestID: mesh.RequestID(ctx)}
}

// AddressOf is how an address is recorded; empty for none.
func AddressOf(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	return client.String()
}
