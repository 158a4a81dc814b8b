package main_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
)

// checkOpaque goes through the gateway with a token that the services cannot read, by REST and by native gRPC.
func checkOpaque(t *testing.T, s *stand) {
	client := s.client(t, "demo-opaque")
	token := s.token(t, remote.Credentials{ClientID: client.ID, ClientSecret: client.Secret})
	if !strings.HasPrefix(token, "rgo_") {
		t.Fatal("the client's token is not opaque")
	}
	ask := func() (int, codes.Code) {
		a := call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil, bearer(token))
		_, err := securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, "gateway")).
			ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
		return a.status, status.Code(err)
	}
	if rest, native := ask(); rest != http.StatusOK || native != codes.OK {
		t.Fatalf("REST %d, gRPC %s", rest, native)
	}
	form := url.Values{"token": {token}}
	if a := post(t, s.http, s.Issuer+"/oauth2/revoke", form, basic(client.ID, client.Secret)); a.status != http.StatusOK {
		t.Fatalf("revoking: %d %s", a.status, a.body)
	}
	eventually(t, "the token is refused", func() error {
		if rest, native := ask(); rest != http.StatusUnauthorized || native != codes.Unauthenticated {
			return problem("REST %d, gRPC %s", rest, native)
		}
		return nil
	})
}
