package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// told is what a call's handler was sent as its authorization, and who it was let in as.
type told struct{ authorization, caller string }

// teller answers with what it was told, unary and stream.
func teller() (*echo, func() told) {
	var mu sync.Mutex
	var last told
	tell := func(ctx context.Context) string {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		last = told{authorization: strings.Join(md.Get("authorization"), ","), caller: mesh.Caller(ctx).String()}
		return last.caller
	}
	return &echo{
			unary:  func(ctx context.Context, _ note) (note, error) { return newNote(tell(ctx)), nil },
			stream: func(s grpc.ServerStream) error { return s.SendMsg(newNote(tell(s.Context())).Message) },
		}, func() told {
			mu.Lock()
			defer mu.Unlock()
			return last
		}
}

// as calls Say as somebody over a connection of an edge.
func as(ctx context.Context, conn *grpc.ClientConn, token string) (string, error) {
	return say(mesh.WithBearer(ctx, token), conn, "Say", "")
}

func TestATokenTravelsOnceOverAConnection(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	back, last := teller()
	conn := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, back.register).Connect(t, "gateway", mesh.PerCall())
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})
	var reference string
	for n := range 3 {
		if _, err := as(t.Context(), conn, alice); err != nil {
			t.Fatal(err)
		}
		got := last()
		if want := n == 0; strings.Contains(got.authorization, alice) != want {
			t.Errorf("call %d: the token was sent: %v, want %v", n, !want, want)
		}
		if got.caller != "user u-alice via web" {
			t.Errorf("call %d: by %s", n, got.caller)
		}
		reference = got.authorization
	}
	t.Run("by a stream too", func(t *testing.T) {
		s := open(t, mesh.WithBearer(t.Context(), alice), conn, "Watch")
		if err := s.RecvMsg(newNote("").Message); err != nil || last() != (told{reference, "user u-alice via web"}) {
			t.Errorf("got %v, %v", last(), err)
		}
	})
	t.Run("and its reference stands for nothing elsewhere", func(t *testing.T) {
		srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami, stream: back.stream}).register)
		for name, conn := range map[string]*grpc.ClientConn{"a workload": srv.DialAs(t, "customer"), "a client": srv.Dial(t)} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", reference)
			if _, err := say(ctx, conn, "Say", ""); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
			if err := open(t, ctx, conn, "Watch").RecvMsg(newNote("").Message); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s, stream: %v", name, err)
			}
		}
	})
}

func TestAReferenceIsRefusedAsItsTokenWouldBe(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var late atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	set := revocation.NewSet(revocation.Config{})
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Revocations, c.Now = set, now
	}}, (&echo{unary: whoami}).register)
	conn := srv.Connect(t, "gateway", mesh.PerCall())
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice", SessionID: "s1", AuthTime: time.Now()})
	for range 2 {
		if _, err := say(mesh.WithBearer(t.Context(), alice), conn, "Fresh", ""); err != nil {
			t.Fatal(err)
		}
	}
	late.Store(int64(6 * time.Minute))
	if _, err := say(mesh.WithBearer(t.Context(), alice), conn, "Fresh", ""); mesh.Reason(err) != mesh.ReasonStepUp {
		t.Errorf("of a sign-in that is too long ago: %v", err)
	}
	if err := set.Add(revocation.Entry{Kind: revocation.Session, Value: "s1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := as(t.Context(), conn, alice); mesh.Reason(err) != string(mesh.TokenEnded) {
		t.Errorf("of a session that ended: %v", err)
	}
}

// TestManyCallersOfOneConnectionStayApart has many more callers than a connection can keep the tokens of in flight.
func TestManyCallersOfOneConnectionStayApart(t *testing.T) {
	const callers, rounds = 300, 5
	iss := meshtest.NewIssuer(t)
	conn := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register).Connect(t, "gateway", mesh.PerCall())
	var work sync.WaitGroup
	for c := range callers {
		want := fmt.Sprintf("user u-%d via web", c)
		token := iss.Token(t, meshtest.Claims{Subject: fmt.Sprintf("u-%d", c), ClientID: "web"})
		work.Go(func() {
			for range rounds {
				if got, err := as(t.Context(), conn, token); got != want || err != nil {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
			}
		})
	}
	work.Wait()
}

func TestOnlyAWorkloadsTokensAreKept(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	back, last := teller()
	conn := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.WorkloadIDs = workloadIDs(t, "spiffe://elsewhere/{part}") }},
		back.register).Connect(t, "gateway", mesh.PerCall())
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice"})
	for range 3 {
		if _, err := as(t.Context(), conn, alice); err != nil || !strings.Contains(last().authorization, alice) {
			t.Fatalf("got %v, %v", last().caller, err)
		}
	}
}

// TestAServerThatKeepsNothingIsAskedNoMore calls a server that is none of ours.
func TestAServerThatKeepsNothingIsAskedNoMore(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	asked := make(chan bool, 1)
	addr := foreign(t, iss, func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		asked <- len(md.Get("mesh-token-ref")) > 0
		return s.SendMsg(&emptypb.Empty{})
	})
	conn, err := mesh.Dial(mesh.DialConfig{Target: addr, TLS: iss.CA.Client(t, "gateway"), Propagation: mesh.PerCall()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	times := 0
	for range 100 {
		if _, err := as(t.Context(), conn, "opaque"); err != nil {
			t.Fatal(err)
		}
		if <-asked {
			times++
		}
	}
	if times == 0 || times == 100 {
		t.Errorf("asked %d times of 100", times)
	}
}

// TestWhoSpreadsAConnectionIsNoticed has something between that sends the calls of one connection to two servers in turn.
func TestWhoSpreadsAConnectionIsNoticed(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	back, _ := teller()
	var servers [2]*grpc.ClientConn
	for i := range servers {
		servers[i] = meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, back.register).DialAs(t, "gateway")
	}
	var turn atomic.Int64
	addr := foreign(t, iss, func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		method, _ := grpc.MethodFromServerStream(s)
		var in, out emptypb.Empty
		if err := s.RecvMsg(&in); err != nil {
			return err
		}
		var trailer metadata.MD
		err := servers[turn.Add(1)%2].Invoke(metadata.NewOutgoingContext(s.Context(), md), method, &in, &out, grpc.Trailer(&trailer))
		s.SetTrailer(trailer)
		if err != nil {
			return err
		}
		return s.SendMsg(&out)
	})
	dial := func() *grpc.ClientConn {
		conn, err := mesh.Dial(mesh.DialConfig{Target: addr, TLS: iss.CA.Client(t, "gateway"), Propagation: mesh.PerCall()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})
	t.Run("a call is made again", func(t *testing.T) {
		conn := dial()
		for range 5 {
			if got, err := as(t.Context(), conn, alice); got != "user u-alice via web" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	})
	t.Run("a stream can be opened again", func(t *testing.T) {
		conn := dial()
		if _, err := as(t.Context(), conn, alice); err != nil {
			t.Fatal(err)
		}
		err := open(t, mesh.WithBearer(t.Context(), alice), conn, "Say").RecvMsg(newNote("").Message)
		if status.Code(err) != codes.Unavailable {
			t.Errorf("the first: %v", err)
		}
		err = open(t, mesh.WithBearer(t.Context(), alice), conn, "Say").RecvMsg(newNote("").Message)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("the next: %v", err)
		}
	})
}

// foreign is a grpc.Server without anything of ours, every method of which is handler.
func foreign(t *testing.T, iss *meshtest.Issuer, handler grpc.StreamHandler) (addr string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	withoutHealth := func(srv any, s grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(s); strings.HasPrefix(method, "/grpc.health.v1.Health/") {
			return status.Error(codes.Unimplemented, "there is no health service")
		}
		return handler(srv, s)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(iss.CA.Server(t, "echo"))), grpc.UnknownServiceHandler(withoutHealth))
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return lis.Addr().String()
}

// TestWhateverIsNamedIsKept has somewhat more callers than there is room for, who come again in no order.
func TestWhateverIsNamedIsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	named, unknown := mesh.Named(func(yield func(string) bool) {
		for range 20 * mesh.MaxKept {
			if !yield(strconv.Itoa(random.IntN(mesh.MaxKept + 1000))) {
				return
			}
		}
	})
	if named == 0 || unknown > 0 {
		t.Errorf("%d of %d references are not known", unknown, named)
	}
}

// TestRefusedCallsDoNotEndReferences has more refusals on a new connection than there may be calls without an answer.
func TestRefusedCallsDoNotEndReferences(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	back, last := teller()
	conn := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, back.register).Connect(t, "gateway", mesh.PerCall())
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})
	for range 100 {
		if _, err := say(mesh.WithBearer(t.Context(), alice), conn, "Admin", ""); status.Code(err) != codes.PermissionDenied {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := as(t.Context(), conn, alice); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(last().authorization, alice) {
		t.Error("the token was sent again")
	}
}

// TestACallIsMadeAgainByAConnectionThatNamesTheTokenToo has something between two connections and their server that comes
// back to it by another connection.
func TestACallIsMadeAgainByAConnectionThatNamesTheTokenToo(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	back, last := teller()
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, back.register)
	var behind atomic.Pointer[grpc.ClientConn]
	behind.Store(srv.DialAs(t, "gateway"))
	between := func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		method, _ := grpc.MethodFromServerStream(s)
		var in, out emptypb.Empty
		if err := s.RecvMsg(&in); err != nil {
			return err
		}
		var trailer metadata.MD
		err := behind.Load().Invoke(metadata.NewOutgoingContext(s.Context(), md), method, &in, &out, grpc.Trailer(&trailer))
		s.SetTrailer(trailer)
		if err != nil {
			return err
		}
		return s.SendMsg(&out)
	}
	conn, err := mesh.Dial(mesh.DialConfig{
		Target: foreign(t, iss, between) + "," + foreign(t, iss, between), TLS: iss.CA.Client(t, "gateway"), Propagation: mesh.PerCall(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	alice := iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})
	for named := 0; named < 10; named++ {
		if _, err := as(t.Context(), conn, alice); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(last().authorization, alice) {
			named = 0
		}
	}
	behind.Store(srv.DialAs(t, "gateway"))
	for range 4 {
		if got, err := as(t.Context(), conn, alice); got != "user u-alice via web" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// workloadIDs reads a form of SPIFFE ids.
func workloadIDs(t *testing.T, form string) mesh.WorkloadIDs {
	t.Helper()
	ids, err := mesh.ParseWorkloadIDs(form)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
