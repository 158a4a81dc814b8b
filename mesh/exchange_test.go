package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// clock is moved by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// trading is a part "customer" that exchanges the tokens of its callers, and what it calls: a part "echo" that takes tokens
// for itself alone.
type trading struct {
	*clock
	issuer    *meshtest.Issuer
	exchanger *meshtest.Exchanger
	exchanges *mesh.Exchanges
	// conn leads to customer.
	conn *grpc.ClientConn
	// met is told whom echo lets in, and refuses instead where refuse is set.
	met    chan mesh.Identity
	refuse atomic.Pointer[error]
}

func newTrading(t *testing.T, to mesh.Callee, change ...func(*mesh.ExchangesConfig)) *trading {
	t.Helper()
	tr := &trading{clock: &clock{}, issuer: meshtest.NewIssuer(t), met: make(chan mesh.Identity, 1000)}
	tr.exchanger = tr.issuer.Exchanger(t, "customer")
	cfg := mesh.ExchangesConfig{Exchanger: tr.exchanger, Now: tr.now, Logger: meshtest.Logger(t)}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if tr.exchanges, err = mesh.NewExchanges(cfg); err != nil {
		t.Fatal(err)
	}
	back := &echo{unary: func(ctx context.Context, _ note) (note, error) {
		if refuse := tr.refuse.Load(); refuse != nil {
			return newNote(""), *refuse
		}
		tr.met <- mesh.Caller(ctx)
		return newNote(mesh.Caller(ctx).String()), nil
	}}
	echo := meshtest.Serve(t, tr.issuer, meshtest.Part{Name: "echo", Configure: ownAudience(t, tr.issuer, "echo")}, back.register)
	onward := echo.Connect(t, "customer", mesh.Exchange(tr.exchanges, to))
	tr.conn = meshtest.Serve(t, tr.issuer, meshtest.Part{Name: "customer"}, callingOn(onward).register).Dial(t)
	return tr
}

// ownAudience makes a part take tokens that are for itself, and no others of the trust domain.
func ownAudience(t *testing.T, iss *meshtest.Issuer, part string) func(*mesh.ServerConfig) {
	return func(cfg *mesh.ServerConfig) {
		v, err := jwt.New(t.Context(), jwt.Config{Issuer: iss.URL, Audiences: []string{"urn:realguardio:" + part}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Verifier = v
	}
}

// callingOn answers every method by calling the one that the note names, or Say, over conn.
func callingOn(conn grpc.ClientConnInterface) *echo {
	return &echo{unary: func(ctx context.Context, in note) (note, error) {
		method := in.text()
		if method == "" {
			method = "Say"
		}
		out, err := say(ctx, conn, method, in.text())
		return newNote(out), err
	}}
}

func (tr *trading) call(t *testing.T, c meshtest.Claims, method string) (string, error) {
	t.Helper()
	return say(meshtest.As(t.Context(), tr.issuer.Token(t, c)), tr.conn, "Say", method)
}

// as says the token again and again.
func (tr *trading) as(t *testing.T, token string) error {
	t.Helper()
	_, err := say(meshtest.As(t.Context(), token), tr.conn, "Say", "")
	return err
}

func (tr *trading) exchanged() int { return len(tr.exchanger.Requests()) }

const echoAudience = "urn:realguardio:echo"

func TestExchangeSendsATokenThatIsForTheCalleeAlone(t *testing.T) {
	all := []string{"a.read", "a.write", "b.read", "openid"}
	for _, tt := range []struct {
		name   string
		to     mesh.Callee
		has    []string
		method string
		want   []string
		code   codes.Code
	}{
		{name: "with all of its scopes where none are named", to: mesh.Callee{}, has: all, want: all},
		{name: "with those that are named", to: mesh.Callee{Scopes: []string{"b.read", "a.read"}}, has: all, want: []string{"a.read", "b.read"}},
		{name: "with those of them that the caller has", to: mesh.Callee{Scopes: []string{"b.read", "c.read"}}, has: all, want: []string{"b.read"}},
		{name: "and not where the caller has none of them", to: mesh.Callee{Scopes: []string{"c.read"}}, has: all, code: codes.PermissionDenied},
		{name: "with those that the method demands", to: mesh.Callee{MethodScopes: true}, has: all, method: "Scoped", want: []string{"a.read", "a.write"}},
		{name: "with those that are named where it demands none", to: mesh.Callee{MethodScopes: true, Scopes: []string{"b.read"}}, has: all, method: "Say", want: []string{"b.read"}},
		{name: "and not where the caller lacks what the method demands", to: mesh.Callee{MethodScopes: true}, has: []string{"b.read"}, method: "Scoped", code: codes.PermissionDenied},
		{name: "nor where the caller has a part of it", to: mesh.Callee{MethodScopes: true}, has: []string{"a.read"}, method: "Scoped", code: codes.PermissionDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.to.Audience = echoAudience
			tr := newTrading(t, tt.to)
			got, err := tr.call(t, meshtest.Claims{Subject: "u-alice", ClientID: "web", Scopes: tt.has}, tt.method)
			if status.Code(err) != tt.code {
				t.Fatalf("got %v", err)
			}
			if tt.code != codes.OK {
				if mesh.Reason(err) != mesh.ReasonScopeMissing || len(tr.met) != 0 {
					t.Errorf("%v, %d let in", err, len(tr.met))
				}
				return
			}
			met := <-tr.met
			if got != "user u-alice via web" || !cmp.Equal(met.Actors, []string{"customer"}) || !cmp.Equal(met.Audience, []string{echoAudience}) || !cmp.Equal(met.Scopes, tt.want) {
				t.Errorf("%s by %v for %v with %v", got, met.Actors, met.Audience, met.Scopes)
			}
		})
	}
}

func TestAForwardedTokenForOthersIsRefused(t *testing.T) {
	tr := newTrading(t, mesh.Callee{Audience: echoAudience})
	served := make(chan struct{}, 10)
	back := &echo{unary: func(ctx context.Context, in note) (note, error) { served <- struct{}{}; return in, nil },
		stream: func(grpc.ServerStream) error { served <- struct{}{}; return nil }}
	echo := meshtest.Serve(t, tr.issuer, meshtest.Part{Name: "echo", Configure: ownAudience(t, tr.issuer, "echo")}, back.register)
	token := tr.issuer.Token(t, meshtest.Claims{})
	for _, front := range []struct {
		name string
		call func(conn *grpc.ClientConn) error
	}{
		{"in a call", func(conn *grpc.ClientConn) error {
			_, err := say(meshtest.As(t.Context(), token), conn, "Say", "")
			return err
		}},
		{"in a stream", func(conn *grpc.ClientConn) error {
			return open(t, meshtest.As(t.Context(), token), conn, "Watch").RecvMsg(newNote("").Message)
		}},
	} {
		for name, want := range map[string]codes.Code{"forwarded": codes.Unauthenticated, "exchanged": codes.OK} {
			t.Run(name+" "+front.name, func(t *testing.T) {
				p := mesh.Forward()
				if want == codes.OK {
					p = mesh.Exchange(tr.exchanges, mesh.Callee{Audience: echoAudience})
				}
				to := echo.Connect(t, "customer", p)
				middle := callingOn(to)
				middle.stream = func(stream grpc.ServerStream) error {
					return open(t, stream.Context(), to, "Watch").RecvMsg(newNote("").Message)
				}
				conn := meshtest.Serve(t, tr.issuer, meshtest.Part{Name: "customer"}, middle.register).Dial(t)
				err := front.call(conn)
				if want == codes.OK {
					if len(served) != 1 {
						t.Errorf("not let in: %v", err)
					}
					<-served
					return
				}
				if status.Code(err) != want || len(served) != 0 {
					t.Errorf("%v, %d let in", err, len(served))
				}
			})
		}
	}
}

func TestAnExchangedTokenIsKept(t *testing.T) {
	to := mesh.Callee{Audience: echoAudience}
	t.Run("and used again by the same caller alone", func(t *testing.T) {
		tr := newTrading(t, to)
		alice, bob := tr.issuer.Token(t, meshtest.Claims{Subject: "u-alice"}), tr.issuer.Token(t, meshtest.Claims{Subject: "u-bob"})
		for range 3 {
			for _, token := range []string{alice, bob} {
				if err := tr.as(t, token); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := tr.exchanges.Stats(); got != (mesh.ExchangeStats{Hits: 4, Misses: 2}) || tr.exchanged() != 2 {
			t.Errorf("%+v, %d exchanges", got, tr.exchanged())
		}
		for i := range 6 {
			if want := []string{"u-alice", "u-bob"}[i%2]; (<-tr.met).Subject != want {
				t.Errorf("call %d is not by %s", i, want)
			}
		}
	})
	t.Run("no longer than what it was got for", func(t *testing.T) {
		tr := newTrading(t, to)
		tr.exchanger.Life(time.Hour)
		token := tr.issuer.Token(t, meshtest.Claims{})
		_ = tr.as(t, token)
		tr.advance(6 * time.Minute) // by the guard's clock it lives
		if _ = tr.as(t, token); tr.exchanged() != 2 {
			t.Errorf("%d exchanges", tr.exchanged())
		}
	})
	t.Run("no longer than itself", func(t *testing.T) {
		tr := newTrading(t, to)
		tr.exchanger.Life(time.Minute)
		token := tr.issuer.Token(t, meshtest.Claims{})
		_ = tr.as(t, token)
		tr.advance(61 * time.Second)
		tr.exchanger.Life(4 * time.Minute)
		if err := tr.as(t, token); err != nil || tr.exchanged() != 2 {
			t.Errorf("%v after %d exchanges", err, tr.exchanged())
		}
	})
	t.Run("and renewed ahead by who uses it, while nobody waits", func(t *testing.T) {
		tr := newTrading(t, to)
		tr.exchanger.Life(time.Minute)
		token := tr.issuer.Token(t, meshtest.Claims{})
		_ = tr.as(t, token)
		tr.advance(41 * time.Second)
		tr.exchanger.Life(3 * time.Minute)
		release := tr.exchanger.Hold()
		for range 3 {
			if err := tr.as(t, token); err != nil {
				t.Fatal(err)
			}
		}
		release()
		meshtest.Await(t, "a renewal", func() bool { return tr.exchanges.Stats().Misses == 2 })
		tr.advance(20 * time.Second)
		if err := tr.as(t, token); err != nil || tr.exchanged() != 2 {
			t.Errorf("%v after %d exchanges", err, tr.exchanged())
		}
	})
	t.Run("and not renewed where that gives no longer life", func(t *testing.T) {
		tr := newTrading(t, to)
		token := tr.issuer.Token(t, meshtest.Claims{Expiry: time.Now().Add(2 * time.Minute)})
		_ = tr.as(t, token)
		tr.advance(119 * time.Second)
		if err := tr.as(t, token); err != nil || tr.exchanged() != 1 {
			t.Errorf("%v after %d exchanges", err, tr.exchanged())
		}
	})
	t.Run("while a renewal fails, until its end", func(t *testing.T) {
		tr := newTrading(t, to)
		tr.exchanger.Life(time.Minute)
		token := tr.issuer.Token(t, meshtest.Claims{})
		_ = tr.as(t, token)
		tr.exchanger.Fail(errors.New("down"))
		tr.advance(50 * time.Second)
		for range 3 {
			if err := tr.as(t, token); err != nil {
				t.Fatal(err)
			}
		}
		meshtest.Await(t, "the renewal to fail", func() bool { return tr.exchanges.Stats().Failures == 1 })
		tr.advance(11 * time.Second)
		if err := tr.as(t, token); status.Code(err) != codes.Unavailable {
			t.Errorf("past its end: %v", err)
		}
	})
	t.Run("in bounded number", func(t *testing.T) {
		tr := newTrading(t, to, func(cfg *mesh.ExchangesConfig) { cfg.Size = 32 })
		var tokens []string
		for i := range 200 {
			tokens = append(tokens, tr.issuer.Token(t, meshtest.Claims{Subject: fmt.Sprint("u-", i)}))
		}
		for range 2 {
			for _, token := range tokens {
				if got, err := tr.exchanges.Token(t.Context(), token, to); err != nil || got == "" {
					t.Fatal(err)
				}
			}
		}
		if hits := tr.exchanges.Stats().Hits; hits > 2*32 {
			t.Errorf("%d hits among 200 tokens with room for 32", hits)
		}
	})
}

func TestManyCallsOfOneCallerAreOneExchange(t *testing.T) {
	tr := newTrading(t, mesh.Callee{Audience: echoAudience})
	token := tr.issuer.Token(t, meshtest.Claims{})
	release := tr.exchanger.Hold()
	const calls = 50
	errs := make(chan error, calls)
	for range calls {
		go func() { errs <- tr.as(t, token) }()
	}
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := say(meshtest.As(impatient, token), tr.conn, "Say", ""); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("who gives up: %v", err)
	}
	release()
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := tr.exchanged(); got != 1 {
		t.Errorf("%d exchanges", got)
	}
}

func TestWhatAFailedExchangeIsToTheCaller(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"a token that the issuer takes no more", fmt.Errorf("issuer: %w", mesh.ErrSubjectToken), codes.Unauthenticated, mesh.ReasonUnauthenticated},
		{"a token without the scopes", fmt.Errorf("issuer: %w", mesh.ErrNoScope), codes.PermissionDenied, mesh.ReasonScopeMissing},
		{"an issuer that is not there", errors.New("hunter2 refused connection"), codes.Unavailable, mesh.ReasonDependencyDown},
		{"this part's own refusal", status.Error(codes.PermissionDenied, "hunter2 may not"), codes.Unavailable, mesh.ReasonDependencyDown},
		{"a refusal of this part's token", status.Error(codes.Unauthenticated, "hunter2"), codes.Unavailable, mesh.ReasonDependencyDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrading(t, mesh.Callee{Audience: echoAudience})
			token := tr.issuer.Token(t, meshtest.Claims{})
			tr.exchanger.Fail(tt.err)
			for range 5 {
				if err := tr.as(t, token); status.Code(err) != tt.code || mesh.Reason(err) != tt.reason || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v", err)
				}
			}
			if got := tr.exchanges.Stats(); got != (mesh.ExchangeStats{Misses: 1, Failures: 1}) {
				t.Errorf("%+v: a failure is not tried again at once", got)
			}
			tr.exchanger.Fail(nil)
			tr.advance(1100 * time.Millisecond)
			if err := tr.as(t, token); err != nil {
				t.Errorf("a while later: %v", err)
			}
		})
	}
}

func TestATokenThatTheCalleeRefusesIsExchangedOnceMore(t *testing.T) {
	tr := newTrading(t, mesh.Callee{Audience: echoAudience})
	token := tr.issuer.Token(t, meshtest.Claims{})
	if err := tr.as(t, token); err != nil {
		t.Fatal(err)
	}
	refuse := func(reason string) { err := mesh.Unauthenticated(reason); tr.refuse.Store(&err) }
	refuse(mesh.ReasonUnauthenticated)
	for range 3 { // it is too young for another to be better
		if err := tr.as(t, token); status.Code(err) != codes.Unavailable {
			t.Fatalf("a good caller is told %v", err)
		}
	}
	if got := tr.exchanged(); got != 1 {
		t.Errorf("%d exchanges: a storm", got)
	}
	tr.advance(6 * time.Second)
	for range 3 {
		_ = tr.as(t, token)
	}
	if got := tr.exchanged(); got != 2 {
		t.Errorf("%d exchanges, want one more", got)
	}
	for _, reason := range []string{mesh.ReasonStepUp, string(mesh.SubjectEnded), string(mesh.ClientEnded), string(mesh.TokenEnded)} {
		refuse(reason)
		if err := tr.as(t, token); status.Code(err) != codes.Unauthenticated || mesh.Reason(err) != reason {
			t.Errorf("what is the caller's own doing: %v", err)
		}
	}
}

func TestWhoseTokenHasEndedGetsNoOtherForIt(t *testing.T) {
	set := revocation.NewSet(revocation.Config{})
	tr := newTrading(t, mesh.Callee{}, func(cfg *mesh.ExchangesConfig) { cfg.Revocations = set })
	back := meshtest.Serve(t, tr.issuer, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	to := back.Connect(t, "customer", mesh.Exchange(tr.exchanges, mesh.Callee{Audience: echoAudience}))
	resume, outcome := make(chan struct{}), make(chan error, 1)
	front := meshtest.Serve(t, tr.issuer, meshtest.Part{Name: "customer"}, (&echo{unary: func(ctx context.Context, in note) (note, error) {
		later := context.WithoutCancel(ctx)
		_, err := say(later, to, "Say", "")
		go func() { <-resume; _, err := say(later, to, "Say", ""); outcome <- err }()
		return in, err
	}}).register)
	token := tr.issuer.Token(t, meshtest.Claims{Subject: "u-alice", SessionID: "s1"})
	if _, err := say(meshtest.As(t.Context(), token), front.Dial(t), "Say", ""); err != nil {
		t.Fatal(err)
	}
	if err := set.Add(revocation.Entry{Kind: revocation.Session, Value: "s1"}); err != nil {
		t.Fatal(err)
	}
	close(resume)
	if err := <-outcome; status.Code(err) != codes.Unauthenticated || mesh.Reason(err) != string(mesh.TokenEnded) || tr.exchanged() != 1 {
		t.Errorf("work that goes on after its caller has ended: %v, %d exchanges", err, tr.exchanged())
	}
}

func TestNothingOfACallGoesToTheIssuerWithItsToken(t *testing.T) {
	tr := newTrading(t, mesh.Callee{})
	seen := make(chan context.Context, 1)
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: exchangerFunc(func(ctx context.Context, req mesh.ExchangeRequest) (mesh.Exchanged, error) {
		seen <- ctx
		return tr.exchanger.Exchange(ctx, req)
	})})
	if err != nil {
		t.Fatal(err)
	}
	conn := chain(t, tr.issuer, &echo{unary: whoami}, mesh.Exchange(x, mesh.Callee{Audience: echoAudience}), func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "idempotency-key", "k1")
	})
	if _, err := say(meshtest.As(t.Context(), tr.issuer.Token(t, meshtest.Claims{})), conn, "Say", ""); err != nil {
		t.Fatal(err)
	}
	ctx := <-seen
	if md, _ := metadata.FromOutgoingContext(ctx); len(md) != 0 {
		t.Errorf("the issuer would be sent %v", md)
	}
	if mesh.RequestID(ctx) == "" {
		t.Error("the request id is lost")
	}
	printed := fmt.Sprintf("%v %+v %#v", tr.exchanger.Requests()[0], tr.exchanger.Requests()[0], tr.exchanger.Requests()[0])
	if strings.Contains(printed, "ey") {
		t.Errorf("a request prints its token: %s", printed)
	}
}

type exchangerFunc func(context.Context, mesh.ExchangeRequest) (mesh.Exchanged, error)

func (f exchangerFunc) Exchange(ctx context.Context, req mesh.ExchangeRequest) (mesh.Exchanged, error) {
	return f(ctx, req)
}

func TestExchangesNeedAnExchanger(t *testing.T) {
	if _, err := mesh.NewExchanges(mesh.ExchangesConfig{}); err == nil {
		t.Error("they were made without")
	}
}

// TestConcurrentCallersNeverMix calls through one connection as many people at once, again and again, with a cache too small
// for them.
func TestConcurrentCallersNeverMix(t *testing.T) {
	tr := newTrading(t, mesh.Callee{Audience: echoAudience}, func(cfg *mesh.ExchangesConfig) { cfg.Size = 64 })
	const people, calls = 40, 20
	var running sync.WaitGroup
	for i := range people {
		who := fmt.Sprint("u-", i)
		token := tr.issuer.Token(t, meshtest.Claims{Subject: who, ClientID: "web"})
		running.Go(func() {
			for range calls {
				got, err := say(meshtest.As(t.Context(), token), tr.conn, "Say", "")
				if err != nil || got != "user "+who+" via web" {
					t.Errorf("%s was taken for %q, %v", who, got, err)
				}
			}
		})
	}
	running.Wait()
}
