package mesh_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestAReplicaIsNotBlamedForWhatItsCallersDo(t *testing.T) {
	overloaded, err := status.New(codes.Unavailable, "").WithDetails(&errdetails.ErrorInfo{Domain: mesh.ErrorDomain, Reason: mesh.ReasonOverloaded})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		err    error
		blamed bool
	}{
		{name: "it cannot work", err: mesh.Unavailable("the database"), blamed: true},
		{name: "it has a fault", err: status.Error(codes.Internal, ""), blamed: true},
		{name: "it says nothing that we know", err: status.Error(codes.Unknown, ""), blamed: true},
		{name: "it has lost something", err: status.Error(codes.DataLoss, ""), blamed: true},
		{name: "it has too much to do", err: overloaded.Err()},
		{name: "it refuses", err: mesh.PermissionDenied("ROLE_MISSING", "no")},
		{name: "its caller is nobody", err: mesh.Unauthenticated("UNAUTHENTICATED")},
		{name: "its caller gives up", err: status.Error(codes.DeadlineExceeded, "")},
		{name: "it works", err: nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mesh.IsFailure(tt.err); got != tt.blamed {
				t.Errorf("blamed: %v", got)
			}
		})
	}
}

// replica is one server of several behind one connection. It ends by stop, or with its test.
type replica struct {
	addr  string
	calls atomic.Int64
	mesh  *mesh.Server
	stop  func() error
}

func startReplica(t *testing.T, iss *meshtest.Issuer, unary func(ctx context.Context, in note) (note, error)) *replica {
	t.Helper()
	r := &replica{}
	server, err := mesh.NewServer(mesh.ServerConfig{
		Name: "echo", TLS: iss.CA.Server(t, "echo"), Verifier: iss.Verifier(t, "echo"), Revocations: mesh.NoRevocations(),
		Logger: meshtest.Logger(t), DrainTime: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	(&echo{unary: func(ctx context.Context, in note) (note, error) { r.calls.Add(1); return unary(ctx, in) }}).register(server)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, lis) }()
	r.addr, r.mesh = lis.Addr().String(), server
	r.stop = sync.OnceValue(func() error { cancel(); return <-served })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r
}

// dialAll connects to several replicas as one.
func dialAll(t *testing.T, iss *meshtest.Issuer, replicas ...*replica) *grpc.ClientConn {
	t.Helper()
	return dialTelling(t, iss, nil, replicas...)
}

// dialTelling does, and has ejected be told of each that is passed over.
func dialTelling(t *testing.T, iss *meshtest.Issuer, ejected func(string, time.Duration), replicas ...*replica) *grpc.ClientConn {
	t.Helper()
	var addresses []string
	for _, r := range replicas {
		addresses = append(addresses, r.addr)
	}
	conn, err := mesh.Dial(mesh.DialConfig{
		Target: strings.Join(addresses, ","), TLS: iss.CA.Client(t, "customer"), Propagation: mesh.PerCall(), Logger: meshtest.Logger(t), Ejected: ejected,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// reached calls until every replica has answered.
func reached(t *testing.T, ctx context.Context, conn *grpc.ClientConn, replicas ...*replica) {
	t.Helper()
	for range 10_000 {
		missing := false
		for _, r := range replicas {
			missing = missing || r.calls.Load() == 0
		}
		if !missing {
			return
		}
		err := conn.Invoke(ctx, "/test.mesh.v1.Echo/Say", newNote("").Message, newNote("").Message, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("some replica is never asked")
}

func answers(context.Context, note) (note, error) { return newNote("done"), nil }

func TestCallsAreSpreadOverAListOfAddresses(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	a, b, c := startReplica(t, iss, answers), startReplica(t, iss, answers), startReplica(t, iss, answers)
	conn := dialAll(t, iss, a, b, c)
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{}))
	reached(t, ctx, conn, a, b, c)
	before := [3]int64{a.calls.Load(), b.calls.Load(), c.calls.Load()}
	for range 30 {
		if _, err := say(ctx, conn, "Say", ""); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range []*replica{a, b, c} {
		if got := r.calls.Load() - before[i]; got != 10 {
			t.Errorf("replica %d got %d of 30", i, got)
		}
	}
	for _, target := range []string{"a:1,b", "a:1,", ",", "a:1,:2"} {
		_, err := mesh.Dial(mesh.DialConfig{Target: target, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.PerCall()})
		if err == nil || !strings.Contains(err.Error(), "is not an address") {
			t.Errorf("%q: got %v", target, err)
		}
	}
}

func TestABrokenReplicaIsNotAskedForLong(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var broken atomic.Bool
	bad := startReplica(t, iss, func(context.Context, note) (note, error) {
		if broken.Load() {
			return newNote(""), mesh.Unavailable("the database")
		}
		return newNote(""), nil
	})
	good := startReplica(t, iss, answers)
	told := make(chan string, 10)
	conn := dialTelling(t, iss, func(address string, pause time.Duration) { told <- address + " " + pause.String() }, bad, good)
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{}))
	reached(t, ctx, conn, bad, good)
	broken.Store(true)
	failed := 0
	for range 100 {
		if _, err := say(ctx, conn, "Say", ""); err != nil {
			failed++
		}
	}
	if failed == 0 || failed > 20 { // it has worked before, in the same ten seconds
		t.Errorf("%d of 100 calls failed", failed)
	}
	if got := <-told; got != bad.addr+" 5s" {
		t.Errorf("told of %s", got)
	}
	for range 20 {
		if _, err := say(ctx, conn, "Say", ""); err != nil {
			t.Errorf("after that: %v", err)
		}
	}
}

func TestAReplicaThatSaysItDoesNotServeIsNotAsked(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	a, b := startReplica(t, iss, answers), startReplica(t, iss, answers)
	conn := dialAll(t, iss, a, b)
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{}))
	reached(t, ctx, conn, a, b)
	a.mesh.SetServing(false)
	quiet := 0
	for last := a.calls.Load(); quiet < 50; {
		if _, err := say(ctx, conn, "Say", ""); err != nil {
			t.Fatal(err)
		}
		if now := a.calls.Load(); now != last {
			last, quiet = now, 0
		} else {
			quiet++
		}
	}
	a.mesh.SetServing(true)
	a.calls.Store(0)
	reached(t, ctx, conn, a)
}

// TestNoCallFailsWhileAReplicaDrains calls without pause while one of two replicas shuts down, and is replaced.
func TestNoCallFailsWhileAReplicaDrains(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	a, b := startReplica(t, iss, answers), startReplica(t, iss, answers)
	conn := dialAll(t, iss, a, b)
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{}))
	reached(t, ctx, conn, a, b)
	calling, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var calls atomic.Int64
	for range 8 {
		callers.Go(func() {
			for calling.Err() == nil {
				if _, err := say(ctx, conn, "Say", ""); err != nil { // which is not one that is tried again
					t.Errorf("got %v", err)
					return
				}
				calls.Add(1)
			}
		})
	}
	until := func(enough int64) {
		for calls.Load() < enough && !t.Failed() {
			if _, err := say(ctx, conn, "Say", ""); err != nil {
				t.Errorf("got %v", err)
			}
		}
	}
	until(200)
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	until(calls.Load() + 200)
	stop()
	callers.Wait()
}

func TestWhatAServerSaysAfterTheLastRetryIsHandedOn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(context.Context, note) (note, error) {
		return newNote(""), mesh.Unavailable("the database")
	}}).register)
	conn := srv.Connect(t, "customer", mesh.PerCall())
	_, err := say(mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Read", "")
	if st := status.Convert(err); st.Code() != codes.Unavailable || mesh.Reason(err) != "DEPENDENCY_DOWN" || st.Message() != "the database cannot be reached now" {
		t.Errorf("got %v (%s)", err, mesh.Reason(err))
	}
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); !ok { //nolint:errorlint // it must be one, not wrap one
		t.Errorf("it is a %T", err)
	}
}

// TestRetriesStopWhereAllFail shows the budget: a peer in trouble is not asked three times for each call.
func TestRetriesStopWhereAllFail(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var asked atomic.Int64
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(context.Context, note) (note, error) {
		asked.Add(1)
		return newNote(""), mesh.Unavailable("the database")
	}}).register)
	conn := srv.Connect(t, "customer", mesh.PerCall())
	for range 40 {
		_, err := say(mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Read", "")
		if status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
	}
	if got := asked.Load(); got > 60 {
		t.Errorf("40 calls became %d", got)
	}
}

func TestHealthIsIgnoredWhereThatIsSaid(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	r := startReplica(t, iss, answers)
	conn, err := mesh.Dial(mesh.DialConfig{Target: r.addr, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.PerCall(), IgnoreHealth: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r.mesh.SetServing(false)
	if _, err := say(mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Say", ""); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAMethodHasADeadlineOfItsOwn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, _ note) (note, error) {
		deadline, _ := ctx.Deadline()
		return newNote(time.Until(deadline).Round(5 * time.Second).String()), nil
	}}).register)
	conn, err := mesh.Dial(mesh.DialConfig{
		Target: srv.Addr, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.PerCall(),
		Timeouts: map[string]time.Duration{"/test.mesh.v1.Echo/Say": 20 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{}))
	for method, want := range map[string]string{"Say": "20s", "Read": "10s"} {
		if got, err := say(ctx, conn, method, ""); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", method, got, err, want)
		}
	}
}
