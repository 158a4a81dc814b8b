package mesh

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// traceKey is that of a place in a trace which is newer than the RPC's own.
type traceKey struct{}

// Traceparent returns which place in which distributed trace ctx stands for (W3C Trace Context, section 3.2), or "" for
// none. Every RPC has one whose caller sent it; connections made by [Dial] send it on. It names things and proves nothing.
func Traceparent(ctx context.Context) string {
	if v, ok := ctx.Value(traceKey{}).(string); ok {
		return v
	}
	if c := callFrom(ctx); c != nil {
		return c.traceparent
	}
	return ""
}

// TraceID returns the id that all logs of a trace have in common, or "" where there is none.
func TraceID(ctx context.Context) string {
	if v := Traceparent(ctx); v != "" {
		return v[3:35]
	}
	return ""
}

// WithTraceparent puts work into a trace: what a tracer has begun, or what did not begin with an RPC, such as the handling
// of an event that an earlier request caused. One that is malformed is ignored.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if traceparentOr(traceparent) == "" {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// NewTraceparent begins a trace that nobody records. Its ids are told apart from others, not kept from being guessed.
func NewTraceparent() string {
	var id [24]byte
	for i := 0; i < len(id); i += 8 {
		word := rand.Uint64() | 1 // ids of zeros are none
		for j := range 8 {
			id[i+j] = byte(word >> (8 * j))
		}
	}
	var out [55]byte
	copy(out[:], "00-")
	hex.Encode(out[3:35], id[:16])
	out[35] = '-'
	hex.Encode(out[36:52], id[16:])
	copy(out[52:], "-00")
	return string(out[:])
}

// traceparentOr returns a W3C traceparent of version 00, or "" for anything else.
func traceparentOr(v string) string {
	if len(v) != 55 || v[:3] != "00-" || v[35] != '-' || v[52] != '-' {
		return ""
	}
	trace, span, flags := v[3:35], v[36:52], v[53:]
	if !lowerHex(trace) || !lowerHex(span) || !lowerHex(flags) || strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return ""
	}
	return v
}

func lowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
