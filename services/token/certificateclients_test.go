package token_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
)

// TestHowACertificateIsToldIsRegistered: in one of six ways, of which another takes the place.
func TestHowACertificateIsToldIsRegistered(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		own := selfMade(t)
		set := certificateSet(t, own.Leaf.PublicKey, own.Leaf)
		made, err := a.admin.CreateClient(a.ctx, &tokenv1.CreateClientRequest{Name: "Reports", GrantTypes: []string{"client_credentials"},
			Scopes: []string{"customer.read"}, TlsClientAuthSubjectDn: "CN=reports", TlsClientCertificateBoundAccessTokens: true})
		if err != nil || made.GetClientSecret() != "" || made.GetClient().GetTlsClientAuthSubjectDn() != "CN=reports" || !made.GetClient().GetTlsClientCertificateBoundAccessTokens() {
			t.Fatalf("%v, %v", made, err)
		}
		id := made.GetClient().GetClientId()
		for _, told := range []*tokenv1.Client{
			{TlsClientAuthSanDns: "*.reports.example.com"}, {TlsClientAuthSanUri: "spiffe://example.com/reports"}, {TlsClientAuthSanIp: "2001:db8::1"},
			{TlsClientAuthSanEmail: "reports@example.com"}, {SelfSignedTlsClientAuth: true, Jwks: set},
		} {
			told.ClientId = id
			changed, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: told})
			if err != nil {
				t.Fatal(err)
			}
			c := changed.GetClient()
			if c.GetTlsClientAuthSanDns() != told.GetTlsClientAuthSanDns() || c.GetTlsClientAuthSanUri() != told.GetTlsClientAuthSanUri() ||
				c.GetTlsClientAuthSanIp() != told.GetTlsClientAuthSanIp() || c.GetTlsClientAuthSanEmail() != told.GetTlsClientAuthSanEmail() ||
				c.GetSelfSignedTlsClientAuth() != told.GetSelfSignedTlsClientAuth() || c.GetTlsClientAuthSubjectDn() != "" {
				t.Errorf("%v became %v", told, c)
			}
		}
		// Back to a secret, which nobody knows until it is rotated.
		_, err = a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: &tokenv1.Client{ClientId: id},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"self_signed_tls_client_auth", "jwks", "tls_client_certificate_bound_access_tokens"}}})
		if err != nil {
			t.Fatal(err)
		}
		rotated, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: id})
		if err != nil {
			t.Fatal(err)
		}
		if r := a.machine(id, a.logs.secret(rotated.GetClientSecret())); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestRegistrationsThatWouldBindNothing(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		own, other := selfMade(t), selfMade(t)
		for _, tt := range []struct {
			name  string
			asked *tokenv1.CreateClientRequest
			field string
		}{
			{"two names", &tokenv1.CreateClientRequest{TlsClientAuthSanDns: "a.example.com", TlsClientAuthSanIp: "10.0.0.1"}, "tlsClientAuthSubjectDn"},
			{"a name and one that is self-signed", &tokenv1.CreateClientRequest{TlsClientAuthSanDns: "a.example.com", SelfSignedTlsClientAuth: true}, "tlsClientAuthSubjectDn"},
			{"a name and keys", &tokenv1.CreateClientRequest{TlsClientAuthSanDns: "a.example.com", Jwks: keyset(t)}, "jwks"},
			{"a public client with a certificate", &tokenv1.CreateClientRequest{TlsClientAuthSanDns: "a.example.com", Public: true, GrantTypes: []string{"refresh_token"}}, "public"},
			{"no distinguished name", &tokenv1.CreateClientRequest{TlsClientAuthSubjectDn: "reports"}, "tlsClientAuthSubjectDn"},
			{"one with an attribute that there is not", &tokenv1.CreateClientRequest{TlsClientAuthSubjectDn: "NAME=reports"}, "tlsClientAuthSubjectDn"},
			{"one that ends in a comma", &tokenv1.CreateClientRequest{TlsClientAuthSubjectDn: "CN=reports,"}, "tlsClientAuthSubjectDn"},
			{"one in hexadecimal", &tokenv1.CreateClientRequest{TlsClientAuthSubjectDn: "CN=#0C07"}, "tlsClientAuthSubjectDn"},
			{"no host name", &tokenv1.CreateClientRequest{TlsClientAuthSanDns: "https://a.example.com"}, "tlsClientAuthSanDns"},
			{"no URI", &tokenv1.CreateClientRequest{TlsClientAuthSanUri: "reports"}, "tlsClientAuthSanUri"},
			{"no address", &tokenv1.CreateClientRequest{TlsClientAuthSanIp: "10.0.0.0/8"}, "tlsClientAuthSanIp"},
			{"no e-mail address", &tokenv1.CreateClientRequest{TlsClientAuthSanEmail: "Reports <r@example.com>"}, "tlsClientAuthSanEmail"},
			{"self-signed without keys", &tokenv1.CreateClientRequest{SelfSignedTlsClientAuth: true}, "selfSignedTlsClientAuth"},
			{"self-signed with keys that have no certificate", &tokenv1.CreateClientRequest{SelfSignedTlsClientAuth: true, Jwks: keyset(t)}, "jwks"},
			{"a certificate of another key", &tokenv1.CreateClientRequest{SelfSignedTlsClientAuth: true, Jwks: certificateSet(t, own.Leaf.PublicKey, other.Leaf)}, "jwks"},
			{"a certificate that cannot be read", &tokenv1.CreateClientRequest{SelfSignedTlsClientAuth: true,
				Jwks: strings.Replace(keyset(t), `"kty"`, `"x5c":["AAAA"],"kty"`, 1)}, "jwks"},
			{"bound twice", &tokenv1.CreateClientRequest{DpopBoundAccessTokens: true, TlsClientCertificateBoundAccessTokens: true}, "dpopBoundAccessTokens"},
			{"bound, by a grant that binds nothing", &tokenv1.CreateClientRequest{DpopBoundAccessTokens: true, GrantTypes: []string{"implicit"}, RedirectUris: []string{webCallback}}, "grantTypes"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				tt.asked.Name = "Reports"
				if tt.asked.GrantTypes == nil {
					tt.asked.GrantTypes, tt.asked.Scopes = []string{"client_credentials"}, []string{"customer.read"}
				}
				before := count(t, a.server)
				_, err := a.admin.CreateClient(a.ctx, tt.asked)
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.field) || count(t, a.server) != before {
					t.Errorf("%v", err)
				}
			})
		}
	})
}

// count is how many clients are registered.
func count(t *testing.T, s *server) (n int) {
	t.Helper()
	if err := s.db.QueryRow(t.Context(), `SELECT count(*) FROM clients`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
