package audit

import (
	"context"

	"github.com/realguardio/realguardio/mesh"
)

// origin is where a request came from, for the record alone: nothing is decided by it.
type origin struct{ address, requestID string }

type originKey struct{}

// WithOrigin says where an HTTP request came from, and by which id other logs know it, for all that is recorded on its
// way. An RPC needs none: its request id is the mesh's, and the address that reaches a service is the gateway's.
func WithOrigin(ctx context.Context, address, requestID string) context.Context {
	return context.WithValue(ctx, originKey{}, origin{address, requestID})
}

func originOf(ctx context.Context) origin {
	if from, ok := ctx.Value(originKey{}).(origin); ok {
		return from
	}
	return origin{requestID: mesh.RequestID(ctx)}
}
