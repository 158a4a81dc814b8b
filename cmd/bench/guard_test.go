package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// me answers with a fixed account: what a call costs besides is what is measured.
type me struct {
	tokenv1.UnimplementedAccountServiceServer // benchmarks ask for one RPC of it
}

func (me) GetMe(context.Context, *tokenv1.GetMeRequest) (*tokenv1.GetMeResponse, error) {
	return &tokenv1.GetMeResponse{User: &tokenv1.User{Id: "u-alice", Email: "alice@acme.example", Name: "Alice"}}, nil
}

// BenchmarkGuard compares an authenticated call between two parts as the mesh makes it (its connection, request id, log
// line off, recovery, guard, validation) with the same call of grpc-go, over the same mutual TLS and with the same
// metadata, to a server that looks at none of it. Every token was verified before.
func BenchmarkGuard(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	tokens := tokensOf(b, iss, 10_000)
	ours, bare := guarded(b, iss), bareServer(b, iss.CA.Server(b, "token"), registerMe[*grpc.Server])
	for _, load := range []struct{ calls, callers int }{{64, 1}, {64, len(tokens)}, {128, 1}, {128, len(tokens)}} {
		b.Run(fmt.Sprintf("%d calls at a time, %d callers", load.calls, load.callers), func(b *testing.B) {
			tokens := tokens[:load.callers]
			compareRates(b, "calls/s", getMe(b, meshConn(b, iss, ours, mesh.PerCall()), load.calls, tokens, mesh.WithBearer),
				getMe(b, bareConn(b, iss, bare), load.calls, tokens, bareMetadata), "at least 0.90 at the lower end", atLeast(0.90))
		})
	}
}

// BenchmarkManyCallers compares the calls of ten thousand callers in turn, guarded, with calls that carry no token at all
// to a server that wants none: what identity costs altogether, carrying it included.
func BenchmarkManyCallers(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	tokens := tokensOf(b, iss, 10_000)
	bare := bareServer(b, iss.CA.Server(b, "token"), registerMe[*grpc.Server])
	none := func(ctx context.Context, _ string) context.Context { return ctx }
	ours := guarded(b, iss)
	b.Run("of the mesh", func(b *testing.B) {
		compareRates(b, "calls/s", getMe(b, meshConn(b, iss, ours, mesh.PerCall()), *concurrency, tokens, mesh.WithBearer),
			getMe(b, bareConn(b, iss, bare), *concurrency, []string{""}, none), "at least 0.65 at the lower end, aiming at 0.9", atLeast(0.65))
	})
	b.Run("of grpc-go", func(b *testing.B) { // what it would be without references, for orientation
		compareRates(b, "calls/s", getMe(b, bareConn(b, iss, bare), *concurrency, tokens, bareMetadata),
			getMe(b, bareConn(b, iss, bare), *concurrency, []string{""}, none), "none", atLeast(0))
	})
}

// tokensOf issues tokens as long as ours are.
func tokensOf(b *testing.B, iss *meshtest.Issuer, n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = iss.Token(b, meshtest.Claims{
			Subject: fmt.Sprintf("u-%05d-5XQ2M7KJ4ZP6WN3RT8VY", i), SessionID: rand.Text(), GrantID: rand.Text(), Epoch: 1,
			Name: "Alice Example", Email: "alice@acme.example", ACR: "1", Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"},
			Scopes: []string{"openid", "securitysystem.read", "securitysystem.arm", "securitysystem.disarm"}, AuthTime: time.Now(),
		})
	}
	return tokens
}

func registerMe[R grpc.ServiceRegistrar](r R) { tokenv1.RegisterAccountServiceServer(r, me{}) }

// guarded is a part of the mesh that answers GetMe.
func guarded(b *testing.B, iss *meshtest.Issuer) (addr string) {
	return meshtest.Serve(b, iss, meshtest.Part{Name: "token", Configure: quiet}, registerMe[grpc.ServiceRegistrar]).Addr
}

// quiet switches the log line of each call off: where logs go is the installation's, not the guard's.
func quiet(cfg *mesh.ServerConfig) { cfg.Logger = slog.New(slog.DiscardHandler) }

// meshConn is a connection of ours, bareConn one of grpc-go as it comes.
func meshConn(b *testing.B, iss *meshtest.Issuer, addr string, p mesh.Propagation) *grpc.ClientConn {
	conn, err := mesh.Dial(mesh.DialConfig{Target: addr, TLS: iss.CA.Client(b, "gateway"), Propagation: p})
	return untilDone(b, conn, err)
}

func bareConn(b *testing.B, iss *meshtest.Issuer, addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(iss.CA.Client(b, "gateway"))))
	return untilDone(b, conn, err)
}

func untilDone(b *testing.B, conn *grpc.ClientConn, err error) *grpc.ClientConn {
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// bareMetadata is what a call of ours carries.
func bareMetadata(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token, "x-request-id", rand.Text())
}

// getMe calls with the tokens in turn, of which each was used once before.
func getMe(b *testing.B, conn *grpc.ClientConn, calls int, tokens []string, with func(context.Context, string) context.Context) side {
	client := tokenv1.NewAccountServiceClient(conn)
	call := func(ctx context.Context, n int) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // as every call of ours has
		defer cancel()
		_, err := client.GetMe(with(ctx, tokens[n%len(tokens)]), &tokenv1.GetMeRequest{})
		return err
	}
	used := false
	return func(ctx context.Context) (float64, error) {
		for n := 0; !used && n < len(tokens); n++ {
			if err := call(ctx, n); err != nil {
				return 0, err
			}
		}
		used = true
		return throughput(ctx, calls, *turn, call)
	}
}

// bareServer is grpc-go as it comes, with the TLS of the guarded one.
func bareServer(b *testing.B, config *tls.Config, register func(*grpc.Server)) (addr string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	b.Cleanup(func() {
		server.Stop()
		<-done
	})
	return lis.Addr().String()
}
