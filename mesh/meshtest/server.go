package meshtest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
)

// Part says what a server under test is.
type Part struct {
	// Name is the part's name, such as "customer". Required.
	Name string
	// Configure may change what the server is made with. Default: nothing is changed.
	Configure func(*mesh.ServerConfig)
}

// Server is a server under test.
type Server struct {
	// Addr is where it listens, on 127.0.0.1.
	Addr string
	// Mesh is the server itself.
	Mesh *mesh.Server

	issuer *Issuer
}

// Serve starts a server that trusts iss, with what register registers. It ends with the test.
func Serve(t testing.TB, iss *Issuer, part Part, register func(grpc.ServiceRegistrar)) *Server {
	t.Helper()
	cfg := mesh.ServerConfig{
		Name:        part.Name,
		TLS:         iss.CA.Server(t, part.Name),
		Verifier:    iss.Verifier(t, part.Name),
		Revocations: mesh.NoRevocations(),
		Logger:      Logger(t),
		DrainTime:   2 * time.Second,
	}
	if part.Configure != nil {
		part.Configure(&cfg)
	}
	server, err := mesh.NewServer(cfg)
	if err != nil {
		t.Fatalf("make server: %v", err)
	}
	register(server)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve %s: %v", part.Name, err)
		}
	})
	return &Server{Addr: lis.Addr().String(), Mesh: server, issuer: iss}
}

// Verifier makes the verifier of a part that trusts iss; it refreshes keys until the test ends.
func (iss *Issuer) Verifier(t testing.TB, part string) *jwt.Verifier {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	v, err := jwt.New(ctx, jwt.Config{Issuer: iss.URL, Audiences: []string{Audience, "urn:realguardio:" + part}})
	if err != nil {
		t.Fatalf("make verifier: %v", err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return v
}

// Dial connects as a client that is no workload. The connection adds nothing to a call: see [As].
func (s *Server) Dial(t testing.TB) *grpc.ClientConn {
	t.Helper()
	return s.DialAs(t, "test-client")
}

// DialAs connects with the certificate of a workload.
func (s *Server) DialAs(t testing.TB, part string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.Addr, grpc.WithTransportCredentials(credentials.NewTLS(s.issuer.CA.Client(t, part))))
	return connected(t, conn, err)
}

// Connect connects as part does in production, by [mesh.Dial].
func (s *Server) Connect(t testing.TB, part string, propagation mesh.Propagation) *grpc.ClientConn {
	t.Helper()
	conn, err := mesh.Dial(mesh.DialConfig{
		Target: s.Addr, TLS: s.issuer.CA.Client(t, part), Propagation: propagation, Logger: Logger(t),
	})
	return connected(t, conn, err)
}

func connected(t testing.TB, conn *grpc.ClientConn, err error) *grpc.ClientConn {
	t.Helper()
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// As puts a token on the calls made with the returned context over a connection of [Server.Dial] or [Server.DialAs].
func As(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// Source is a [mesh.TokenSource] of a workload's tokens, without a token endpoint.
func (iss *Issuer) Source(t testing.TB, part string) mesh.TokenSource {
	return source(func() (string, error) { return iss.issue(Claims{Subject: part, Kind: mesh.KindWorkload}) })
}

type source func() (string, error)

func (s source) Token(context.Context) (string, error) { return s() }

// Logger writes to the test's own output, and nowhere once the test has ended.
func Logger(t testing.TB) *slog.Logger {
	t.Helper()
	w := &output{to: t.Output()}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type output struct {
	mu sync.Mutex
	to io.Writer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(p)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = io.Discard
}
