package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/clientcredentials"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// The whole of a part: it verifies tokens, follows revocations, serves over mutual TLS, and calls another part with its
// own token. Package member puts the same together in one call.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	files, remove := certificates("customer") // elsewhere mesh.TLSFiles of what is mounted
	defer remove()
	if err := run(ctx, files, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// while it has no keys, a caller is told: Unavailable
}

func run(ctx context.Context, files mesh.TLSFiles, log *slog.Logger) error {
	const issuer = "http://localhost:1" // which does not answer: until it does, nobody is let in
	server, err := files.Server()
	if err != nil {
		return err
	}
	verifier, err := jwt.New(ctx, jwt.Config{Issuer: issuer, Audiences: []string{"urn:realguardio:api"}, Logger: log})
	if err != nil {
		return err
	}
	self, err := clientcredentials.New(clientcredentials.Config{
		TokenURL: issuer + "/oauth2/token", ClientID: "customer", Secret: "read from a file", Logger: log,
	})
	if err != nil {
		return err
	}
	token, err := mesh.Dial(mesh.DialConfig{Target: "localhost:1", TLSSource: files, Propagation: mesh.AsService(self), Logger: log})
	if err != nil {
		return err
	}
	defer token.Close()
	revocations := revocation.NewSet(revocation.Config{Logger: log})
	feed := revocation.NewFeed(token, revocations)

	srv, err := mesh.NewServer(mesh.ServerConfig{
		Name: "customer", TLS: server, Verifier: verifier, Revocations: revocations, Logger: log,
	})
	if err != nil {
		return err
	}
	meshv1.RegisterRevocationServiceServer(srv, service{})
	lis, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	running, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	running.Go(func() error { return verifier.Run(ctx) })
	running.Go(func() error { return feed.Run(ctx) })
	running.Go(func() error { return srv.Serve(ctx, lis) })
	err = tryToCall(ctx, files, lis.Addr().String())
	stop() // elsewhere the signal does
	return errors.Join(err, running.Wait())
}

// service is what a part is for.
type service struct {
	meshv1.UnimplementedRevocationServiceServer
}

func tryToCall(ctx context.Context, files mesh.TLSFiles, addr string) error {
	conn, err := mesh.Dial(mesh.DialConfig{Target: addr, TLSSource: files, Propagation: mesh.Anonymous()})
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := meshv1.NewRevocationServiceClient(conn).Watch(ctx, &meshv1.WatchRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	fmt.Println("while it has no keys, a caller is told:", status.Code(err))
	return nil
}

// A connection to another part that carries the token of whoever is being served.
func ExampleForward() {
	files, remove := certificates("securitysystem") // elsewhere mesh.TLSFiles of what is mounted
	defer remove()
	conn, err := mesh.Dial(mesh.DialConfig{Target: "customer:9101", TLSSource: files, Propagation: mesh.Forward()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	// Outside of a call there is nobody to pass on, and so nothing is sent.
	err = conn.Invoke(context.Background(), "/realguardio.mesh.v1.RevocationService/Watch", &meshv1.WatchRequest{}, &meshv1.WatchResponse{})
	fmt.Println(status.Code(err))
	// Output: Unauthenticated
}

// A handler asks who calls, and decides on the object.
func ExampleCaller() {
	handler := func(ctx context.Context, owner string) error {
		if caller := mesh.Caller(ctx); caller.Subject != owner {
			return mesh.NotFound("system", "sys_1")
		}
		return nil
	}
	err := handler(context.Background(), "u-alice")
	fmt.Println(mesh.Reason(err))
	// Output: NOT_FOUND
}

// Rules can be read by programs: for a matrix of who may call what, or a test.
func ExampleNewPolicies() {
	policies, err := mesh.NewPolicies(meshv1.File_realguardio_mesh_v1_revocation_proto.Services().ByName("RevocationService"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for rule := range policies.All() {
		fmt.Println(rule.Method, rule.Callers, rule.Workloads, rule.Edge)
	}
	// Output: /realguardio.mesh.v1.RevocationService/Watch [workload] [*] false
}

// certificates makes files for a part, until remove is called.
func certificates(part string) (files mesh.TLSFiles, remove func()) {
	dir, err := os.MkdirTemp("", "certificates")
	if err != nil {
		panic(err)
	}
	return meshtest.NewCA(noTest{}).Files(noTest{}, dir, part), func() { _ = os.RemoveAll(dir) }
}

// noTest stands for the test that an example is not.
type noTest struct{ testing.TB }

func (noTest) Helper() {}

func (noTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
