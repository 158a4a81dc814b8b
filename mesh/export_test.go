package mesh

import (
	"context"
	"iter"
	"strings"

	"google.golang.org/grpc/credentials"
)

// AuthInfo is what a server knows of a connection.
func AuthInfo(info credentials.TLSInfo) credentials.AuthInfo {
	return WorkloadIDs{}.accepted(info)
}

// NewAdmit returns what the guard of a server with these policies asks about each call.
func NewAdmit(p *Policies, v Verifier, r Revocations) (func(ctx context.Context, method string) (context.Context, error), error) {
	g, err := newGuard(guardConfig{Policies: p, Verifier: v, Revocations: r})
	if err != nil {
		return nil, err
	}
	return g.admit, nil
}

// MaxKept is how many tokens a server keeps for a connection.
const MaxKept = maxKept

// Named sends tokens over a connection, one after the other, and returns how many were named by references, and how many of
// those the server does not keep.
func Named(tokens iter.Seq[string]) (named, unknown int) {
	client := newSentTokens()
	var server keptTokens
	for token := range tokens {
		md, asked := client.authorize(token)
		if asked > 0 {
			server.keep(token)
			client.answered(token, asked, true)
			continue
		}
		named++
		if server.token(strings.TrimPrefix(md[authorizationKey], refScheme+" ")) != token {
			unknown++
		}
	}
	return named, unknown
}

// IsFailure reports whether an error that ends a call counts against the replica.
func IsFailure(err error) bool { return isFailure(err) }

// NewBearer returns how p decides on the token of a call of a method.
func NewBearer(p Propagation) func(ctx context.Context, method string) (string, error) {
	return func(ctx context.Context, method string) (string, error) {
		c, err := p.bearer(ctx, method)
		return c.token, err
	}
}
