package main

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	greeterv1 "example.org/greeter/gen/greeter/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// serve runs the greeter behind the real guard, over mutual TLS, with an issuer of the test's.
func serve(t *testing.T) (*meshtest.Issuer, *meshtest.Server, greeterv1.GreeterServiceClient) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "greeter"}, func(r grpc.ServiceRegistrar) {
		greeterv1.RegisterGreeterServiceServer(r, greeter{})
	})
	return iss, srv, greeterv1.NewGreeterServiceClient(srv.Dial(t))
}

func TestGreetKnowsItsCaller(t *testing.T) {
	iss, _, client := serve(t)
	for _, tt := range []struct {
		name   string
		claims meshtest.Claims
		want   codes.Code
	}{
		{name: "somebody who may", claims: meshtest.Claims{Name: "Mary", Scopes: []string{"customer.read"}}},
		{name: "somebody without the scope", claims: meshtest.Claims{Name: "Mary"}, want: codes.PermissionDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := client.Greet(meshtest.As(t.Context(), iss.Token(t, tt.claims)), &greeterv1.GreetRequest{})
			if status.Code(err) != tt.want || err == nil && answer.GetGreeting() != "Hello, Mary" {
				t.Errorf("got %q, %v", answer.GetGreeting(), err)
			}
		})
	}
}

func TestWatchEndsWithItsToken(t *testing.T) {
	iss, _, client := serve(t)
	token := iss.Token(t, meshtest.Claims{Scopes: []string{"customer.read"}, Expiry: time.Now().Add(300 * time.Millisecond)})
	stream, err := client.Watch(meshtest.As(t.Context(), token), &greeterv1.WatchRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("it ended with %v", err)
	}
}

func TestNobodyElseIsLetIn(t *testing.T) {
	_, srv, _ := serve(t)
	meshtest.RefusesBadTokens(t, srv)
}
