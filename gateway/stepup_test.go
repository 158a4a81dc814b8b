package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/rest"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// TestAnOldSignInIsToldHowToSignInAgain: what a service refuses for want of a fresh sign-in becomes a challenge (RFC 9470), whose
// parameters a sign-in at the gateway takes.
func TestAnOldSignInIsToldHowToSignInAgain(t *testing.T) {
	w := newWorld(t)
	admin := meshtest.Serve(t, w.idp.Issuer, meshtest.Part{Name: "token"}, func(r grpc.ServiceRegistrar) {
		tokenv1.RegisterAdminServiceServer(r, tokenv1.UnimplementedAdminServiceServer{})
	})
	g := w.gateway(t, func(c *gateway.Config) {
		c.Backends = append(c.Backends, gateway.Backend{
			Conn: admin.Connect(t, "gateway", mesh.PerCall()), Forward: admin.Connect(t, "gateway", mesh.Forward()),
			Services: []protoreflect.ServiceDescriptor{tokenv1.File_realguardio_token_v1_admin_proto.Services().ByName("AdminService")},
			REST:     []rest.Register{rest.Service(tokenv1.RegisterAdminServiceHandlerClient, tokenv1.NewAdminServiceClient)},
		})
	})
	old := meshtest.Claims{Roles: []string{"REALGUARDIO_ADMIN"}, Scopes: []string{"admin"}, AuthTime: time.Now().Add(-time.Hour)}
	const path = "/api/v1/keys/k1:revoke"
	r := g.do(t, http.MethodPost, path, "{}", header{"Authorization": "Bearer " + g.idp.Token(t, old)}).want(t, http.StatusUnauthorized, "INSUFFICIENT_USER_AUTHENTICATION")
	want := `Bearer realm="realguardio", error="insufficient_user_authentication", max_age="900"`
	if got := r.Header["Www-Authenticate"]; len(got) != 1 || got[0] != want {
		t.Errorf("the challenge is %q, want %q", got, want)
	}
	if got := r.json(t)["maxAge"]; got != "900" {
		t.Errorf("maxAge is %v", got)
	}
	fresh := old
	fresh.AuthTime = time.Now()
	g.do(t, http.MethodPost, path, "{}", header{"Authorization": "Bearer " + g.idp.Token(t, fresh)}).want(t, http.StatusNotImplemented, "")
}
