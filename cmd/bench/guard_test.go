package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

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

// BenchmarkGuard compares an authenticated call through the whole mesh server (request id, log line off, recovery, guard,
// validation) with the same call, over the same mutual TLS and with the same metadata, to a grpc.Server that has none of
// it. 256 callers with a token each, all verified before.
func BenchmarkGuard(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	tokens := make([]string, 256)
	for i := range tokens {
		tokens[i] = iss.Token(b, meshtest.Claims{Subject: fmt.Sprintf("u-%d", i), Name: "Alice", Scopes: []string{"openid", "securitysystem.read"}})
	}
	guarded := meshtest.Serve(b, iss, meshtest.Part{Name: "token", Configure: quiet}, func(r grpc.ServiceRegistrar) {
		tokenv1.RegisterAccountServiceServer(r, me{})
	})
	bare := bareServer(b, iss.CA.Server(b, "token"), func(s *grpc.Server) { tokenv1.RegisterAccountServiceServer(s, me{}) })
	compareRates(b, "calls/s", getMe(b, iss, guarded.Addr, tokens), getMe(b, iss, bare, tokens),
		"at least 0.85 at the lower end", atLeast(0.85))
}

// quiet switches the log line of each call off: where logs go is the installation's, not the guard's.
func quiet(cfg *mesh.ServerConfig) { cfg.Logger = slog.New(slog.DiscardHandler) }

// getMe calls with the tokens in turn, over a client connection that both sides share the configuration of.
func getMe(b *testing.B, iss *meshtest.Issuer, addr string, tokens []string) side {
	conn, err := mesh.Dial(mesh.DialConfig{Target: addr, TLS: iss.CA.Client(b, "gateway"), Propagation: mesh.PerCall()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	client := tokenv1.NewAccountServiceClient(conn)
	return func(ctx context.Context) (float64, error) {
		return throughput(ctx, *concurrency, *turn, func(ctx context.Context, n int) error {
			_, err := client.GetMe(mesh.WithBearer(ctx, tokens[n%len(tokens)]), &tokenv1.GetMeRequest{})
			return err
		})
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
