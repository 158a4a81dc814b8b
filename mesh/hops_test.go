package mesh_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// hop is a connection from one part to the next.
type hop string

const (
	forwards  hop = "forwards"
	exchanges hop = "exchanges"
	binds     hop = "exchanges for a bound one"
)

// line is three parts in front of a fourth, each of which calls the next, in a call for a call and in a stream for a stream.
// A gateway calls the first.
type line struct {
	issuer *meshtest.Issuer
	front  *grpc.ClientConn
	// met has the callers that each part has let in, and via by which parts they have come.
	mu  sync.Mutex
	met map[string][]mesh.Identity
	via map[string][]string
	// client has the address that each part knows of whom the call began with.
	client map[string]netip.Addr
}

func (l *line) meet(ctx context.Context, part string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.met[part] = append(l.met[part], mesh.Caller(ctx))
	l.via[part], l.client[part] = mesh.Via(ctx), mesh.ClientAddress(ctx)
}

func (l *line) last(part string) mesh.Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	met := l.met[part]
	if len(met) == 0 {
		return mesh.Identity{}
	}
	return met[len(met)-1]
}

// newLine makes the parts a, b, c and d, connected by hops. onward is how a handler calls on.
func newLine(t *testing.T, hops [3]hop, onward func(ctx context.Context, call func(context.Context) error) error) *line {
	t.Helper()
	l := &line{issuer: meshtest.NewIssuer(t), met: map[string][]mesh.Identity{}, via: map[string][]string{}, client: map[string]netip.Addr{}}
	next := meshtest.Serve(t, l.issuer, meshtest.Part{Name: "d", Configure: audienceOf(t, l.issuer, "d", hops[2:])}, (&echo{
		unary: func(ctx context.Context, in note) (note, error) {
			l.meet(ctx, "d")
			return newNote(mesh.Caller(ctx).String()), nil
		},
		stream: func(stream grpc.ServerStream) error {
			l.meet(stream.Context(), "d")
			return stream.SendMsg(newNote(mesh.Caller(stream.Context()).String()).Message)
		},
	}).register)
	for i, part := range []string{"c", "b", "a"} {
		to := l.connect(t, next, part, string(part[0]+1), hops[2-i:])
		configure := func(*mesh.ServerConfig) {}
		if i < 2 {
			configure = audienceOf(t, l.issuer, part, hops[1-i:])
		}
		next = meshtest.Serve(t, l.issuer, meshtest.Part{Name: part, Configure: configure}, (&echo{
			unary: func(ctx context.Context, in note) (note, error) {
				l.meet(ctx, part)
				var out string
				err := onward(ctx, func(ctx context.Context) (err error) {
					out, err = say(ctx, to, "Say", in.text())
					return err
				})
				return newNote(out), err
			},
			stream: func(stream grpc.ServerStream) error {
				l.meet(stream.Context(), part)
				return onward(stream.Context(), func(ctx context.Context) error {
					out, err := watch(ctx, to)
					if err != nil {
						return err
					}
					return stream.SendMsg(newNote(out).Message)
				})
			},
		}).register)
	}
	l.front = next.DialAs(t, "gateway")
	return l
}

// audienceOf lets a part demand tokens of its own where it is called with such: where nobody from there on forwards.
func audienceOf(t *testing.T, iss *meshtest.Issuer, part string, hops []hop) func(*mesh.ServerConfig) {
	if slices.Contains(hops, forwards) {
		return func(*mesh.ServerConfig) {}
	}
	return ownAudience(t, iss, part)
}

// connect dials to as from, with a certificate to which what it gets is bound where it has to be.
func (l *line) connect(t *testing.T, to *meshtest.Server, from, callee string, hops []hop) *grpc.ClientConn {
	t.Helper()
	config := l.issuer.CA.Client(t, from)
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: l.issuer.Exchanger(t, from)})
	if err != nil {
		t.Fatal(err)
	}
	p := mesh.ForwardBound(x)
	if hops[0] != forwards {
		to := mesh.Callee{Bind: hops[0] == binds}
		if !slices.Contains(hops, forwards) {
			to.Audience = "urn:realguardio:" + callee
		}
		p = mesh.Exchange(x, to)
	}
	conn, err := mesh.Dial(mesh.DialConfig{Target: to.Addr, TLS: config, Propagation: p, Logger: meshtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call sends alice's token down the line, in a call and in a stream.
func (l *line) call(ctx context.Context, t *testing.T, streamed bool) (string, error) {
	t.Helper()
	ctx = meshtest.As(ctx, l.issuer.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web", SessionID: "s1", Scopes: []string{"a.read", "b.read"}}))
	if !streamed {
		return say(ctx, l.front, "Say", "")
	}
	return watch(ctx, l.front)
}

// watch returns the first message of a stream.
func watch(ctx context.Context, conn grpc.ClientConnInterface) (string, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.mesh.v1.Echo/Watch")
	if err != nil {
		return "", err
	}
	if err := stream.SendMsg(newNote("").Message); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	_ = stream.CloseSend()
	out := newNote("")
	err = stream.RecvMsg(out.Message)
	return out.text(), err
}

func straight(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

func TestThreeHopsDeepTheCallerIsStillTheCaller(t *testing.T) {
	for _, tt := range []struct {
		hops [3]hop
		// actors are those that the last part knows of: a part that forwards is not in the token.
		actors []string
		bound  bool
	}{
		{hops: [3]hop{forwards, forwards, forwards}},
		{hops: [3]hop{exchanges, exchanges, exchanges}, actors: []string{"c", "b", "a"}},
		{hops: [3]hop{binds, binds, binds}, actors: []string{"c", "b", "a"}, bound: true},
		{hops: [3]hop{forwards, forwards, exchanges}, actors: []string{"c"}},
		{hops: [3]hop{exchanges, exchanges, forwards}, actors: []string{"b", "a"}},
		{hops: [3]hop{forwards, exchanges, forwards}, actors: []string{"b"}},
		// What is bound to a is got anew by b, and by c.
		{hops: [3]hop{binds, forwards, forwards}, actors: []string{"c", "b", "a"}, bound: true},
		{hops: [3]hop{exchanges, binds, exchanges}, actors: []string{"c", "b", "a"}, bound: true},
	} {
		t.Run(fmt.Sprint(tt.hops), func(t *testing.T) {
			l := newLine(t, tt.hops, straight)
			for _, streamed := range []bool{false, true} {
				got, err := l.call(metadata.AppendToOutgoingContext(t.Context(), "mesh-client", "2001:db8::7"), t, streamed)
				if err != nil || got != "user u-alice via web" {
					t.Fatalf("streamed %v: got %q, %v", streamed, got, err)
				}
				for _, part := range []string{"a", "b", "c", "d"} {
					if l.client[part] != netip.MustParseAddr("2001:db8::7") {
						t.Errorf("streamed %v: %s was called from %v", streamed, part, l.client[part])
					}
				}
				d := l.last("d")
				if d.SessionID != "s1" || !cmp.Equal(d.Actors, tt.actors) && len(d.Actors)+len(tt.actors) > 0 || d.Confirmation.Bound() != tt.bound {
					t.Errorf("streamed %v: the last part knows session %q, actors %v, bound %v", streamed, d.SessionID, d.Actors, d.Confirmation.Bound())
				}
				for part, want := range map[string][]string{"a": {"gateway"}, "b": {"a", "gateway"}, "c": {"b", "a", "gateway"}, "d": {"c", "b", "a", "gateway"}} {
					if got := l.via[part]; !cmp.Equal(got, want) {
						t.Errorf("streamed %v: %s was called by way of %v", streamed, part, got)
					}
				}
				if len(tt.actors) == 3 {
					for part, want := range map[string][]string{"a": nil, "b": {"a"}, "c": {"b", "a"}} {
						if got := l.last(part).Actors; !cmp.Equal(got, want) && len(got)+len(want) > 0 {
							t.Errorf("%s knows %v", part, got)
						}
					}
				}
			}
		})
	}
}

// TestAHandlerCannotForgetOrSwapTheCaller has every part of the line try, in a call and in a stream.
func TestAHandlerCannotForgetOrSwapTheCaller(t *testing.T) {
	mallory := meshtest.NewIssuer(t).Token(t, meshtest.Claims{Subject: "u-mallory"})
	for _, tt := range []struct {
		name   string
		onward func(ctx context.Context, call func(context.Context) error) error
		code   codes.Code
	}{
		{name: "by calling in a goroutine", onward: func(ctx context.Context, call func(context.Context) error) error {
			done := make(chan error)
			go func() { done <- call(ctx) }()
			return <-done
		}},
		{name: "by a context that does not end with the call", onward: func(ctx context.Context, call func(context.Context) error) error {
			return call(context.WithoutCancel(ctx))
		}},
		{name: "by the means of an edge", onward: func(ctx context.Context, call func(context.Context) error) error {
			return call(mesh.WithBearer(ctx, mallory))
		}},
		{name: "by another request id", onward: func(ctx context.Context, call func(context.Context) error) error {
			return call(mesh.WithRequestID(ctx, "other"))
		}},
		{name: "by metadata without authority", onward: func(ctx context.Context, call func(context.Context) error) error {
			return call(metadata.AppendToOutgoingContext(ctx, "x-user-id", "u-mallory", "x-forwarded-client-cert", "URI=spiffe://realguardio/gateway", "grpc-trace-bin", "x"))
		}},
		{name: "by naming other parts", code: codes.Internal, onward: func(ctx context.Context, call func(context.Context) error) error {
			return call(metadata.AppendToOutgoingContext(ctx, "mesh-via", "mallory"))
		}},
		{name: "by a token of their own", code: codes.Internal, onward: func(ctx context.Context, call func(context.Context) error) error {
			return call(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+mallory))
		}},
		{name: "by sending on what was sent", code: codes.Internal, onward: func(ctx context.Context, call func(context.Context) error) error {
			md, _ := metadata.FromIncomingContext(ctx)
			return call(metadata.NewOutgoingContext(ctx, md))
		}},
		{name: "by a context of nobody", code: codes.Unauthenticated, onward: func(_ context.Context, call func(context.Context) error) error {
			return call(context.Background())
		}},
	} {
		for _, h := range []hop{forwards, exchanges} {
			t.Run(tt.name+" where it "+string(h), func(t *testing.T) {
				l := newLine(t, [3]hop{h, h, h}, tt.onward)
				for _, streamed := range []bool{false, true} {
					got, err := l.call(t.Context(), t, streamed)
					if status.Code(err) != tt.code || tt.code == codes.OK && got != "user u-alice via web" {
						t.Errorf("streamed %v: got %q, %v", streamed, got, err)
					}
					if via := l.via["d"]; tt.code == codes.OK && !cmp.Equal(via, []string{"c", "b", "a", "gateway"}) {
						t.Errorf("streamed %v: the last part was called by way of %v", streamed, via)
					}
					if d := l.last("d"); tt.code != codes.OK && d.Kind != "" {
						t.Errorf("streamed %v: the last part let %v in", streamed, d)
					}
				}
			})
		}
	}
}

// TestManyCallersDownOneLineNeverMix has them all at once on the same connections, in calls and in streams.
func TestManyCallersDownOneLineNeverMix(t *testing.T) {
	for _, hops := range [][3]hop{{forwards, forwards, forwards}, {exchanges, binds, forwards}} {
		t.Run(fmt.Sprint(hops), func(t *testing.T) {
			l := newLine(t, hops, straight)
			var running sync.WaitGroup
			for i := range 24 {
				who := fmt.Sprint("u-", i)
				ctx := meshtest.As(t.Context(), l.issuer.Token(t, meshtest.Claims{Subject: who, ClientID: "web"}))
				running.Go(func() {
					for n := range 6 {
						var got string
						var err error
						if n%2 == 0 {
							got, err = say(ctx, l.front, "Say", "")
						} else {
							got, err = watch(ctx, l.front)
						}
						if err != nil || got != "user "+who+" via web" {
							t.Errorf("%s was taken for %q, %v", who, got, err)
						}
					}
				})
			}
			running.Wait()
		})
	}
}

func TestABoundTokenIsNotForwardedAsItIs(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	config := iss.CA.Client(t, "gateway")
	x5t := mesh.Thumbprint(config.Certificates[0].Leaf)
	served := 0
	back := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, in note) (note, error) { served++; return in, nil }}).register)
	front := meshtest.Serve(t, iss, meshtest.Part{Name: "customer"}, callingOn(back.Connect(t, "customer", mesh.Forward())).register)
	conn, err := mesh.Dial(mesh.DialConfig{Target: front.Addr, TLS: config, Propagation: mesh.PerCall()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	token := iss.Token(t, meshtest.Claims{Extra: map[string]any{"cnf": map[string]any{"x5t#S256": x5t}}})
	_, err = say(mesh.WithBearer(t.Context(), token), conn, "Say", "")
	if status.Code(err) != codes.FailedPrecondition || mesh.Reason(err) != mesh.ReasonBoundToken || served != 0 {
		t.Errorf("%v, served %d", err, served)
	}
}

func TestTokensAreForwardedInsideTheTrustDomainAlone(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	token := iss.Token(t, meshtest.Claims{})
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: iss.Exchanger(t, "customer")})
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]string{"no workload": "", "a workload of another domain": "spiffe://elsewhere/echo"} {
		t.Run(name, func(t *testing.T) {
			outside := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(cfg *mesh.ServerConfig) {
				cfg.TLS = iss.CA.Server(t, "echo")
				cfg.TLS.Certificates[0] = iss.CA.Issue(t, certificateOf(t, cert))
			}}, (&echo{unary: whoami}).register)
			for p, want := range map[mesh.Propagation]codes.Code{mesh.Forward(): codes.Unavailable, mesh.ForwardBound(x): codes.Unavailable} {
				conn := meshtest.Serve(t, iss, meshtest.Part{Name: "customer"}, callingOn(outside.Connect(t, "customer", p)).register).Dial(t)
				if _, err := say(meshtest.As(t.Context(), token), conn, "Say", ""); status.Code(err) != want {
					t.Errorf("forwarded: %v", err)
				}
			}
			exchanging := outside.Connect(t, "customer", mesh.Exchange(x, mesh.Callee{Audience: echoAudience}))
			conn := meshtest.Serve(t, iss, meshtest.Part{Name: "customer"}, callingOn(exchanging).register).Dial(t)
			if got, err := say(meshtest.As(t.Context(), token), conn, "Say", ""); err != nil || got != "user u-test via test-client" {
				t.Errorf("exchanged: %q, %v", got, err)
			}
		})
	}
	for name, p := range map[string]mesh.Propagation{"Forward": mesh.Forward(), "ForwardBound": mesh.ForwardBound(x),
		"Exchange": mesh.Exchange(x, mesh.Callee{}), "ExchangePerCall": mesh.ExchangePerCall(x, mesh.Callee{})} {
		if _, err := mesh.Dial(mesh.DialConfig{Target: "localhost:1", Insecure: true, Propagation: p}); err == nil || !strings.Contains(err.Error(), "plaintext") {
			t.Errorf("%s over plaintext: %v", name, err)
		}
	}
}

// certificateOf is the template of a certificate with one URI, or none.
func certificateOf(t *testing.T, uri string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "outside"}}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = []*url.URL{u}
	}
	return c
}
