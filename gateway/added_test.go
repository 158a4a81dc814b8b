package gateway_test

import (
	"context"
	"net/http"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/rest"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// added is a service that the gateway of the other tests does not have.
type added struct {
	tokenv1.UnimplementedAccountServiceServer
}

func (added) GetMe(ctx context.Context, _ *tokenv1.GetMeRequest) (*tokenv1.GetMeResponse, error) {
	return &tokenv1.GetMeResponse{User: &tokenv1.User{Id: mesh.Caller(ctx).Subject}}, nil
}

// TestAServiceIsAddedByOneBackend: what its proto says is REST, native gRPC and the check of who calls by then, and the
// caller's identity arrives.
func TestAServiceIsAddedByOneBackend(t *testing.T) {
	w := newWorld(t)
	without := w.gateway(t)
	server := meshtest.Serve(t, w.idp.Issuer, meshtest.Part{Name: "added"}, func(r grpc.ServiceRegistrar) {
		tokenv1.RegisterAccountServiceServer(r, added{})
	})
	with := w.gateway(t, func(c *gateway.Config) {
		c.Backends = append(c.Backends, gateway.Backend{
			Conn: server.Connect(t, "gateway", mesh.PerCall()), Forward: server.Connect(t, "gateway", mesh.Forward()),
			Services: []protoreflect.ServiceDescriptor{tokenv1.File_realguardio_token_v1_admin_proto.Services().ByName("AccountService")},
			REST:     []rest.Register{rest.Service(tokenv1.RegisterAccountServiceHandlerClient, tokenv1.NewAccountServiceClient)},
		})
	})
	mary, reports := w.idp.Token(t, meshtest.Claims{Subject: "u-mary"}), w.idp.Token(t, meshtest.Claims{Kind: mesh.KindClient, Subject: "reports"})
	for _, tt := range []struct {
		name, token string
		at          *gate
		status      int
		code        codes.Code
	}{
		{"a person", mary, with, http.StatusOK, codes.OK},
		{"nobody", "", with, http.StatusUnauthorized, codes.Unauthenticated},
		{"a token of somebody's making", mary + "x", with, http.StatusUnauthorized, codes.Unauthenticated},
		{"whom the rule does not admit", reports, with, http.StatusForbidden, codes.PermissionDenied},
		{"where it was not added", mary, without, http.StatusNotFound, codes.Unimplemented},
	} {
		t.Run(tt.name, func(t *testing.T) {
			authorization, ctx := header{}, t.Context()
			if tt.token != "" {
				authorization["Authorization"], ctx = "Bearer "+tt.token, authorized(ctx, "Bearer "+tt.token)
			}
			r := tt.at.do(t, http.MethodGet, "/api/v1/me", "", authorization)
			if r.StatusCode != tt.status || tt.status == http.StatusOK && r.json(t)["id"] != "u-mary" {
				t.Errorf("REST: %d %s", r.StatusCode, r.body)
			}
			me, err := tokenv1.NewAccountServiceClient(tt.at.dial(t)).GetMe(ctx, &tokenv1.GetMeRequest{})
			if status.Code(err) != tt.code || err == nil && me.GetUser().GetId() != "u-mary" {
				t.Errorf("gRPC: %v, %v", me, err)
			}
		})
	}
}
