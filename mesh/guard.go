package mesh

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// maxToken is the longest token looked at, in bytes.
const maxToken = 8 << 10

// ErrCannotVerify is what a [Verifier] wraps when it can neither accept nor refuse a token now, because the issuer's
// keys are not there. The call is refused with UNAVAILABLE.
var ErrCannotVerify = errors.New("mesh: tokens cannot be verified now")

// Verifier tells who a token speaks for. It is safe for concurrent use, and refuses every token that it does not know
// to be a live access token of a trusted issuer for this audience. The identity it returns has an Expiry and is not
// changed by anyone.
//
// An error may have a method Cause() string with a short fixed word for metrics, such as "expired". Neither it nor the
// error's text is sent to the caller.
type Verifier interface {
	Verify(ctx context.Context, token string) (Identity, error)
}

// Revocations tells which tokens ended before their time. It is safe for concurrent use and does no I/O.
type Revocations interface {
	// Revoked reports whether the token behind id has ended.
	Revoked(id Identity) bool
	// Stale reports whether a revocation might have been made that is not known here yet.
	Stale() bool
	// Notify calls f once, in a goroutine of its own, as soon as id is revoked; at once where it is already. After stop
	// has returned, f is not started any more.
	Notify(id Identity, f func()) (stop func())
}

// Ending is what ended a token before its time: the reason with which it is refused.
type Ending string

// What can have ended. Who holds a token whose signature is good may know which of them, and nobody else.
const (
	// TokenEnded is the token itself, or the session, grant, key or token that it came of.
	TokenEnded Ending = "TOKEN_ENDED"
	// ClientEnded is the client that it was issued to.
	ClientEnded Ending = "CLIENT_ENDED"
	// SubjectEnded is everything its subject had when it was issued.
	SubjectEnded Ending = "SUBJECT_ENDED"
)

// Endings are [Revocations] that know what has ended.
type Endings interface {
	// Ending says what ended the token behind id; empty if nothing did.
	Ending(id Identity) Ending
}

// Ended refuses the token behind id, which has been verified and is revoked, and says what ended if r knows.
func Ended(r Revocations, id Identity) error {
	if e, ok := r.(Endings); ok {
		if ending := e.Ending(id); ending != "" {
			return Unauthenticated(string(ending))
		}
	}
	return Unauthenticated(ReasonUnauthenticated)
}

// NoRevocations knows of no revocation and is never stale: tokens live until they expire. It is for issuers that have
// no revocation feed, with tokens of a few minutes. It must not stand where sessions can be ended.
func NoRevocations() Revocations { return noRevocations{} }

type noRevocations struct{}

func (noRevocations) Revoked(Identity) bool                 { return false }
func (noRevocations) Stale() bool                           { return false }
func (noRevocations) Notify(Identity, func()) (stop func()) { return func() {} }

// Decision is what a guard has decided about a call.
type Decision struct {
	// Method is "/package.Service/Method". Where Cause is [UnknownMethod], its text is the caller's own.
	Method string
	// Cause is why the call was refused: one of a few fixed words, which the caller is not told. Empty: it was admitted.
	Cause string
	// Caller is who was admitted, not to be changed; nil where nobody had to be known, and for a refusal.
	Caller *Identity
}

// Denial is a call that was refused to somebody who is known: the token is good, and the rule of the method does not hold for
// its caller, or asks for another sign-in. Strangers are denied nothing: they are not let in.
type Denial struct {
	Time   time.Time
	Method string
	// Reason is what the caller was told, such as [ReasonRoleMissing], Cause the fixed word of [Decision].
	Reason, Cause string
	// Caller is whose call it was, not to be changed.
	Caller *Identity
	// Peer is the workload that the call came from, by its certificate; empty where the peer is none.
	Peer string
	// RequestID is by which the logs of all parts know the call.
	RequestID string
}

// UnknownMethod is the cause of refusing a call to a method that does not exist.
const UnknownMethod = "unknown_method"

// guardConfig is what a [guard] decides by. Its fields are as in [ServerConfig].
type guardConfig struct {
	// Policies has the rules. A method that is not in it does not exist.
	Policies    *Policies
	Verifier    Verifier
	Revocations Revocations
	WorkloadIDs WorkloadIDs
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
	return next(ctx, req)
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
	if call := callFrom(ctx); call != nil {
		call.ids = &g.cfg.WorkloadIDs
	}
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
	g.keep(ctx, c.token)
	return withCaller(ctx, c), nil
}

// deny tells who was refused, to the log line of the call and to whoever keeps a record.
func (g *guard) deny(ctx context.Context, c *caller, d Decision, err error) {
	if call := callFrom(ctx); call != nil {
		call.identity = &c.identity
	}
	g.cfg.Denied(Denial{
		Time: g.cfg.Now(), Method: d.Method, Reason: Reason(err), Cause: d.Cause, Caller: &c.identity, Peer: PeerWorkload(ctx), RequestID: RequestID(ctx),
	})
}

// decide returns the caller, or nil for a public method. With an error it returns whom the rule was not good for, and nil
// where nobody is known.
func (g *guard) decide(ctx context.Context, method string) (*caller, error) {
	rule := g.rules[method]
	if rule == nil {
		return nil, because(UnknownMethod, unimplemented())
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
	return c, g.hold(ctx, &c.identity, rule)
}

func staleRevocations() *refusal {
	return because("stale_revocations", Unavailable("the revocation feed"))
}

// hold checks what a rule demands of a caller who is known.
func (g *guard) hold(ctx context.Context, id *Identity, rule *Rule) error {
	c := claimant{id: id, now: g.cfg.Now}
	if id.Kind == KindWorkload {
		c.workload, _ = peerWorkload(ctx, g.cfg.WorkloadIDs)
	}
	for i := range demands {
		if r := demands[i].unmet(rule, c); r != nil {
			return r
		}
	}
	return nil
}

// credential reads the one credential of a call. It refuses two rather than ranking them: a caller able to add metadata
// must not be able to choose which of them counts.
func (g *guard) credential(ctx context.Context) (sent, error) {
	values := metadata.ValueFromIncomingContext(ctx, authorizationKey)
	switch {
	case len(values) == 0:
		return sent{}, because("no_credential", Unauthenticated(ReasonUnauthenticated))
	case len(values) > 1 || strings.Contains(values[0], ","):
		return sent{}, because("two_credentials", Unauthenticated(ReasonUnauthenticated))
	case len(values[0]) > maxToken:
		return sent{}, because("oversized", Unauthenticated(ReasonUnauthenticated))
	}
	if token, err := referred(ctx, values[0]); token != "" || err != nil {
		return sent{token: token}, err
	}
	s, value := sent{}, values[0]
	if g.cfg.DPoP != nil {
		if s.presented, s.proven = asDPoP(value); s.proven {
			value = "Bearer " + s.presented
		}
	}
	var err error
	if s.token, err = g.cfg.Credential(ctx, value); err != nil {
		return sent{}, unverified(err)
	}
	return s, nil
}

var errNotBearer = causedError{cause: "not_bearer", text: "the credential is not a bearer token"}

// bearerOnly takes the token out of "Bearer <token>" (RFC 6750, section 2.1). The scheme's case does not matter
// (RFC 9110, section 11.1); everything else does.
func bearerOnly(_ context.Context, authorization string) (string, error) {
	scheme, token, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "bearer") || token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", errNotBearer
	}
	return token, nil
}

// unverified turns what a verifier or an edge's Credential says into a refusal.
func unverified(err error) error {
	if errors.Is(err, ErrCannotVerify) {
		return &refusal{cause: "cannot_verify", err: err, status: statusOf(Unavailable("the issuer"))}
	}
	cause := "invalid_token"
	var caused interface{ Cause() string }
	if errors.As(err, &caused) {
		cause = caused.Cause()
	}
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok && infoOf(err) != nil { //nolint:errorlint // only what is a status
		return &refusal{cause: cause, err: err, status: s.GRPCStatus()}
	}
	return &refusal{cause: cause, err: err, status: statusOf(Unauthenticated(ReasonUnauthenticated))}
}

// refusal is a status for the caller together with the true reason for the log.
type refusal struct {
	status *status.Status
	// cause is one of a few fixed words.
	cause string
	// err says more; nil where cause says all.
	err error
}

func because(cause string, err error) *refusal { return &refusal{cause: cause, status: statusOf(err)} }

func (r *refusal) Error() string              { return r.status.Message() }
func (r *refusal) GRPCStatus() *status.Status { return r.status }

func statusOf(err error) *status.Status {
	s, _ := status.FromError(err)
	return s
}

type causedError struct{ cause, text string }

func (e causedError) Error() string { return e.text }
func (e causedError) Cause() string { return e.cause }
