package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// logs collects log lines.
type logs struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestAServerDoesNotStart(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	good := func() mesh.ServerConfig {
		return mesh.ServerConfig{
			Name: "echo", TLS: iss.CA.Server(t, "echo"), Verifier: iss.Verifier(t, "echo"),
			Revocations: mesh.NoRevocations(), Logger: meshtest.Logger(t),
		}
	}
	for _, tt := range []struct {
		name     string
		change   func(*mesh.ServerConfig)
		register *grpc.ServiceDesc
		want     string
	}{
		{name: "without a name", change: func(c *mesh.ServerConfig) { c.Name = "" }, want: "Name is missing"},
		{name: "without TLS", change: func(c *mesh.ServerConfig) { c.TLS = nil }, want: "TLS is missing"},
		{name: "with TLS and plaintext", change: func(c *mesh.ServerConfig) { c.Insecure = true }, want: "exclude each other"},
		{name: "without a verifier", change: func(c *mesh.ServerConfig) { c.Verifier = nil }, want: "Verifier is missing"},
		{name: "without revocations", change: func(c *mesh.ServerConfig) { c.Revocations = nil }, want: "Revocations is missing"},
		{name: "without a log", change: func(c *mesh.ServerConfig) { c.Logger = nil }, want: "Logger is missing"},
		{name: "with a pass-through to nowhere", change: func(c *mesh.ServerConfig) { c.PassThrough = &mesh.PassThrough{} }, want: "PassThrough.Handler is missing"},
		{name: "with a service that has no descriptor", register: &grpc.ServiceDesc{ServiceName: "test.None", HandlerType: (*any)(nil)}, want: "service test.None"},
		{name: "with a method that is not in the descriptor", register: &grpc.ServiceDesc{
			ServiceName: "test.mesh.v1.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "More"}},
		}, want: "/test.mesh.v1.Echo/More"},
		{name: "with methods that have no rule", register: &grpc.ServiceDesc{ServiceName: "grpc.reflection.v1.ServerReflection", HandlerType: (*any)(nil)}, want: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo: there is none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good()
			if tt.change != nil {
				tt.change(&cfg)
			}
			srv, err := mesh.NewServer(cfg)
			if err == nil {
				echoFile()
				srv.RegisterService(tt.register, &echo{})
				lis, errListen := net.Listen("tcp", "127.0.0.1:0")
				if errListen != nil {
					t.Fatal(errListen)
				}
				err = srv.Serve(t.Context(), lis)
				if _, errDial := net.Dial("tcp", lis.Addr().String()); errDial == nil {
					t.Error("the port is open still")
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOnlyHealthAnswersWithoutARule(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))

	awaitHealth(t, conn, healthv1.HealthCheckResponse_SERVING)
	for _, service := range []string{"", "test.mesh.v1.Echo"} {
		got, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: got %v, %v", service, got, err)
		}
	}
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "liveness"}); status.Code(err) != codes.NotFound {
		t.Errorf("health of a service that is not here: got %v", err)
	}
	srv.Mesh.SetServing(false)
	got, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health: got %v, %v", got, err)
	}
	for _, name := range []string{
		"/test.mesh.v1.Echo/Nothing", "/test.Nothing/Say", "test.mesh.v1.Echo/Say", "//test.mesh.v1.Echo/Say", "/test.mesh.v1.Echo/Say/x", "/",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"/grpc.channelz.v1.Channelz/GetServers",
	} {
		err := conn.Invoke(ctx, name, newNote("").Message, newNote("").Message)
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: got %v, want Unimplemented", name, err)
		}
	}
}

// awaitHealth waits until a server says this about itself.
// early is a verifier who, when first asked whether it can work, finds out what callers are told meanwhile.
type early struct {
	mesh.Verifier
	find func()
	once sync.Once
}

func (e *early) Ready() bool {
	e.once.Do(e.find)
	return true
}

func TestNobodyIsSentAwayByAServerThatStarts(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(iss.CA.Client(t, "gateway"))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	find := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if got, err := healthCheck(ctx, conn); err == nil {
			t.Errorf("before it has looked, it says %v", got.GetStatus())
		}
	}
	server, err := mesh.NewServer(mesh.ServerConfig{
		Name: "echo", TLS: iss.CA.Server(t, "echo"), Verifier: &early{Verifier: iss.Verifier(t, "echo"), find: find},
		Revocations: mesh.NoRevocations(), Logger: meshtest.Logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, lis) }()
	defer func() { <-done }()
	defer cancel()
	got, err := healthCheck(t.Context(), conn)
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", got, err)
	}
}

func awaitHealth(t *testing.T, conn *grpc.ClientConn, want healthv1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		got, err := stream.Recv()
		if err != nil {
			t.Fatalf("wait for %v: %v", want, err)
		}
		if got.GetStatus() == want {
			return
		}
	}
}

func TestAServerWithoutKeysIsNotServingAndAnswersUnavailable(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	iss.SetDown(true)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	conn := srv.Dial(t)
	awaitHealth(t, conn, healthv1.HealthCheckResponse_NOT_SERVING)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	if _, err := say(ctx, conn, "Say", ""); status.Code(err) != codes.Unavailable || mesh.Reason(err) != "DEPENDENCY_DOWN" {
		t.Errorf("got %v", err)
	}
	iss.SetDown(false)
	awaitHealth(t, conn, healthv1.HealthCheckResponse_SERVING)
	if _, err := say(ctx, conn, "Say", ""); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestReflectionAnswersWhereItIsSwitchedOn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Reflection = true }},
		(&echo{unary: whoami}).register)
	stream, err := grpc_reflection_v1.NewServerReflectionClient(srv.Dial(t)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream.Recv()
	if err != nil || !strings.Contains(got.String(), "test.mesh.v1.Echo") {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := say(t.Context(), srv.Dial(t), "Say", ""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection opened other methods: %v", err)
	}
}

func TestOnlyErrorsThatAreMeantForCallersLeave(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	const secret = "password=hunter2"
	var fail func(ctx context.Context) error
	e := &echo{
		unary:  func(ctx context.Context, _ note) (note, error) { return newNote(""), fail(ctx) },
		stream: func(s grpc.ServerStream) error { return fail(s.Context()) },
	}
	lines := &logs{}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Logger = lines.logger() }}, e.register)
	conn := srv.Dial(t)
	foreign := func(code codes.Code) func(context.Context) error {
		return func(context.Context) error { return status.Error(code, secret) }
	}
	err := func(err error) func(context.Context) error { return func(context.Context) error { return err } }

	for _, tt := range []struct {
		name   string
		fail   func(context.Context) error
		want   codes.Code
		reason string
		text   string
	}{
		{name: "a plain error", fail: err(errors.New(secret)), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "an error of ours", fail: err(mesh.NotFound("system", "sys_1")), want: codes.NotFound, reason: "NOT_FOUND", text: "system not found"},
		{name: "an error that wraps one of ours", fail: err(fmt.Errorf("%s: %w", secret, mesh.NotFound("system", "sys_1"))), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "a bad field", fail: err(mesh.InvalidField("name", "must not be empty")), want: codes.InvalidArgument, reason: "INVALID_FIELD", text: "name: must not be empty"},
		{name: "a stale etag", fail: err(mesh.Aborted("ETAG_MISMATCH", "read it again")), want: codes.Aborted, reason: "ETAG_MISMATCH", text: "read it again"},
		{name: "a panic", fail: func(context.Context) error { panic(secret) }, want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "a nil dereference", fail: func(context.Context) error { var m map[string]int; m["x"] = 1; return nil }, want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "another's INTERNAL", fail: foreign(codes.Internal), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "another's UNKNOWN", fail: foreign(codes.Unknown), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "another's PERMISSION_DENIED without our reason", fail: foreign(codes.PermissionDenied), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "another's UNAUTHENTICATED without our reason", fail: foreign(codes.Unauthenticated), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "a connection that broke", fail: foreign(codes.Unavailable), want: codes.Unavailable, reason: "DEPENDENCY_DOWN", text: "a dependency cannot be reached now"},
		{name: "a call in turn that took too long", fail: foreign(codes.DeadlineExceeded), want: codes.DeadlineExceeded, reason: "DEADLINE_EXCEEDED", text: "the call took too long"},
		{name: "a deadline of the handler's own", fail: err(context.DeadlineExceeded), want: codes.Internal, reason: "INTERNAL", text: "internal error"},
		{name: "what grpc would take for success", fail: err(status.New(codes.OK, "").Err()), want: codes.OK},
	} {
		for _, kind := range []string{"Say", "Watch"} {
			t.Run(tt.name+" in "+kind, func(t *testing.T) {
				fail = tt.fail
				ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
				var got error
				if kind == "Say" {
					_, got = say(ctx, conn, kind, "")
				} else if got = open(t, ctx, conn, kind).RecvMsg(newNote("").Message); tt.want == codes.OK {
					return
				}
				st := status.Convert(got)
				if st.Code() != tt.want || mesh.Reason(got) != tt.reason || st.Message() != tt.text {
					t.Errorf("got %v (%s), want %v %q (%s)", got, mesh.Reason(got), tt.want, tt.text, tt.reason)
				}
				if strings.Contains(fmt.Sprint(st.Proto()), "hunter2") {
					t.Error("the caller is told what is ours")
				}
			})
		}
	}
	if !strings.Contains(lines.String(), "hunter2") || !strings.Contains(lines.String(), "server_test.go") {
		t.Error("the log does not say what happened and where")
	}
}

func TestTheLogNamesTheCallerAndTheTrueReasonButNoToken(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	lines := &logs{}
	var refused []string
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Logger = lines.logger()
		c.Decided = func(_ context.Context, d mesh.Decision) {
			if d.Cause != "" {
				refused = append(refused, d.Method+" "+d.Cause)
			}
		}
	}}, (&echo{unary: whoami}).register)
	conn := srv.Dial(t)
	good := iss.Token(t, meshtest.Claims{Subject: "u-alice", Name: "Alice Liddell", Email: "alice@acme.example"})
	old := iss.Token(t, meshtest.Claims{Subject: "u-alice", Expiry: time.Now().Add(-time.Hour)})
	for _, token := range []string{good, old, "secret-not-a-token"} {
		_, _ = say(metadata.AppendToOutgoingContext(meshtest.As(t.Context(), token), "x-request-id", "req-42"), conn, "Say", "")
	}
	got := lines.String()
	for _, want := range []string{"caller.sub=u-alice", "request_id=req-42", "code=OK", "code=Unauthenticated", "cause=expired", "cause=malformed", "part=echo"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
	for _, never := range append(strings.Split(good, "."), append(strings.Split(old, "."), "secret-not-a-token", "Liddell", "alice@")...) {
		if strings.Contains(got, never) {
			t.Errorf("the log has %q:\n%s", never, got)
		}
	}
	if strings.Count(got, "\n") != 3 {
		t.Errorf("not one line a call:\n%s", got)
	}
	want := []string{"/test.mesh.v1.Echo/Say expired", "/test.mesh.v1.Echo/Say malformed"}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refusals counted differ (-want +got):\n%s", diff)
	}
}

func TestEveryRequestHasAnID(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, _ note) (note, error) {
		return newNote(mesh.RequestID(ctx)), nil
	}}).register)
	conn := srv.Dial(t)
	for _, tt := range []struct {
		name string
		sent []string
		kept bool
	}{
		{name: "a good one is kept", sent: []string{"abc-DEF_1.2"}, kept: true},
		{name: "none is replaced", sent: nil},
		{name: "an empty one is replaced", sent: []string{""}},
		{name: "one that could forge log lines is replaced", sent: []string{"a b=c"}},
		{name: "a long one is replaced", sent: []string{strings.Repeat("a", 65)}},
		{name: "two are replaced", sent: []string{"a", "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
			for _, id := range tt.sent {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
			}
			var header metadata.MD
			out := newNote("")
			if err := conn.Invoke(ctx, "/test.mesh.v1.Echo/Say", newNote("").Message, out.Message, grpc.Header(&header)); err != nil {
				t.Fatal(err)
			}
			got := out.text()
			told := []string{got} // who chose it knows it
			if tt.kept {
				told = nil
			}
			if diff := cmp.Diff(told, header.Get("x-request-id")); diff != "" {
				t.Errorf("the header of the answer (-want +got):\n%s", diff)
			}
			var trailer metadata.MD
			if err := conn.Invoke(ctx, "/test.mesh.v1.Echo/Admin", newNote("").Message, out.Message, grpc.Trailer(&trailer)); err == nil {
				t.Error("it was let in")
			}
			if len(trailer.Get("x-request-id")) != 1 {
				t.Errorf("a refusal names no request: %v", trailer)
			}
			if kept := len(tt.sent) == 1 && got == tt.sent[0]; kept != tt.kept || got == "" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestARequestThatBreaksItsRulesIsRefusedWithEveryField(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	e := &echo{
		unary:  func(context.Context, note) (note, error) { t.Error("the handler ran"); return newNote(""), nil },
		stream: func(s grpc.ServerStream) error { return s.RecvMsg(newNote("").Message) },
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, e.register)
	bad := newNote("")
	bad.set("short_text", "more than ten letters")
	inner := bad.Mutable(bad.field("inner_notes")).List()
	for range 2 {
		n := newNote("")
		inner.Append(protoreflect.ValueOfMessage(n.Message))
	}
	worse := newNote("")
	worse.set("short_text", "more than ten letters as well")
	inner.Append(protoreflect.ValueOfMessage(worse.Message))
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))

	unary := srv.Dial(t).Invoke(ctx, "/test.mesh.v1.Echo/Say", bad.Message, newNote("").Message)
	stream, err := srv.Dial(t).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.mesh.v1.Echo/Watch")
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(bad.Message)
	_ = stream.CloseSend()
	for name, err := range map[string]error{"unary": unary, "stream": stream.RecvMsg(newNote("").Message)} {
		var fields []string
		for _, d := range status.Convert(err).Details() {
			if b, ok := d.(*errdetails.BadRequest); ok {
				for _, v := range b.GetFieldViolations() {
					fields = append(fields, v.GetField())
				}
			}
		}
		if diff := cmp.Diff([]string{"shortText", "innerNotes[2].shortText"}, fields); diff != "" || mesh.Reason(err) != "INVALID_FIELD" {
			t.Errorf("%s: got %v; fields differ (-want +got):\n%s", name, err, diff)
		}
	}
	// Who may not call learns nothing about the fields.
	err = srv.Dial(t).Invoke(t.Context(), "/test.mesh.v1.Echo/Say", bad.Message, newNote("").Message)
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("validated before the guard: %v", err)
	}
}

func TestACallCannotTakeLongerThanTheServerAllows(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.CallLimit = 30 * time.Millisecond }},
		(&echo{unary: func(ctx context.Context, _ note) (note, error) {
			<-ctx.Done()
			return note{}, fmt.Errorf("query: %w", ctx.Err())
		}}).register)
	ctx, cancel := context.WithTimeout(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), 10*365*24*time.Hour)
	defer cancel()
	_, err := say(ctx, srv.Dial(t), "Say", "")
	if status.Code(err) != codes.DeadlineExceeded || mesh.Reason(err) != "DEADLINE_EXCEEDED" {
		t.Errorf("got %v", err)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	e := &echo{unary: whoami, stream: func(s grpc.ServerStream) error { return s.RecvMsg(newNote("").Message) }}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, e.register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))

	_, err := say(ctx, conn, "Say", strings.Repeat("x", 2<<20))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message of 2 MB: got %v", err)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.mesh.v1.Echo/Watch")
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(newNote(strings.Repeat("x", 2<<20)).Message)
	err = stream.RecvMsg(newNote("").Message)
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message of 2 MB on a stream: got %v", err)
	}
	_, err = say(metadata.AppendToOutgoingContext(ctx, "x-junk", strings.Repeat("x", 1<<20)), conn, "Say", "")
	if err == nil {
		t.Error("1 MB of metadata was taken")
	}
	if _, err = say(ctx, srv.Dial(t), "Say", ""); err != nil {
		t.Errorf("the server does not live on: %v", err)
	}
}

func healthCheck(ctx context.Context, conn *grpc.ClientConn) (*healthv1.HealthCheckResponse, error) {
	return healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
}
