package tokenservice_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tokenservice"
)

// slow is a token service that takes its time for the token "slow".
type slow struct {
	tokenv1.UnimplementedTokenServiceServer
	asked, answer chan struct{}
}

func (s slow) Exchange(_ context.Context, req *tokenv1.ExchangeRequest) (*tokenv1.ExchangeResponse, error) {
	if req.GetSubjectToken() == "slow" {
		close(s.asked)
		<-s.answer
	}
	return &tokenv1.ExchangeResponse{AccessToken: "exchanged", ExpireTime: timestamppb.New(time.Now().Add(time.Minute))}, nil
}

// TestAnExchangeIsNotEndedByThoseForOtherCertificates has a process show more certificates than connections are kept for.
func TestAnExchangeIsNotEndedByThoseForOtherCertificates(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := slow{asked: make(chan struct{}), answer: make(chan struct{})}
	server := grpc.NewServer()
	tokenv1.RegisterTokenServiceServer(server, service)
	go func() { _ = server.Serve(lis) }()
	defer server.Stop()
	x := tokenservice.New(tokenservice.Config{Dial: func(*tls.Certificate) (*grpc.ClientConn, error) {
		return grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	}})
	defer x.Close()
	exchange := func(token, certificate string) error {
		_, err := x.Exchange(t.Context(), mesh.ExchangeRequest{
			SubjectToken: token, Certificate: &tls.Certificate{Certificate: [][]byte{[]byte(certificate)}},
		})
		return err
	}
	first := make(chan error, 1)
	go func() { first <- exchange("slow", "a") }()
	<-service.asked
	for _, certificate := range []string{"b", "c", "d", "e"} {
		if err := exchange("quick", certificate); err != nil {
			t.Error(err)
		}
	}
	close(service.answer)
	if err := <-first; err != nil {
		t.Errorf("the one under way: %v", err)
	}
}
