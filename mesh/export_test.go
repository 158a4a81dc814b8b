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

// LastKept returns which of some strings a set of the last limit ones holds after all were put in, in their order.
func LastKept(limit int, puts ...string) map[string]bool {
	r := newRecent[bool](limit)
	for _, s := range puts {
		r.put(s, true)
	}
	kept := map[string]bool{}
	for s := range r.of {
		kept[s] = true
	}
	return kept
}

// MaxKept is how many tokens a server keeps for a connection.
const MaxKept = maxKept

// Named sends tokens over a connection, one after the other, and returns how many were named by references, and how many of
// those the server does not keep.
func Named(tokens iter.Seq[string]) (named, unknown int) {
	client := sentTokens{tokens: newRecent[*sentToken](maxNamed)}
	var server keptTokens
	for token := range tokens {
		md, asked := client.authorize(token)
		if asked != nil {
			server.keep(token)
			client.answered(asked, true)
			continue
		}
		named++
		if _, known := server.token(strings.TrimPrefix(md[authorizationKey], refScheme+" ")); !known {
			unknown++
		}
	}
	return named, unknown
}

// IsFailure reports whether an error that ends a call counts against the replica.
func IsFailure(err error) bool { return isFailure(err) }

// NewBearer returns how p decides on the token of a call of a method.
func NewBearer(p Propagation) func(ctx context.Context, method string) (string, error) {
	return p.bearer
}
