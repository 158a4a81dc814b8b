package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// exchangeLimit bounds one exchange, whoever waits for it.
	exchangeLimit = 10 * time.Second
	// refusedFor is how long an exchange that failed is not tried again, so that calls do not become exchanges.
	refusedFor = time.Second
	// minTraded is how long a token is held even when peers refuse it, so that their trouble does not become the issuer's.
	minTraded = 5 * time.Second
)

// ErrSubjectToken is what an [Exchanger] wraps when the token that it was given is not good, or not any more: its holder is
// told that they are not authenticated.
var ErrSubjectToken = errors.New("mesh: the token is not good for an exchange")

// ErrNoScope is what an [Exchanger] wraps when the token has none of the scopes that were asked for, and the issuer makes
// none without any.
var ErrNoScope = errors.New("mesh: the token has none of the scopes")

// Exchanger gets tokens for others, as this process (RFC 8693). It is safe for concurrent use. Neither its errors nor its
// logs hold a token. An error that wraps neither [ErrSubjectToken] nor [ErrNoScope] is this part's or its issuer's fault.
type Exchanger interface {
	Exchange(ctx context.Context, req ExchangeRequest) (Exchanged, error)
}

// ExchangeRequest is what a token is asked for.
type ExchangeRequest struct {
	// SubjectToken is the token that is given. It is a secret.
	SubjectToken string
	// Audience is whom the new token is for. Empty: whom the old one is for.
	Audience string
	// Scopes are what the new token may carry: such that the old one has, or none such. Empty: what the old one does.
	Scopes []string
	// Certificate is what the new token has to be bound to (RFC 8705, section 3): that of the connection which it is for, with
	// its key, so that the issuer can be shown it. nil: the token is not bound.
	Certificate *tls.Certificate
}

// String leaves the token out.
func (r ExchangeRequest) String() string {
	return fmt.Sprintf("exchange for %q with scopes %q", r.Audience, strings.Join(r.Scopes, " "))
}

// GoString leaves the token out as well.
func (r ExchangeRequest) GoString() string { return r.String() }

// Exchanged is a token that was got for another.
type Exchanged struct {
	Token  string
	Expiry time.Time
}

// Callee is who is called with exchanged tokens, and what those may be used for.
type Callee struct {
	// Audience is the callee's, such as "urn:realguardio:customer". Empty: that of the caller's token.
	Audience string
	// Scopes are carried on as far as the caller's token has them. Where it has none of them, a token that carries none is
	// asked for, and an issuer that makes no such token has the caller refused with PERMISSION_DENIED. Empty: all that the
	// caller has.
	Scopes []string
	// MethodScopes carries on only what the rule of the method demands that is called: the least, at the price of a token for
	// each set of scopes that is demanded. It is for callees that look at no other scope of their callers. Where the rule
	// demands none, or is not linked into this program, Scopes decides.
	MethodScopes bool
	// Bind has tokens bound to the certificate that the connection shows which they go by, so that nobody else can use them.
	// In exchange for a token that is bound to a key they always are.
	Bind bool
}

// ExchangesConfig says what [Exchanges] work with.
type ExchangesConfig struct {
	// Exchanger gets the tokens. Required.
	Exchanger Exchanger
	// Revocations end what is remembered. Default: [NoRevocations].
	Revocations Revocations
	// Size is how many tokens are remembered. Default: 10000, about 25 MB when full.
	Size int
	// Logger is told of exchanges that fail for another reason than their caller. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Exchanges exchange the tokens of callers for those that calls are made with, and remember them. They are safe for
// concurrent use, and are meant to be shared by the connections of a process.
//
// What is remembered is kept by the whole token it was got for, and used until either of the two expires. It is renewed
// ahead of that where it is used. Of calls that need the same token one asks for it.
type Exchanges struct {
	cfg    ExchangesConfig
	traded *tradedTokens
	// flight has the exchanges under way: one for a key, however many wait.
	flight        singleflight.Group
	begun, failed atomic.Uint64
}

// ExchangeStats counts what [Exchanges] did since they were made.
type ExchangeStats struct {
	// Hits are calls for which the token was there.
	Hits uint64
	// Misses are exchanges that were begun, those included that renewed a token ahead.
	Misses uint64
	// Failures are those that gave no token.
	Failures uint64
}

// NewExchanges makes exchanges.
func NewExchanges(cfg ExchangesConfig) (*Exchanges, error) {
	if cfg.Exchanger == nil {
		return nil, errors.New("mesh: exchanges: Exchanger is missing")
	}
	if cfg.Revocations == nil {
		cfg.Revocations = NoRevocations()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	setDefault(&cfg.Size, 10_000)
	return &Exchanges{cfg: cfg, traded: newTradedTokens(cfg.Size)}, nil
}

// Stats returns what was done so far.
func (x *Exchanges) Stats() ExchangeStats {
	return ExchangeStats{Hits: x.traded.hits(), Misses: x.begun.Load(), Failures: x.failed.Load()}
}

// Token returns the token with which to.Audience is called on behalf of whom token speaks for. It is for an edge that holds
// its callers' tokens itself; services dial with [Exchange]. It binds nothing: which certificate a token would have to be
// bound to, only a connection knows. The error is a status.
func (x *Exchanges) Token(ctx context.Context, token string, to Callee) (string, error) {
	if to.Bind {
		return "", cannotSendOn()
	}
	got, err := x.get(ctx, wanted{of: subject{token: token}, trade: newTrade(to)})
	if err != nil {
		return "", err
	}
	return got.token, nil
}

// subject is whose token is exchanged.
type subject struct {
	token string
	// identity is what the token says; nil where that is not known here.
	identity *Identity
}

// wanted is a token that is to be got.
type wanted struct {
	of    subject
	trade trade
	// own is what the token has to be bound to; nil for nothing.
	own *shown
}

func (w wanted) key() tradeKey {
	k := tradeKey{token: w.of.token, trade: w.trade.id}
	if w.own != nil {
		k.certificate = w.own.digest
	}
	return k
}

// get returns the token that is wanted.
func (x *Exchanges) get(ctx context.Context, w wanted) (*traded, error) {
	key, now := w.key(), x.cfg.Now().UnixNano()
	if id := w.of.identity; id != nil && x.cfg.Revocations.Revoked(*id) {
		x.traded.drop(key)
		return nil, because("revoked", Ended(x.cfg.Revocations, *id))
	}
	if held := x.traded.get(key, now); held != nil {
		if held.refused != nil {
			return nil, held.refused
		}
		if held.due(now) {
			x.fetch(ctx, w, held) // and this call goes on with what there is
		}
		x.traded.hit(key.token)
		return held, nil
	}
	select {
	case r := <-x.fetch(ctx, w, nil):
		got := r.Val.(*traded)
		if got.refused != nil {
			return nil, got.refused
		}
		return got, nil
	case <-ctx.Done():
		return nil, ended(status.FromContextError(ctx.Err()).Code())
	}
}

// fetch begins an exchange, or joins the one that is under way. It does not end with the call that began it, because others
// may wait for it; exchangeLimit ends it.
func (x *Exchanges) fetch(ctx context.Context, w wanted, before *traded) <-chan singleflight.Result {
	key := w.key()
	// Nothing that the handler has put into its call's metadata goes to the issuer.
	ctx = metadata.NewOutgoingContext(context.WithoutCancel(ctx), metadata.MD{})
	return x.flight.DoChan(key.String(), func() (any, error) {
		if held := x.traded.get(key, x.cfg.Now().UnixNano()); held != nil && held != before {
			return held, nil // the exchange before this one has got it
		}
		ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
		defer cancel()
		x.begun.Add(1)
		got := x.exchange(ctx, w, before)
		if got.refused != nil {
			x.failed.Add(1)
			if before != nil && !errors.Is(got.refused.err, ErrSubjectToken) { // it is good for its last third
				before.putOff(x.cfg.Now().Add(refusedFor))
				return got, nil
			}
		}
		x.traded.put(key, got)
		return got, nil
	})
}

func (x *Exchanges) exchange(ctx context.Context, w wanted, before *traded) *traded {
	asked := x.cfg.Now()
	req := ExchangeRequest{SubjectToken: w.of.token, Audience: w.trade.audience, Scopes: w.trade.scopes}
	if w.own != nil {
		req.Certificate = w.own.certificate
	}
	if id := w.of.identity; id != nil && len(req.Scopes) > 0 {
		held := slices.DeleteFunc(slices.Clone(req.Scopes), func(scope string) bool { return !id.HasScope(scope) })
		if len(held) > 0 { // to ask for no scope would be to ask for all
			req.Scopes = held
		}
	}
	got, err := x.cfg.Exchanger.Exchange(ctx, req)
	if err == nil && (got.Token == "" || !got.Expiry.After(asked)) {
		err = errors.New("the issuer gave a token that is none, or has expired")
	}
	if err != nil {
		return &traded{refused: x.refusal(ctx, w.trade, err), asked: asked.UnixNano(), expiry: x.cfg.Now().Add(refusedFor).UnixNano()}
	}
	return newTraded(got, w.of, asked, before)
}

// refusal is what the caller is told who gets no token.
func (x *Exchanges) refusal(ctx context.Context, t trade, err error) *refusal {
	switch {
	case errors.Is(err, ErrSubjectToken):
		return &refusal{cause: "subject_token", status: statusOf(Unauthenticated(ReasonUnauthenticated)), err: err}
	case errors.Is(err, ErrNoScope):
		return &refusal{cause: "scope_missing", err: err, status: statusOf(refuse(codes.PermissionDenied, ReasonScopeMissing,
			"a scope is missing", map[string]string{"scope": strings.Join(t.scopes, " ")}))}
	}
	x.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a token cannot be exchanged",
		slog.String("audience", t.audience), slog.String("request_id", RequestID(ctx)), slog.Any("error", err))
	return &refusal{cause: "no_exchange", err: fmt.Errorf("exchange a token: %w", err), status: statusOf(refuse(codes.Unavailable,
		ReasonDependencyDown, "a token for the next service cannot be had now", map[string]string{"dependency": "the issuer"}))}
}

// refused drops a token of get's that a peer did not accept, so that the next call gets another: unless it is so young that
// another one would be no better.
func (x *Exchanges) refused(w wanted, token string) {
	key, now := w.key(), x.cfg.Now().UnixNano()
	if held := x.traded.get(key, now); held != nil && held.token == token && now-held.asked >= int64(minTraded) {
		x.traded.drop(key)
	}
}
