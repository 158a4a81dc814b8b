package mesh

import (
	"context"
	"crypto/rand"
	"net/netip"

	"google.golang.org/grpc/metadata"
)

const (
	requestIDKey     = "x-request-id"
	traceparentKey   = "traceparent"
	tracestateKey    = "tracestate"
	authorizationKey = "authorization"
)

// call is what a server remembers of one RPC, for its log line and for the calls it makes in turn.
type call struct {
	requestID string
	// named is true where the caller chose the request id, and so need not be told it.
	named       bool
	traceparent string
	// way is known when the guard has decided.
	way way
	// client is where the work came from that began without an RPC; the zero Addr where it began with one.
	client netip.Addr
	// identity is set by the guard, so that the log line, written outside of it, can name the caller.
	identity *Identity
}

type callKey struct{}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// RequestID returns the id that follows a request through all parts, or "" outside a request.
func RequestID(ctx context.Context) string {
	if c := callFrom(ctx); c != nil {
		return c.requestID
	}
	return ""
}

// WithRequestID gives work that did not begin with an RPC, such as an HTTP request at the edge, its request id. An id
// that is empty, too long or not made of letters, digits, '-', '_' and '.' is replaced by a new one.
func WithRequestID(ctx context.Context, id string) context.Context {
	c := &call{requestID: requestIDOr(id)}
	if before := callFrom(ctx); before != nil {
		c.way, c.client = before.way, before.client // which no handler can forget
	}
	return context.WithValue(ctx, callKey{}, c)
}

// beginCall starts the record of an RPC that came in. Its place in a trace is the one that ctx has already, where a
// tracer runs outside of the interceptors; else what the caller says, unless callers are strangers.
func beginCall(ctx context.Context, strangers bool) (context.Context, *call) {
	asked := single(ctx, requestIDKey)
	c := &call{requestID: requestIDOr(asked)}
	c.named = c.requestID == asked
	switch traced := Traceparent(ctx); {
	case traced != "":
		c.traceparent = traced
	case strangers:
		c.traceparent = NewTraceparent()
	default:
		c.traceparent = traceparentOr(single(ctx, traceparentKey))
	}
	return context.WithValue(ctx, callKey{}, c), c
}

// single returns the one value of a metadata key, or "" where there is none or more than one.
func single(ctx context.Context, key string) string {
	if v := metadata.ValueFromIncomingContext(ctx, key); len(v) == 1 {
		return v[0]
	}
	return ""
}

// requestIDOr returns id where it is safe to log and to send on, and a new one otherwise.
func requestIDOr(id string) string {
	if len(id) == 0 || len(id) > 64 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return rand.Text()
		}
	}
	return id
}
