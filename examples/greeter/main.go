// Command greeter is a service of your own on the mesh: a proto with rules, the two handlers below, and a server that
// refuses to start without a rule for every RPC. It trusts the tokens of any RealGuardIO, or other OpenID Connect, issuer.
//
//	go run . -issuer http://localhost:9000 -cert greeter.pem -key greeter-key.pem
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	greeterv1 "example.org/greeter/gen/greeter/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
)

type greeter struct {
	greeterv1.UnsafeGreeterServiceServer
}

// Greet needs no check of the token: without a good one it is not called.
func (greeter) Greet(ctx context.Context, _ *greeterv1.GreetRequest) (*greeterv1.GreetResponse, error) {
	return &greeterv1.GreetResponse{Greeting: "Hello, " + mesh.Caller(ctx).Name}, nil
}

// Watch is ended by the mesh when the caller's token expires or is revoked.
func (greeter) Watch(_ *greeterv1.WatchRequest, stream greeterv1.GreeterService_WatchServer) error {
	for tick := time.NewTicker(time.Second); ; {
		if err := stream.Send(&greeterv1.WatchResponse{Greeting: "Still here, " + mesh.Caller(stream.Context()).Name}); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func main() {
	issuer := flag.String("issuer", "http://localhost:9000", "whose tokens to trust")
	listen := flag.String("listen", "localhost:9200", "where to serve")
	cert := flag.String("cert", "greeter.pem", "certificate file")
	key := flag.String("key", "greeter-key.pem", "key file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *issuer, *listen, *cert, *key); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, issuer, listen, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	verifier, err := jwt.New(ctx, jwt.Config{Issuer: issuer, Audiences: []string{"urn:realguardio:api"}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var refreshing sync.WaitGroup
	refreshing.Go(func() { _ = verifier.Run(ctx) })
	defer refreshing.Wait()
	defer stop()
	server, err := mesh.NewServer(mesh.ServerConfig{
		Name: "greeter", TLS: &tls.Config{Certificates: []tls.Certificate{pair}},
		Verifier: verifier, Revocations: mesh.NoRevocations(), Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	greeterv1.RegisterGreeterServiceServer(server, greeter{})
	lis, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	return server.Serve(ctx, lis)
}
