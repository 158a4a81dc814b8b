package mesh

import (
	"context"

	"google.golang.org/grpc/credentials"
)

// AuthInfo is what a server knows of a connection.
func AuthInfo(info credentials.TLSInfo) credentials.AuthInfo {
	return &connection{TLSInfo: info, certificate: certificateOf(info), kept: &keptTokens{}}
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
	r := newRing[bool](limit)
	for _, s := range puts {
		r.put(s, true)
	}
	return r.of
}
