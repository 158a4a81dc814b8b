package mesh

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
)

// Propagation decides whose token goes with the calls of a connection. It is chosen where the connection is dialled,
// so that no handler can forget or change it.
type Propagation interface {
	// bearer returns the token of one call, or a status.
	bearer(ctx context.Context) (string, error)
}

// TokenSource gives the token of this process. It caches: Token is asked before every call. Where it also has a method
// Refused(token string), it is told of a token that a peer did not accept.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
}

// Forward sends on the very token with which the caller of the current RPC was let in. A call made where nobody was let
// in is refused with UNAUTHENTICATED before anything is sent. It is for parts of one trust domain.
func Forward() Propagation { return forward{} }

type forward struct{}

func (forward) bearer(ctx context.Context) (string, error) {
	c := callerFrom(ctx)
	if c == nil {
		return "", because("nobody_to_forward", Unauthenticated(ReasonUnauthenticated))
	}
	return c.token, nil
}

// AsService sends a token of this process, whoever the caller of the current RPC is.
func AsService(source TokenSource) Propagation { return asService{source} }

type asService struct{ source TokenSource }

func (p asService) bearer(ctx context.Context) (string, error) {
	token, err := p.source.Token(ctx)
	if err != nil {
		// The issuer may be there and refuse this part; which of the two it is, the source says in the log.
		unavailable := refuse(codes.Unavailable, ReasonDependencyDown, "a token of this service's own cannot be had now",
			map[string]string{"dependency": "the issuer"})
		return "", &refusal{cause: "no_service_token", status: statusOf(unavailable), err: fmt.Errorf("get a service token: %w", err)}
	}
	return token, nil
}

// PerCall sends the token that [WithBearer] has put into the context of the call, and nothing where there is none: a
// call to a public method. It is for an edge that holds its callers' tokens itself, as a session does.
func PerCall() Propagation { return perCall{} }

type perCall struct{}

type bearerKey struct{}

func (perCall) bearer(ctx context.Context) (string, error) {
	token, _ := ctx.Value(bearerKey{}).(string)
	return token, nil
}

// WithBearer gives token to the calls made with the returned context over connections dialled with [PerCall]. Other
// connections do not look at it.
func WithBearer(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, bearerKey{}, token)
}

// Anonymous sends no token: for public methods and for health checks.
func Anonymous() Propagation { return anonymous{} }

type anonymous struct{}

func (anonymous) bearer(context.Context) (string, error) { return "", nil }
