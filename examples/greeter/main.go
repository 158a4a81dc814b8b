// Command greeter is a service of your own on the mesh: a proto with rules, the two handlers below, and a server that
// refuses to start without a rule for every RPC. Whom it lets in, and for how long, is the mesh's to see to.
//
//	realguardio workloads register greeter --secret-file greeter-secret
//	realguardio certs --part greeter
//	go run . -issuer http://localhost:9000 -token localhost:9100 -certs certs -secret greeter-secret
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"

	greeterv1 "example.org/greeter/gen/greeter/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/member"
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
	token := flag.String("token", "localhost:9100", "the token service, which tells what has ended")
	listen := flag.String("listen", "localhost:9200", "where to serve")
	certs := flag.String("certs", "certs", "folder of ca.pem, greeter.pem and greeter-key.pem")
	secret := flag.String("secret", "greeter-secret", "file of the client's secret")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	password, err := os.ReadFile(*secret)
	if err != nil {
		log.Fatal(err)
	}
	m, err := member.New(ctx, member.Config{
		Name: "greeter", Issuer: *issuer, Revocations: *token, Secret: string(password), Logger: slog.Default(),
		TLS: mesh.TLSFiles{CA: *certs + "/ca.pem", Cert: *certs + "/greeter.pem", Key: *certs + "/greeter-key.pem"},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = m.ListenAndServe(ctx, *listen, func(r grpc.ServiceRegistrar) { greeterv1.RegisterGreeterServiceServer(r, greeter{}) })
	if err := errors.Join(err, m.Close()); err != nil {
		log.Fatal(err)
	}
}
