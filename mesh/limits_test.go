package mesh_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// shedding counts what a server sheds.
type shedding struct {
	mu   sync.Mutex
	what map[string]int
}

func (s *shedding) add(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.what == nil {
		s.what = map[string]int{}
	}
	s.what[what]++
}

func (s *shedding) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.what[what]
}

// asked is a verifier that counts what it is asked.
type asked struct {
	mesh.Verifier
	n atomic.Int64
}

func (a *asked) Verify(ctx context.Context, token string) (mesh.Identity, error) {
	a.n.Add(1)
	return a.Verifier.Verify(ctx, token)
}

func demandOverloaded(t *testing.T, err error) {
	t.Helper()
	st := status.Convert(err)
	after := time.Duration(0)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			after = info.GetRetryDelay().AsDuration()
		}
	}
	if st.Code() != codes.Unavailable || mesh.Reason(err) != "OVERLOADED" || after != time.Second {
		t.Errorf("got %v (%s), retry after %v", err, mesh.Reason(err), after)
	}
}

func TestWhatIsBeyondTheLimitIsShedBeforeItCosts(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var verifier *asked
	shed, lines := &shedding{}, &logs{}
	inside, goOn := make(chan struct{}, 10), make(chan struct{})
	hold := func(ctx context.Context) {
		inside <- struct{}{}
		select {
		case <-goOn:
		case <-ctx.Done():
		}
	}
	e := &echo{
		unary:  func(ctx context.Context, _ note) (note, error) { hold(ctx); return newNote("done"), nil },
		stream: func(s grpc.ServerStream) error { hold(s.Context()); return nil },
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{Calls: 2, Queue: 1, QueueTime: time.Minute, Streams: 2}
		verifier = &asked{Verifier: c.Verifier}
		c.Verifier, c.Shed, c.Logger = verifier, shed.add, lines.logger()
	}}, e.register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	answers := make(chan error, 10)
	call := func() { _, err := say(ctx, conn, "Say", ""); answers <- err }
	for range 2 {
		go call()
		<-inside
	}
	for range 2 {
		open(t, ctx, conn, "Watch")
		<-inside
	}
	go call() // it waits in the queue, or is the one that is shed
	go call()
	demandOverloaded(t, <-answers)
	if got, want := srv.Mesh.Load(), (mesh.Load{Calls: 2, CallLimit: 2, Waiting: 1, Streams: 2, StreamLimit: 2}); got != want {
		t.Errorf("under way is %+v, want %+v", got, want)
	}
	before := verifier.n.Load()
	if _, err := say(ctx, conn, "Say", ""); true {
		demandOverloaded(t, err)
	}
	demandOverloaded(t, end(open(t, ctx, conn, "Watch")))
	if n := verifier.n.Load(); n != before {
		t.Errorf("%d tokens were verified for nothing", n-before)
	}
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("a health check: %v", err)
	}
	awaitHealth(t, conn, healthv1.HealthCheckResponse_SERVING)
	close(goOn)
	for range 3 {
		if err := <-answers; err != nil {
			t.Errorf("one that was let in, or waited: %v", err)
		}
	}
	if shed.count(mesh.ShedCall) != 2 || shed.count(mesh.ShedStream) != 1 {
		t.Errorf("counted %v", shed.what)
	}
	if got := lines.String(); countOf(got, "too much to do") != 1 || countOf(got, "level=WARN") != 1 {
		t.Errorf("the log:\n%s", got)
	}
}

// TestAQueueServesEverybodyInTheEnd has many more callers than places.
func TestAQueueServesEverybodyInTheEnd(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var inside, most atomic.Int64
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{Calls: 3, Queue: 500, QueueTime: time.Minute}
	}}, (&echo{unary: func(context.Context, note) (note, error) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return newNote(""), nil
	}}).register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for range 5 {
				if _, err := say(ctx, conn, "Say", ""); err != nil {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	all.Wait()
	if most.Load() > 3 {
		t.Errorf("%d at a time", most.Load())
	}
}

func TestWhoGivesUpWaitingTakesNoPlace(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	inside, goOn := make(chan struct{}, 10), make(chan struct{}, 10)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{Calls: 1, Queue: 10, QueueTime: 20 * time.Millisecond}
	}}, (&echo{unary: func(context.Context, note) (note, error) {
		inside <- struct{}{}
		<-goOn
		return newNote(""), nil
	}}).register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	first := make(chan error, 1)
	go func() { _, err := say(ctx, conn, "Say", ""); first <- err }()
	<-inside
	for range 3 {
		_, err := say(ctx, conn, "Say", "")
		demandOverloaded(t, err)
	}
	goOn <- struct{}{}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	goOn <- struct{}{}
	if _, err := say(ctx, conn, "Say", ""); err != nil {
		t.Errorf("the place is lost: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	shed := &shedding{}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{Connections: 2}
		c.Shed = shed.add
	}}, (&echo{unary: whoami}).register)
	call := func(conn *grpc.ClientConn) error { _, err := say(t.Context(), conn, "Open", ""); return err }
	first, second, third := srv.Dial(t), srv.Dial(t), srv.Dial(t)
	for _, conn := range []*grpc.ClientConn{first, second} {
		if err := call(conn); err != nil {
			t.Fatal(err)
		}
	}
	if err := call(third); status.Code(err) != codes.Unavailable || shed.count(mesh.ShedConnection) == 0 {
		t.Errorf("one too many: got %v", err)
	}
	if err := call(first); err != nil {
		t.Errorf("those that were there: %v", err)
	}
	first.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := third.Invoke(ctx, "/test.mesh.v1.Echo/Open", newNote("").Message, newNote("").Message, grpc.WaitForReady(true))
	if err != nil {
		t.Errorf("the place of one that went was not given on: %v", err)
	}
}

// TestWhoNeverFinishesTheHandshakeKeepsNobodyOut has as many idle connections as there may be handshakes, and more.
func TestWhoNeverFinishesTheHandshakeKeepsNobodyOut(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	shed := make(chan string, 100)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{Handshakes: 5, HandshakeTime: time.Minute}
		c.Shed = func(what string) { shed <- what }
	}}, (&echo{unary: whoami}).register)
	for range 20 {
		conn, err := net.Dial("tcp", srv.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range 15 {
		if what := <-shed; what != mesh.ShedHandshake {
			t.Errorf("it shed a %s", what)
		}
	}
	if _, err := say(t.Context(), srv.Dial(t), "Open", ""); err != nil {
		t.Errorf("an honest one: %v", err)
	}
}

func TestASlowHandshakeEnds(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{HandshakeTime: 50 * time.Millisecond}
	}}, (&echo{unary: whoami}).register)
	conn, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("it is open still: %v", err)
	}
}

// TestAHandshakeThatIsEndedAsItSucceedsTakesNoPlace ends one that needs nothing more of its connection.
func TestAHandshakeThatIsEndedAsItSucceedsTakesNoPlace(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	shed, verifying, goOn := make(chan string, 100), make(chan struct{}), make(chan struct{})
	var honest atomic.Bool
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Limits = mesh.Limits{Handshakes: 1, Connections: 2}
		c.Shed = func(what string) { shed <- what }
		c.TLS.SessionTicketsDisabled = true
		c.TLS.VerifyConnection = func(tls.ConnectionState) error {
			if !honest.Load() {
				verifying <- struct{}{}
				<-goOn
			}
			return nil
		}
	}}, (&echo{unary: whoami}).register)
	config := iss.CA.Client(t, "gateway")
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", srv.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-verifying
	next, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if what := <-shed; what != mesh.ShedHandshake {
		t.Fatalf("it shed a %s", what)
	}
	honest.Store(true)
	goOn <- struct{}{}
	next.Close()
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := srv.Dial(t).Invoke(ctx, "/test.mesh.v1.Echo/Open", newNote("").Message, newNote("").Message, grpc.WaitForReady(true))
		if err != nil {
			t.Errorf("a place is lost: %v", err)
		}
	}
}
