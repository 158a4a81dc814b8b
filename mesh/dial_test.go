package mesh_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// chain is a part "customer" whose Say calls Say of a part "echo" over conn, and the connection to it.
func chain(t *testing.T, iss *meshtest.Issuer, back *echo, propagation mesh.Propagation, change func(context.Context) context.Context) *grpc.ClientConn {
	t.Helper()
	to := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, back.register).Connect(t, "customer", propagation)
	front := meshtest.Serve(t, iss, meshtest.Part{Name: "customer"}, (&echo{unary: func(ctx context.Context, in note) (note, error) {
		if change != nil {
			ctx = change(ctx)
		}
		out, err := say(ctx, to, "Say", in.text())
		return newNote(out), err
	}}).register)
	return front.Dial(t)
}

func TestWhoseTokenTravelsIsDecidedWhereTheConnectionIsDialled(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})
	bob := iss.Token(t, meshtest.Claims{Subject: "u-bob", ClientID: "web"})
	outgoing := func(pairs ...string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return metadata.AppendToOutgoingContext(ctx, pairs...) }
	}
	for _, tt := range []struct {
		name        string
		propagation mesh.Propagation
		method      string
		change      func(context.Context) context.Context
		want        string
		code        codes.Code
	}{
		{name: "forward sends the caller's own", propagation: mesh.Forward(), want: "user u-alice via web"},
		{name: "forward has nothing to send for nobody", propagation: mesh.Forward(), method: "Open", code: codes.Unauthenticated},
		{name: "as service sends the part's own", propagation: mesh.AsService(iss.Source(t, "customer")), want: "workload customer"},
		{name: "as service does so for nobody as well", propagation: mesh.AsService(iss.Source(t, "customer")), method: "Open", want: "workload customer"},
		{name: "per call sends what the edge has put there", propagation: mesh.PerCall(), change: func(ctx context.Context) context.Context { return mesh.WithBearer(ctx, bob) }, want: "user u-bob via web"},
		{name: "per call sends nothing of the caller", propagation: mesh.PerCall(), code: codes.Unauthenticated},
		{name: "anonymous sends nothing", propagation: mesh.Anonymous(), code: codes.Unauthenticated},
		{name: "a handler cannot exchange a forwarded token by the edge's means", propagation: mesh.Forward(), change: func(ctx context.Context) context.Context { return mesh.WithBearer(ctx, bob) }, want: "user u-alice via web"},
		{name: "a handler cannot set a token", propagation: mesh.Forward(), change: outgoing("Authorization", "Bearer "+bob), code: codes.Internal},
		{name: "a handler cannot set a token where none is sent", propagation: mesh.Anonymous(), change: outgoing("authorization", "Bearer "+bob), code: codes.Internal},
		{name: "a handler cannot send its caller's metadata on", propagation: mesh.AsService(iss.Source(t, "customer")), change: func(ctx context.Context) context.Context {
			md, _ := metadata.FromIncomingContext(ctx)
			return metadata.NewOutgoingContext(ctx, md)
		}, code: codes.Internal},
		{name: "a handler cannot change the request id", propagation: mesh.Forward(), change: outgoing("x-request-id", "other"), code: codes.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := chain(t, iss, &echo{unary: whoami}, tt.propagation, tt.change)
			method := tt.method
			if method == "" {
				method = "Say"
			}
			got, err := say(meshtest.As(t.Context(), alice), conn, method, "")
			if got != tt.want || status.Code(err) != tt.code {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.code)
			}
		})
	}
}

// TestWorkOfAPartsOwnHasNoneOfItsCallersRights calls on as the part while an administrator is being served.
func TestWorkOfAPartsOwnHasNoneOfItsCallersRights(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	seen := make(chan mesh.Identity, 1)
	back := &echo{unary: func(ctx context.Context, in note) (note, error) {
		seen <- mesh.Caller(ctx)
		return in, nil
	}}
	conn := chain(t, iss, back, mesh.AsService(iss.Source(t, "customer")), nil)
	admin := iss.Token(t, meshtest.Claims{Subject: "u-root", ClientID: "web", SessionID: "s1", Roles: []string{"ADMIN"}, Scopes: []string{"admin"}, AuthTime: time.Now()})
	if _, err := say(meshtest.As(t.Context(), admin), conn, "Say", ""); err != nil {
		t.Fatal(err)
	}
	got := <-seen
	if got.Kind != mesh.KindWorkload || got.Subject != "customer" || got.ClientID != "customer" {
		t.Errorf("called on as %v", got)
	}
	if len(got.Roles)+len(got.Scopes)+len(got.Actors) > 0 || got.SessionID != "" || !got.AuthTime.IsZero() {
		t.Errorf("with rights of its caller: %+v", got)
	}
}

func TestOnlyTheTokenAndTheRequestsIDsTravelOn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	seen := make(chan metadata.MD, 1)
	conn := chain(t, iss, &echo{unary: func(ctx context.Context, _ note) (note, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
		return newNote(""), nil
	}}, mesh.Forward(), nil)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})),
		"x-request-id", "req-1", "traceparent", parent, "x-user-id", "u-admin", "cookie", "session=1", "x-forwarded-for", "1.2.3.4")
	if _, err := say(ctx, conn, "Say", ""); err != nil {
		t.Fatal(err)
	}
	md := <-seen
	if diff := cmp.Diff([]string{"req-1", parent, "test-client"}, slices.Concat(md.Get("x-request-id"), md.Get("traceparent"), md.Get("mesh-via"))); diff != "" {
		t.Errorf("what travelled on differs (-want +got):\n%s", diff)
	}
	for key := range md {
		switch key {
		case ":authority", "content-type", "user-agent", "grpc-accept-encoding", "authorization", "mesh-token-ref", "mesh-via", "x-request-id", "traceparent":
		default:
			t.Errorf("%s travelled on", key)
		}
	}
}

func TestARefusalOfThePartsOwnTokenIsNotItsCallersFault(t *testing.T) {
	iss, other := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	conn := chain(t, iss, &echo{unary: whoami}, mesh.AsService(other.Source(t, "customer")), nil)
	_, err := say(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Say", "")
	if status.Code(err) != codes.Unavailable || mesh.Reason(err) != "DEPENDENCY_DOWN" {
		t.Errorf("got %v", err)
	}
	conn = chain(t, iss, &echo{unary: whoami}, mesh.AsService(failing{}), nil)
	_, err = say(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Say", "")
	if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Token(context.Context) (string, error) {
	return "", errors.New("secret hunter2 refused")
}

func TestAConnectionIsNotDialled(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	for _, tt := range []struct {
		name string
		cfg  mesh.DialConfig
		want string
	}{
		{name: "over plaintext", cfg: mesh.DialConfig{Target: "x:1", Propagation: mesh.Forward()}, want: "not sent over plaintext"},
		{name: "without saying whose token", cfg: mesh.DialConfig{Target: "x:1", TLS: iss.CA.Client(t, "a")}, want: "Propagation is missing"},
		{name: "to nowhere", cfg: mesh.DialConfig{TLS: iss.CA.Client(t, "a"), Propagation: mesh.Forward()}, want: "Target is missing"},
		{name: "by a control plane, without the package for it", cfg: mesh.DialConfig{Target: "xds:///x", TLS: iss.CA.Client(t, "a"), Propagation: mesh.Forward()}, want: "takes package mesh/xds"},
		{name: "with TLS and plaintext", cfg: mesh.DialConfig{Target: "x:1", TLS: iss.CA.Client(t, "a"), Insecure: true, Propagation: mesh.Forward()}, want: "exclude each other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := mesh.Dial(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPlaintextWorksOnlyWhereBothSidesSaySo(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.TLS, c.Insecure = nil, true }},
		(&echo{unary: whoami}).register)
	conn, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, Insecure: true, Propagation: mesh.PerCall()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := say(mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Say", "")
	if err != nil || got != "user u-test via test-client" {
		t.Errorf("got %q, %v", got, err)
	}
	// A workload cannot prove its name without a certificate.
	if _, err := say(mesh.WithBearer(t.Context(), iss.Workload(t, "customer")), conn, "Internal", ""); status.Code(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
	tlsConn := srv.Connect(t, "customer", mesh.PerCall())
	if _, err := say(t.Context(), tlsConn, "Open", ""); status.Code(err) != codes.Unavailable {
		t.Errorf("TLS to plaintext: got %v", err)
	}
}

func TestAHandshakeFails(t *testing.T) {
	iss, other := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	expired := expiredCertificate(t, iss)
	for _, tt := range []struct {
		name   string
		change func(*tls.Config)
	}{
		{name: "without a certificate", change: func(c *tls.Config) { c.Certificates = nil }},
		{name: "with a certificate of another CA", change: func(c *tls.Config) { c.Certificates = []tls.Certificate{other.CA.Certificate(t, "customer")} }},
		{name: "with a certificate that has expired", change: func(c *tls.Config) { c.Certificates = []tls.Certificate{expired} }},
		{name: "below TLS 1.3", change: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }},
		{name: "where the server is of another CA", change: func(c *tls.Config) { c.RootCAs = other.CA.Client(t, "").RootCAs }},
		{name: "where the server has another name", change: func(c *tls.Config) { c.ServerName = "customer" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := iss.CA.Client(t, "customer")
			tt.change(c)
			conn, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, TLS: c, Propagation: mesh.Anonymous()})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := say(t.Context(), conn, "Open", ""); status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOnlyReadsAreTriedAgain(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var calls atomic.Int64
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(context.Context, note) (note, error) {
		if calls.Add(1) < 3 {
			return newNote(""), mesh.Unavailable("the database")
		}
		return newNote("done"), nil
	}}).register)
	for _, tt := range []struct {
		method string
		calls  int64
		code   codes.Code
	}{{"Read", 3, codes.OK}, {"Say", 1, codes.Unavailable}} {
		calls.Store(0)
		conn := srv.Connect(t, "customer", mesh.PerCall())
		_, err := say(mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{})), conn, tt.method, "")
		if status.Code(err) != tt.code || calls.Load() != tt.calls {
			t.Errorf("%s: got %v after %d calls; want %v after %d", tt.method, err, calls.Load(), tt.code, tt.calls)
		}
	}
}

func TestACallWithoutADeadlineGetsOne(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, _ note) (note, error) {
		deadline, _ := ctx.Deadline()
		return newNote(fmt.Sprint(time.Until(deadline).Round(5 * time.Second))), nil
	}}).register)
	conn := srv.Connect(t, "customer", mesh.PerCall())
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{}))
	if got, err := say(ctx, conn, "Say", ""); err != nil || got != "10s" {
		t.Errorf("got %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if got, err := say(ctx, conn, "Say", ""); err != nil || got != "5s" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestACallFailsAtOnceWhileNobodyListens(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	conn, err := mesh.Dial(mesh.DialConfig{Target: "127.0.0.1:1", TLS: iss.CA.Client(t, "customer"), Propagation: mesh.Anonymous()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now() // a call that waits has 10 seconds
	_, err = say(t.Context(), conn, "Say", "")
	if status.Code(err) != codes.Unavailable || time.Since(start) > 8*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

func TestALongStreamOfThePartsOwnEndsWithItsTokenQuietly(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	set := revocation.NewSet(revocation.Config{})
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Revocations = set }}, (&echo{stream: func(s grpc.ServerStream) error {
		if err := s.SendMsg(newNote("hello").Message); err != nil {
			return err
		}
		<-s.Context().Done()
		return nil
	}}).register)
	source := &shortLived{token: iss.Token(t, meshtest.Claims{Subject: "c", Kind: mesh.KindClient, TokenID: "t1"})}
	lines := &logs{}
	conn, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.AsService(source), Logger: lines.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream := open(t, t.Context(), conn, "Watch")
	if err := stream.RecvMsg(newNote("").Message); err != nil {
		t.Fatal(err)
	}
	if err := set.Add(revocation.Entry{Kind: revocation.Token, Value: "t1"}); err != nil {
		t.Fatal(err)
	}
	if err := end(stream); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if source.refused.Load() != 0 || lines.String() != "" {
		t.Errorf("it was taken for a refusal: %s", lines)
	}
	source.token = "bad"
	if err := end(open(t, t.Context(), conn, "Watch")); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if source.refused.Load() != 1 || !strings.Contains(lines.String(), "refuses this part's own token") {
		t.Errorf("a refusal was not noticed: %s", lines)
	}
}

type shortLived struct {
	token   string
	refused atomic.Int64
}

func (s *shortLived) Token(context.Context) (string, error) { return s.token, nil }
func (s *shortLived) Refused(string)                        { s.refused.Add(1) }
