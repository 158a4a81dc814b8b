package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// outgoing puts the token, the request id and a deadline on calls.
type outgoing struct {
	propagation Propagation
	timeout     time.Duration
	timeouts    map[string]time.Duration
	target      string
	// insecure connections are told tokens as they are.
	insecure bool
	log      *slog.Logger
}

func (o *outgoing) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	ctx, a, err := o.prepare(ctx, method)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cmp.Or(o.timeouts[method], o.timeout))
		defer cancel()
	}
	if a == nil {
		return o.answered(ctx, method, a, invoke(ctx, method, req, reply, conn, opts...))
	}
	opts = append(opts[:len(opts):len(opts)], grpc.Trailer(&a.trailer))
	err = invoke(ctx, method, req, reply, conn, opts...)
	if a.learn(err) {
		err = invoke(ctx, method, req, reply, conn, opts...)
	}
	return o.answered(ctx, method, a, err)
}

func (o *outgoing) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, a, err := o.prepare(ctx, method)
	if err != nil {
		return nil, err
	}
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, o.answered(ctx, method, a, err)
	}
	return &answeredStream{ClientStream: stream, outgoing: o, method: method, attempt: a}, nil
}

// prepare gives a call its metadata, and returns its token, nil where it has none. A handler that has set one of ours is
// refused rather than overruled: it has either copied its caller's metadata or tried to speak for someone else, and both
// are faults to be found.
func (o *outgoing) prepare(ctx context.Context, method string) (context.Context, *attempt, error) {
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		for _, key := range []string{authorizationKey, requestIDKey, traceparentKey, tracestateKey, viaKey, clientKey} {
			if len(md.Get(key)) > 0 {
				return nil, nil, fmt.Errorf("call %s: %s in the outgoing metadata is not for handlers to set", o.target, key)
			}
		}
	}
	token, err := o.propagation.bearer(ctx, method)
	if err != nil {
		return nil, nil, err
	}
	c := callFrom(ctx)
	via := ""
	if c != nil {
		if via, err = c.way.onward(); err != nil {
			return nil, nil, fmt.Errorf("call %s: %w", o.target, err)
		}
	}
	var a *attempt
	pairs := make([]string, 0, 6)
	switch {
	case token == carried{}:
	case o.insecure && token.bound != nil: // such a connection shows no certificate
		return nil, nil, cannotSendOn()
	case o.insecure:
		a = &attempt{carried: token}
		pairs = append(pairs, authorizationKey, "Bearer "+token.token)
	default: // it is put on the call where the connection is known
		a = &attempt{carried: token, via: via, client: clientOnward(ctx)}
		ctx = context.WithValue(ctx, attemptKey{}, a)
	}
	if c == nil {
		pairs = append(pairs, requestIDKey, requestIDOr(""))
	} else {
		pairs = append(pairs, requestIDKey, c.requestID)
	}
	if traceparent := Traceparent(ctx); traceparent != "" {
		pairs = append(pairs, traceparentKey, traceparent)
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...), a, nil
}

// answered keeps a refusal of a token that this part has got for its calls from being taken for a refusal of its caller's.
func (o *outgoing) answered(ctx context.Context, method string, a *attempt, err error) error {
	err = bare(err)
	p, ok := o.propagation.(substitute)
	if !ok || status.Code(err) != codes.Unauthenticated {
		return err
	}
	if Reason(err) != ReasonStepUp { // which says nothing about the token: another one would be no younger
		o.refused(ctx, method, a)
	}
	if !p.own(ctx, a.lastToken(), err) {
		return err
	}
	o.log.LogAttrs(ctx, slog.LevelError, "a peer refuses this part's own token",
		slog.String("target", o.target), slog.String("method", method), slog.String("request_id", RequestID(ctx)))
	return &refusal{cause: "own_token_refused", status: statusOf(Unavailable(serviceOf(method))), err: err}
}

// refused has the token forgotten with which a call went last.
func (o *outgoing) refused(ctx context.Context, method string, a *attempt) {
	if a != nil && a.bound != nil {
		a.bound.refused(a.over.Load(), a.lastToken())
	} else if p, ok := o.propagation.(forgetful); ok {
		p.refused(ctx, method, a.lastToken())
	}
}

// bare takes a status out of what grpc wraps it in after the last retry: it is what the server said, to the letter, that
// callers compare and hand on.
func bare(err error) error {
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return s
	}
	return err
}

// answeredStream is answered for what comes after the opening. Once a message has come, the token was good: a stream
// that ends with UNAUTHENTICATED then has outlived it, as every long one does, and is opened again with the next.
type answeredStream struct {
	grpc.ClientStream
	outgoing *outgoing
	method   string
	attempt  *attempt
	accepted bool
}

func (s *answeredStream) RecvMsg(m any) error {
	err := bare(s.ClientStream.RecvMsg(m))
	if err != nil && s.attempt != nil {
		s.attempt.trailer = s.Trailer()
		if s.attempt.learn(err) {
			// What was sent cannot be sent again from here; the next stream carries the token itself.
			return &refusal{cause: "unknown_token_ref", status: statusOf(Unavailable(serviceOf(s.method))), err: err}
		}
	}
	switch {
	case err == nil:
		s.accepted = true
		return nil
	case s.outlived(err):
		return &refusal{cause: "own_token_ended", status: statusOf(Unavailable(serviceOf(s.method))), err: err}
	default:
		return s.outgoing.answered(s.Context(), s.method, s.attempt, err)
	}
}

// outlived reports whether a token that this part has got was good until now.
func (s *answeredStream) outlived(err error) bool {
	p, ok := s.outgoing.propagation.(substitute)
	return ok && s.accepted && status.Code(err) == codes.Unauthenticated && p.own(s.Context(), s.attempt.lastToken(), err)
}

// serviceOf returns "package.Service" of a method.
func serviceOf(method string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return service
}
