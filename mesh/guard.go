package mesh

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// guardConfig is what a [guard] decides by. Its fields are as in [ServerConfig].
type guardConfig struct {
	// Policies has the rules. A method that is not in it does not exist.
	Policies    *Policies
	Verifier    Verifier
	Revocations Revocations
	Credential  func(ctx context.Context, authorization string) (token string, err error)
	DPoP        *DPoP
	Decided     func(ctx context.Context, d Decision)
	Denied      func(d Denial)
	Now         func() time.Time
}

// guard decides who may call what. Each [Server] has one.
type guard struct {
	cfg   guardConfig
	rules map[string]*Rule
	// edge is true where a credential need not be an access token.
	edge bool
}

// newGuard makes a guard, or says what it lacks.
func newGuard(cfg guardConfig) (*guard, error) {
	switch {
	case cfg.Policies == nil:
		return nil, errors.New("mesh: guard: Policies is missing")
	case cfg.Verifier == nil:
		return nil, errors.New("mesh: guard: Verifier is missing")
	case cfg.Revocations == nil:
		return nil, errors.New("mesh: guard: Revocations is missing")
	}
	edge := cfg.Credential != nil || cfg.DPoP != nil
	if cfg.Credential == nil {
		cfg.Credential = bearerOnly
	}
	if cfg.Decided == nil {
		cfg.Decided = func(context.Context, Decision) {}
	}
	if cfg.Denied == nil {
		cfg.Denied = func(Denial) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &guard{cfg: cfg, rules: cfg.Policies.rules, edge: edge}, nil
}

func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	resp, err := next(ctx, req)
	if err != nil {
		g.refused(ctx, info.FullMethod, err)
	}
	return resp, err
}

// known keeps methods that do not exist from interceptors that count by method: with a pass-through their names are the
// caller's to choose.
func (g *guard) known(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if g.rules[info.FullMethod] == nil {
		g.cfg.Decided(ss.Context(), Decision{Method: info.FullMethod, Cause: UnknownMethod})
		return unimplemented()
	}
	return next(srv, ss)
}

// admit decides whether method, in its canonical form "/package.Service/Method", may run for the caller whose metadata
// and connection ctx holds, and returns the context it runs with. It is the only place where a caller is let in, shared
// by unary and stream. The error is a status whose text is fit for the caller.
func (g *guard) admit(ctx context.Context, method string) (context.Context, error) {
	c, err := g.decide(ctx, method)
	if err != nil {
		d := Decision{Method: method, Cause: "other"}
		var r *refusal
		if errors.As(err, &r) {
			d.Cause = r.cause
		}
		g.cfg.Decided(ctx, d)
		if c != nil {
			g.deny(ctx, c, d, err)
		}
		return nil, err
	}
	if c == nil {
		g.cfg.Decided(ctx, Decision{Method: method})
		return ctx, nil
	}
	g.cfg.Decided(ctx, Decision{Method: method, Caller: &c.identity})
	if call := callFrom(ctx); call != nil {
		call.identity = &c.identity
	}
	return withCaller(ctx, c), nil
}

// deny tells who was refused, to the log line of the call and to whoever keeps a record.
func (g *guard) deny(ctx context.Context, c *caller, d Decision, err error) {
	if call := callFrom(ctx); call != nil {
		call.identity = &c.identity
	}
	g.cfg.Denied(Denial{
		Time: g.cfg.Now(), Method: d.Method, Reason: Reason(err), Cause: d.Cause, Caller: &c.identity, Via: Via(ctx), Client: ClientAddress(ctx), RequestID: RequestID(ctx),
	})
}

// refused tells that a handler has denied its caller something, which the rule of the method could not know.
func (g *guard) refused(ctx context.Context, method string, err error) {
	s, ok := err.(interface{ GRPCStatus() *status.Status }) //nolint:errorlint // only what is a status is an answer
	if c := callerFrom(ctx); c != nil && ok && s.GRPCStatus().Code() == codes.PermissionDenied {
		g.deny(ctx, c, Decision{Method: method, Cause: causeObject}, err)
	}
}

// causeObject is the cause of refusing somebody whom the rule admits.
const causeObject = "object"

// decide returns the caller, or nil for a public method. With an error it returns whom the rule was not good for, and nil
// where nobody is known.
func (g *guard) decide(ctx context.Context, method string) (*caller, error) {
	rule := g.rules[method]
	if rule == nil {
		return nil, because(UnknownMethod, unimplemented())
	}
	way, err := wayOf(ctx)
	if err != nil {
		return nil, err
	}
	if call := callFrom(ctx); call != nil {
		call.way = way
	}
	if rule.Public {
		return nil, nil
	}
	s, err := g.credential(ctx)
	if err != nil {
		return nil, err
	}
	id, err := g.cfg.Verifier.Verify(ctx, s.token)
	if err != nil {
		return nil, unverified(err)
	}
	c := &caller{identity: id, token: s.token}
	if id.Expiry.IsZero() {
		return nil, because("no_expiry", Unauthenticated(ReasonUnauthenticated))
	}
	if g.cfg.Revocations.Revoked(id) {
		return nil, because("revoked", Ended(g.cfg.Revocations, id))
	}
	if rule.Sensitive && g.cfg.Revocations.Stale() {
		return nil, staleRevocations()
	}
	if err := g.prove(ctx, method, s, id.Confirmation); err != nil {
		return nil, err
	}
	if err := g.hold(way.peer, &c.identity, rule); err != nil {
		return c, err
	}
	if !s.referred {
		g.keep(ctx, s.token)
	}
	return c, nil
}

// hold checks what a rule demands of a caller who is known and calls by way of the workload peer.
func (g *guard) hold(peer string, id *Identity, rule *Rule) error {
	c := claimant{id: id, now: g.cfg.Now}
	if id.Kind == KindWorkload {
		c.workload = peer
	}
	for i := range demands {
		if r := demands[i].unmet(rule, c); r != nil {
			return r
		}
	}
	return nil
}
