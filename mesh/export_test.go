package mesh

import "context"

// NewAdmit returns what the guard of a server with these policies asks about each call.
func NewAdmit(p *Policies, v Verifier, r Revocations) (func(ctx context.Context, method string) (context.Context, error), error) {
	g, err := newGuard(guardConfig{Policies: p, Verifier: v, Revocations: r})
	if err != nil {
		return nil, err
	}
	return g.admit, nil
}
