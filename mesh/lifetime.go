package mesh

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lifetime lets a stream in and ends it when its caller's right ends: UNAUTHENTICATED at the token's expiry or
// revocation, and when the sign-in gets older than the rule allows; UNAVAILABLE when the server drains, so that the client
// goes on elsewhere, and where the method is sensitive and a revocation might have been missed.
type lifetime struct {
	guard    *guard
	requests *requests
	// draining ends when the server begins to shut down.
	draining context.Context
	// handlers counts the handlers of streams, which may outlive the answer to their caller.
	handlers sync.WaitGroup
	// callLimit caps calls that are not streams but came through the pass-through.
	callLimit time.Duration
}

// stream runs the handler in a goroutine of its own, so that the answer does not have to wait for a handler that is
// blocked on its peer and looks at no context. One goroutine a stream; none a message.
func (l *lifetime) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := l.guard.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	rule := l.guard.rules[info.FullMethod]
	if !rule.Streaming {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.callLimit)
		defer cancel()
		rule = nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer l.watch(ctx, cancel, rule)()

	done := make(chan error, 1)
	l.handlers.Go(func() { done <- next(srv, &checkedStream{serverStream{ss, ctx}, l.requests}) })
	select {
	case err = <-done:
	case <-ctx.Done():
		if ss.Context().Err() != nil { // the peer is gone: the handler sees it as well
			err = <-done
		} else {
			err = ended(status.FromContextError(ctx.Err()).Code())
		}
	}
	// A handler that returned because its context ended need not know why, and may have returned nil.
	var why *refusal
	if errors.As(context.Cause(ctx), &why) {
		return why
	}
	if err != nil {
		l.guard.refused(ctx, info.FullMethod, err)
	}
	return err
}

// watch cancels ctx with a [refusal] when the right of its caller ends. A call that is short because its method does not
// stream, on its way through an edge, has no rule here: it may finish on the token it was let in with, as it may where it
// runs. stop ends the watching; it costs a timer and entries in maps, no goroutine.
func (l *lifetime) watch(ctx context.Context, cancel context.CancelCauseFunc, rule *Rule) (stop func()) {
	stopDraining := context.AfterFunc(l.draining, func() {
		cancel(because("draining", refuse(codes.Unavailable, ReasonDependencyDown, "the server is shutting down", nil)))
	})
	c := callerFrom(ctx)
	if c == nil {
		return func() { stopDraining() }
	}
	stopExpiry, stopStale := func() bool { return true }, func() bool { return true }
	if rule != nil {
		until, why := c.until(rule)
		stopExpiry = time.AfterFunc(until.Sub(l.guard.cfg.Now()), func() { l.end(ctx, cancel, why) }).Stop
	}
	if rule != nil && rule.Sensitive {
		stopStale = l.whileKnown(ctx, cancel)
	}
	stopNotify := l.guard.cfg.Revocations.Notify(c.identity, func() {
		l.end(ctx, cancel, because("revoked", Ended(l.guard.cfg.Revocations, c.identity)))
	})
	return func() {
		stopDraining()
		stopExpiry()
		stopStale()
		stopNotify()
	}
}

// askStale is how often a stream of a sensitive method asks whether revocations are known still.
const askStale = time.Second

// whileKnown cancels ctx when revocations become stale: the stream's own might be among those that are not known.
func (l *lifetime) whileKnown(ctx context.Context, cancel context.CancelCauseFunc) (stop func() bool) {
	var timer *time.Timer
	made := make(chan struct{})
	timer = time.AfterFunc(askStale, func() {
		<-made
		switch {
		case ctx.Err() != nil:
		case l.guard.cfg.Revocations.Stale():
			l.end(ctx, cancel, staleRevocations())
		default:
			timer.Reset(askStale)
		}
	})
	close(made)
	return timer.Stop
}

// until is when the rule stops holding for a caller whom it holds for, and what they are told then: their token expires, or
// their sign-in gets too old.
func (c *caller) until(rule *Rule) (time.Time, *refusal) {
	if rule.MaxAge > 0 {
		if old := c.identity.AuthTime.Add(rule.MaxAge); old.Before(c.identity.Expiry) {
			return old, because("step_up", stepUp(rule))
		}
	}
	return c.identity.Expiry, because("expired", Unauthenticated(ReasonUnauthenticated))
}

func (l *lifetime) end(ctx context.Context, cancel context.CancelCauseFunc, why *refusal) {
	if ctx.Err() == nil {
		cancel(why)
	}
}

// checkedStream validates each message of the caller, and gives the errors of reading a status of ours.
type checkedStream struct {
	serverStream
	requests *requests
}

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return s.received(err)
	}
	return s.requests.check(m)
}

// SendMsg stops sending as soon as the caller's right has ended, even before the handler has noticed.
func (s *checkedStream) SendMsg(m any) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// received names what grpc could not read. Its own text would tell the caller about our parser.
func (s *checkedStream) received(err error) error {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return refuse(codes.ResourceExhausted, ReasonMessageTooLarge, "the message is too large", nil)
	case codes.Internal:
		return malformed()
	default: // io.EOF among them, which handlers compare
		return err
	}
}
