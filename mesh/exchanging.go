package mesh

import (
	"context"
	"sync"
)

// Exchange sends a token that x gets for that of the caller of the current RPC (RFC 8693): for nobody but to, and in which
// this part is the actor. It is for callees outside of the trust domain, and wherever a token shall do no more than it has
// to. A call made where nobody was let in is refused with UNAUTHENTICATED before anything is sent.
func Exchange(x *Exchanges, to Callee) Propagation { return newExchanging(x, to, fromCaller) }

// ExchangePerCall is [Exchange] of the token that [WithBearer] has put into the context of the call, as [PerCall] sends it,
// and sends nothing where there is none.
func ExchangePerCall(x *Exchanges, to Callee) Propagation { return newExchanging(x, to, fromContext) }

// exchanging sends tokens that are got for those of callers.
type exchanging struct {
	exchanges *Exchanges
	whose     func(ctx context.Context) (subject, error)
	// plain is what is asked for where the method does not say more.
	plain trade
	// methods has what is asked for by method, where that matters: a trade for each string.
	methods *sync.Map
	to      Callee
}

func newExchanging(x *Exchanges, to Callee, whose func(context.Context) (subject, error)) *exchanging {
	p := &exchanging{exchanges: x, whose: whose, plain: newTrade(to), to: to}
	if to.MethodScopes {
		p.methods = &sync.Map{}
	}
	return p
}

func fromCaller(ctx context.Context) (subject, error) {
	c := callerFrom(ctx)
	if c == nil {
		return subject{}, because("nobody_to_forward", Unauthenticated(ReasonUnauthenticated))
	}
	return subject{token: c.token, identity: &c.identity}, nil
}

func fromContext(ctx context.Context) (subject, error) {
	switch put := ctx.Value(bearerKey{}).(type) {
	case string:
		return subject{token: put}, nil
	case subject:
		return put, nil
	}
	return subject{}, nil
}

func (p *exchanging) bearer(ctx context.Context, method string) (carried, error) {
	s, err := p.whose(ctx)
	if err != nil || s.token == "" {
		return carried{}, err
	}
	w := wanted{of: s, trade: p.trade(method)}
	if w.trade.bind || s.identity != nil && s.identity.Confirmation.Bound() {
		return carried{bound: &bound{p.exchanges, w}}, nil
	}
	got, err := p.exchanges.get(ctx, w)
	if err != nil {
		return carried{}, err
	}
	return carried{token: got.token}, nil
}

// own is false where the answer is the same for every token of the caller's: their sign-in is too old, or has ended.
func (p *exchanging) own(_ context.Context, token string, err error) bool {
	switch Reason(err) {
	case ReasonStepUp, string(TokenEnded), string(ClientEnded), string(SubjectEnded):
		return false
	}
	return token != ""
}

func (p *exchanging) refused(ctx context.Context, method, token string) {
	if s, err := p.whose(ctx); err == nil && token != "" {
		p.exchanges.refused(wanted{of: s, trade: p.trade(method)}, token)
	}
}

// bound is a token that has to be bound to what the connection shows.
type bound struct {
	exchanges *Exchanges
	wanted    wanted
}

// over returns the token for a connection that has shown own.
func (b *bound) over(ctx context.Context, own *shown) (*traded, error) {
	if own == nil || own.certificate == nil {
		return nil, because("no_certificate", Unavailable("the certificate of this service"))
	}
	w := b.wanted
	w.own = own
	// The exchange is no part of the attempt that it is for.
	return b.exchanges.get(context.WithValue(ctx, attemptKey{}, (*attempt)(nil)), w)
}

// refused is told of a token of over's that a peer did not accept.
func (b *bound) refused(own *shown, token string) {
	w := b.wanted
	w.own = own
	b.exchanges.refused(w, token)
}

// trade is what a token is exchanged for that goes with a call of method.
func (p *exchanging) trade(method string) trade {
	if p.methods == nil {
		return p.plain
	}
	if t, known := p.methods.Load(method); known {
		return t.(trade)
	}
	t := p.plain
	if rule, known := linkedRule(method); !known {
		return t // it may be a name that somebody made up: there is no end of those
	} else if len(rule.AllScopes) > 0 {
		to := p.to
		to.Scopes = rule.AllScopes
		t = newTrade(to)
	}
	p.methods.Store(method, t)
	return t
}
