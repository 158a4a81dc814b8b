package meshtest_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// accounts is the service under test.
type accounts struct {
	tokenv1.UnimplementedAccountServiceServer
}

func (accounts) GetMe(ctx context.Context, _ *tokenv1.GetMeRequest) (*tokenv1.GetMeResponse, error) {
	return &tokenv1.GetMeResponse{User: &tokenv1.User{Id: mesh.Caller(ctx).Subject}}, nil
}

// TestAHandlerIsTestedBehindTheGuard is the example of this package, which needs a test around it: real TLS, real tokens
// and the real rules, without a process to start.
func TestAHandlerIsTestedBehindTheGuard(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	server := meshtest.Serve(t, iss, meshtest.Part{Name: "token"}, func(r grpc.ServiceRegistrar) {
		tokenv1.RegisterAccountServiceServer(r, accounts{})
	})
	client := tokenv1.NewAccountServiceClient(server.Dial(t))

	alice := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice"}))
	if me, err := client.GetMe(alice, &tokenv1.GetMeRequest{}); err != nil || me.GetUser().GetId() != "u-alice" {
		t.Errorf("%v, %v", me, err)
	}
	part := meshtest.As(t.Context(), iss.Workload(t, "customer"))
	if _, err := tokenv1.NewAccountServiceClient(server.DialAs(t, "customer")).GetMe(part, &tokenv1.GetMeRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a part, which the rule does not name: %v", err)
	}
	meshtest.RefusesBadTokens(t, server) // every RPC, every bad credential
}
