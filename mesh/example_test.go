package mesh_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"syscall"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/clientcredentials"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// The whole of a part: it verifies tokens, follows revocations, serves over mutual TLS, and calls another part with its
// own token.
func Example() {
	if err := run(slog.Default()); err != nil {
		slog.Error(err.Error())
	}
}

func run(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	const issuer = "https://id.example.com"
	files := mesh.TLSFiles{CA: "ca.pem", Cert: "customer.pem", Key: "customer.key"}
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
	token, err := mesh.Dial(mesh.DialConfig{Target: "token:9100", TLSSource: files, Propagation: mesh.AsService(self), Logger: log})
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
	// customerv1.RegisterCustomerServiceServer(srv, service)
	lis, err := net.Listen("tcp", ":9101")
	if err != nil {
		return err
	}
	go verifier.Run(ctx) //nolint:errcheck // they return nil, when ctx ends
	go feed.Run(ctx)     //nolint:errcheck
	return srv.Serve(ctx, lis)
}

// A connection to another part that carries the token of whoever is being served.
func ExampleForward() {
	files := mesh.TLSFiles{CA: "ca.pem", Cert: "securitysystem.pem", Key: "securitysystem.key"}
	conn, err := mesh.Dial(mesh.DialConfig{Target: "customer:9101", TLSSource: files, Propagation: mesh.Forward()})
	if err != nil {
		return
	}
	defer conn.Close()
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
