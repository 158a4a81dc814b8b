package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// boundary is the outermost of our interceptors: it gives each call its request id, lets out only errors that are ours,
// and writes the one log line of the call.
type boundary struct {
	log *slog.Logger
	now func() time.Time
	// callLimit is the longest that a call which is not a stream may take, whatever deadline its caller asks for.
	callLimit time.Duration
	// strangers is true where the traces of callers do not go on.
	strangers bool
}

func (b *boundary) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	start := b.now()
	ctx, c := beginCall(ctx, b.strangers)
	if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(start) > b.callLimit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.callLimit)
		defer cancel()
	}
	resp, err := next(ctx, req)
	if err != nil {
		// In the trailer: a client does not try again what it has got a header for.
		_ = grpc.SetTrailer(ctx, metadata.MD{requestIDKey: {c.requestID}})
		public := outward(ctx, err)
		b.write(ctx, c, info.FullMethod, start, err, public)
		return nil, public
	}
	if !c.named {
		// It fails only where the handler has sent the header itself.
		_ = grpc.SetHeader(ctx, metadata.MD{requestIDKey: {c.requestID}})
	}
	b.write(ctx, c, info.FullMethod, start, nil, nil)
	return resp, nil
}

func (b *boundary) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	start := b.now()
	ctx, c := beginCall(ss.Context(), b.strangers)
	var inner grpc.ServerStream = &serverStream{ss, ctx}
	if !c.named {
		inner = &namingStream{serverStream: serverStream{ss, ctx}, id: c.requestID}
	}
	err := next(srv, inner)
	var public error
	if err != nil {
		ss.SetTrailer(metadata.MD{requestIDKey: {c.requestID}})
		public = outward(ctx, err)
	}
	b.write(ctx, c, info.FullMethod, start, err, public)
	return public
}

// serverStream is a stream with a context of our own.
type serverStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *serverStream) Context() context.Context { return s.ctx }

// namingStream sends the request id with the first message.
type namingStream struct {
	serverStream
	id    string
	first sync.Once
}

func (s *namingStream) SendMsg(m any) error {
	s.first.Do(func() { _ = s.SetHeader(metadata.MD{requestIDKey: {s.id}}) })
	return s.ServerStream.SendMsg(m)
}

// write logs one finished call. err is what happened, public what the caller is told.
func (b *boundary) write(ctx context.Context, c *call, method string, start time.Time, err, public error) {
	code := status.Code(public)
	level := levelOf(method, code)
	if r, ok := errors.AsType[*refusal](err); ok && r.cause == causeOverloaded {
		level = slog.LevelDebug // told once for many, by load
	}
	if !b.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs,
		slog.String("method", method),
		slog.String("code", code.String()),
		slog.Duration("took", b.now().Sub(start)),
		slog.String("request_id", c.requestID),
	)
	if id := TraceID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	if c.identity != nil {
		attrs = append(attrs, slog.Any("caller", *c.identity))
	}
	if err != nil {
		attrs = append(attrs, failure(err)...)
	}
	b.log.LogAttrs(ctx, level, "rpc", attrs...)
}

// levelOf keeps probes out of the log, and makes what an operator must look at an error.
func levelOf(method string, code codes.Code) slog.Level {
	switch {
	case code == codes.Internal:
		return slog.LevelError
	case code == codes.Unavailable:
		return slog.LevelWarn
	case strings.HasPrefix(method, "/grpc.health.v1.Health/"):
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// failure says what happened in full, for the log only.
func failure(err error) []slog.Attr {
	var r *refusal
	if errors.As(err, &r) {
		attrs := []slog.Attr{slog.String("cause", r.cause)}
		if r.err != nil {
			attrs = append(attrs, slog.String("error", r.err.Error()))
		}
		return attrs
	}
	attrs := []slog.Attr{slog.String("error", err.Error())}
	var p *panicked
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", p.stack))
	}
	return attrs
}

// outward returns what of err may leave the process. An error leaves as it is only where it *is* a status made by this
// package, here or in the part that was called; one that merely wraps such a status is private, because grpc would send
// the whole of its text.
func outward(ctx context.Context, err error) error {
	s, ok := err.(interface{ GRPCStatus() *status.Status }) //nolint:errorlint // see above: not what it wraps
	if !ok {
		return outwardPlain(ctx, err)
	}
	st := s.GRPCStatus()
	if passes(st.Code()) && infoOf(err) != nil {
		return st.Err()
	}
	// Codes that grpc gives by itself keep their code but not their text, which names addresses.
	switch st.Code() {
	case codes.Unavailable:
		return Unavailable("a dependency")
	case codes.DeadlineExceeded, codes.Canceled:
		return ended(st.Code())
	case codes.Unimplemented:
		return unimplemented()
	default:
		return internal()
	}
}

// outwardPlain handles what is not a status: where the call itself has ended, that is the reason; else it is a fault.
func outwardPlain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil:
		return internal()
	case errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ended(codes.DeadlineExceeded)
	case errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled):
		return ended(codes.Canceled)
	default:
		return internal()
	}
}

// passes reports whether a code means the same to our caller as to us. Internal errors of another part do not.
func passes(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.Aborted, codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded,
		codes.Canceled, codes.Unimplemented:
		return true
	default:
		return false
	}
}

func internal() error {
	return refuse(codes.Internal, ReasonInternal, "internal error", nil)
}

func unimplemented() error {
	return refuse(codes.Unimplemented, ReasonUnimplemented, "there is no such method", nil)
}

func ended(code codes.Code) error {
	if code == codes.Canceled {
		return refuse(code, ReasonCancelled, "the call was cancelled", nil)
	}
	return refuse(code, ReasonDeadlineExceeded, "the call took too long", nil)
}

// panicked is a panic of a handler, as an error.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// recovered is the handler of go-grpc-middleware's recovery.
func recovered(_ context.Context, value any) error {
	return &panicked{value: value, stack: string(debug.Stack())}
}
