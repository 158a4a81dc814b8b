package mesh

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
)

// Propagation decides whose token goes with the calls of a connection. It is chosen where the connection is dialled,
// so that no handler can forget or change it.
type Propagation interface {
	// bearer returns what one call of method, "/package.Service/Method", carries, or a status.
	bearer(ctx context.Context, method string) (carried, error)
}

// carried is the token of a call.
type carried struct {
	// token is empty for none.
	token string
	// bound is got in its place once it is known which certificate the connection shows that the call goes by.
	bound *bound
}

// substitute is a [Propagation] whose tokens may be others than their callers'.
type substitute interface {
	// own reports whether it is this part's doing, and not its caller's, that a peer did not accept the token that a call
	// carried; empty where it never had any.
	own(ctx context.Context, token string, err error) bool
}

// forgetful is a [Propagation] that remembers its tokens.
type forgetful interface {
	// refused is told of a token of bearer's that a peer did not accept.
	refused(ctx context.Context, method, token string)
}

// TokenSource gives the token of this process. It caches: Token is asked before every call. Where it also has a method
// Refused(token string), it is told of a token that a peer did not accept.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
}

// carriesCallers reports whether p sends the tokens of callers, or what was got for them.
func carriesCallers(p Propagation) bool {
	switch p.(type) {
	case forward, *exchanging:
		return true
	}
	return false
}

// Forward sends on the very token with which the caller of the current RPC was let in. A call made where nobody was let
// in is refused with UNAUTHENTICATED before anything is sent. It is for parts of one trust domain: it connects to nobody but
// a workload of that, and a token that is bound to its sender's key cannot be sent on by it (see [ForwardBound]).
func Forward() Propagation { return forward{} }

// ForwardBound is [Forward], except that a token that is bound to its sender's key is exchanged for one that is bound to the
// certificate of this part, and may do the same.
func ForwardBound(x *Exchanges) Propagation {
	return forward{bound: &exchanging{exchanges: x, plain: newTrade(Callee{Bind: true}), whose: fromCaller}}
}

type forward struct{ bound *exchanging }

func (p forward) bearer(ctx context.Context, method string) (carried, error) {
	c := callerFrom(ctx)
	switch {
	case c == nil:
		return carried{}, because("nobody_to_forward", Unauthenticated(ReasonUnauthenticated))
	case !c.identity.Confirmation.Bound():
		return carried{token: c.token}, nil
	case p.bound == nil:
		return carried{}, cannotSendOn()
	}
	return p.bound.bearer(ctx, method)
}

func cannotSendOn() error {
	return because("bound_token", FailedPrecondition(ReasonBoundToken,
		"the access token is bound to its sender's key and cannot be sent on to another service"))
}

func (p forward) own(ctx context.Context, token string, err error) bool {
	c := callerFrom(ctx)
	return p.bound != nil && c != nil && c.token != token && p.bound.own(ctx, token, err)
}

// AsService sends a token of this process, whoever the caller of the current RPC is.
func AsService(source TokenSource) Propagation { return asService{source} }

type asService struct{ source TokenSource }

func (asService) own(context.Context, string, error) bool { return true }

func (p asService) refused(_ context.Context, _, token string) {
	if source, ok := p.source.(interface{ Refused(token string) }); ok {
		source.Refused(token)
	}
}

func (p asService) bearer(ctx context.Context, _ string) (carried, error) {
	token, err := p.source.Token(ctx)
	if err != nil {
		// The issuer may be there and refuse this part; which of the two it is, the source says in the log.
		unavailable := refuse(codes.Unavailable, ReasonDependencyDown, "a token of this service's own cannot be had now",
			map[string]string{"dependency": "the issuer"})
		return carried{}, &refusal{cause: "no_service_token", status: statusOf(unavailable), err: fmt.Errorf("get a service token: %w", err)}
	}
	return carried{token: token}, nil
}

// PerCall sends the token that [WithBearer] has put into the context of the call, and nothing where there is none: a
// call to a public method. It is for an edge that holds its callers' tokens itself, as a session does. A token that is bound
// to its sender's key cannot be sent on by it (see [PerCallBound]).
func PerCall() Propagation { return perCall{} }

// PerCallBound is [PerCall], except that a token that is bound to its sender's key, and that [WithBoundBearer] has put there,
// is exchanged for one that is bound to the certificate of this part.
func PerCallBound(x *Exchanges) Propagation {
	return perCall{bound: &exchanging{exchanges: x, plain: newTrade(Callee{Bind: true}), whose: fromContext}}
}

type perCall struct{ bound *exchanging }

type bearerKey struct{}

func (p perCall) bearer(ctx context.Context, method string) (carried, error) {
	switch put := ctx.Value(bearerKey{}).(type) {
	case string:
		return carried{token: put}, nil
	case subject:
		if p.bound == nil {
			return carried{}, cannotSendOn()
		}
		return p.bound.bearer(ctx, method)
	}
	return carried{}, nil
}

func (p perCall) own(ctx context.Context, token string, err error) bool {
	s, _ := fromContext(ctx)
	return p.bound != nil && s.identity != nil && p.bound.own(ctx, token, err)
}

// WithBearer gives token to the calls made with the returned context over connections dialled with [PerCall],
// [PerCallBound] or [ExchangePerCall]. Other connections do not look at it.
func WithBearer(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, bearerKey{}, token)
}

// WithBoundBearer is [WithBearer] for a token that is bound to its sender's key, which the sender has proven to hold. id is
// what it says.
func WithBoundBearer(ctx context.Context, token string, id Identity) context.Context {
	return context.WithValue(ctx, bearerKey{}, subject{token: token, identity: &id})
}

// Anonymous sends no token: for public methods and for health checks.
func Anonymous() Propagation { return anonymous{} }

type anonymous struct{}

func (anonymous) bearer(context.Context, string) (carried, error) { return carried{}, nil }
