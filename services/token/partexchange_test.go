package token_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/tokenservice"
	"github.com/realguardio/realguardio/services/token"
)

// part is a part of the mesh that asks for tokens over gRPC, with a certificate of its own.
type part struct {
	tokenv1.TokenServiceClient
	ctx context.Context
	x5t string
}

func (r *rpc) part(t *testing.T, name string) part {
	t.Helper()
	config := r.ca.Client(t, name)
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return part{tokenv1.NewTokenServiceClient(conn), r.as(t.Context(), name), mesh.Thumbprint(config.Certificates[0].Leaf)}
}

func (p part) exchange(t *testing.T, req *tokenv1.ExchangeRequest) (*tokenv1.ExchangeResponse, map[string]any) {
	t.Helper()
	got, err := p.Exchange(p.ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return got, claims(t, got.GetAccessToken())
}

// of is the audience of a part.
func of(part string) string { return "urn:realguardio:" + part }

// TestAPartCallsOnWithATokenOfTwoHops takes a person's token from the edge to the second part behind it.
func TestAPartCallsOnWithATokenOfTwoHops(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		r := s.serveRPC()
		edge, middle := r.part(t, "gateway"), r.part(t, "securitysystem")
		subject := s.tokens().str("access_token")
		before := claims(t, subject)
		first, one := edge.exchange(t, &tokenv1.ExchangeRequest{SubjectToken: subject, Audience: of("securitysystem"),
			Scopes: []string{"securitysystem.read", "customer.read", "panel.report"}})
		if !reflect.DeepEqual(first.GetScopes(), []string{"securitysystem.read"}) || one["scope"] != "securitysystem.read" ||
			!reflect.DeepEqual(one["aud"], []any{of("securitysystem")}) || one["cnf"] != nil {
			t.Fatalf("%v", one)
		}
		second, two := middle.exchange(t, &tokenv1.ExchangeRequest{SubjectToken: first.GetAccessToken(), Audience: of("customer"), BindToCertificate: true})
		for _, kept := range []string{"iss", "sub", "client_id", "sid", "gid", "roles", "epoch", "auth_time", "caller"} {
			if !reflect.DeepEqual(before[kept], two[kept]) {
				t.Errorf("%s: %v became %v", kept, before[kept], two[kept])
			}
		}
		if !reflect.DeepEqual(two["act"], map[string]any{"sub": "securitysystem", "act": map[string]any{"sub": "gateway"}}) ||
			!reflect.DeepEqual(two["derived_from"], []any{one["jti"], before["jti"]}) || !reflect.DeepEqual(two["aud"], []any{of("customer")}) ||
			two["scope"] != "securitysystem.read" || !reflect.DeepEqual(two["cnf"], map[string]any{"x5t#S256": middle.x5t}) {
			t.Errorf("%v", two)
		}
		if exp := second.GetExpireTime().AsTime().Unix(); float64(exp) != two["exp"] || two["exp"].(float64) > before["exp"].(float64) {
			t.Errorf("ends at %d, says %v, was %v", exp, two["exp"], before["exp"])
		}
		for _, secret := range []string{subject, first.GetAccessToken(), second.GetAccessToken()} {
			s.logs.secret(secret)
		}
	})
}

// TestAnExchangeByAPartGivesNoMoreThanThereWas is the same as that of the token endpoint, which the same code answers.
func TestAnExchangeByAPartGivesNoMoreThanThereWas(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		r := s.serveRPC()
		parts := map[string]part{}
		for _, name := range []string{"gateway", "securitysystem", "customer"} {
			parts[name] = r.part(t, name)
		}
		tokens := s.tokens()
		subject := tokens.str("access_token")
		forSystems, _ := parts["gateway"].exchange(t, &tokenv1.ExchangeRequest{SubjectToken: subject, Audience: of("securitysystem")})
		forCustomer, _ := parts["gateway"].exchange(t, &tokenv1.ExchangeRequest{SubjectToken: subject, Audience: of("customer")})
		if _, none := parts["gateway"].exchange(t, &tokenv1.ExchangeRequest{SubjectToken: subject, Scopes: []string{"admin", "customer.write"}}); none["scope"] != nil {
			t.Errorf("by asking for what it has not it got %v", none["scope"])
		}
		dead := s.tokens().str("access_token")
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {dead}})
		long := subject
		for range 4 {
			next, _ := parts["customer"].exchange(t, &tokenv1.ExchangeRequest{SubjectToken: long})
			long = next.GetAccessToken()
		}
		for _, tc := range []struct {
			name, part string
			req        *tokenv1.ExchangeRequest
			code       codes.Code
			reason     string
		}{
			{"an audience that there is not", "gateway", &tokenv1.ExchangeRequest{SubjectToken: subject, Audience: "urn:evil"}, codes.PermissionDenied, "AUDIENCE"},
			{"an audience wider than its own", "customer", &tokenv1.ExchangeRequest{SubjectToken: forCustomer.GetAccessToken(), Audience: of("api")}, codes.PermissionDenied, "AUDIENCE"},
			{"an audience that the part does not call", "customer", &tokenv1.ExchangeRequest{SubjectToken: forCustomer.GetAccessToken(), Audience: of("securitysystem")}, codes.PermissionDenied, "AUDIENCE"},
			{"another that it does not", "securitysystem", &tokenv1.ExchangeRequest{SubjectToken: forSystems.GetAccessToken(), Audience: of("notification")}, codes.PermissionDenied, "AUDIENCE"},
			{"a token for others", "customer", &tokenv1.ExchangeRequest{SubjectToken: forSystems.GetAccessToken()}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"a token for others, to call on with", "securitysystem", &tokenv1.ExchangeRequest{SubjectToken: forCustomer.GetAccessToken(), Audience: of("customer")}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"a token that was revoked", "customer", &tokenv1.ExchangeRequest{SubjectToken: dead}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"too long a chain", "customer", &tokenv1.ExchangeRequest{SubjectToken: long}, codes.FailedPrecondition, "EXCHANGE"},
			{"a refresh token", "customer", &tokenv1.ExchangeRequest{SubjectToken: tokens.str("refresh_token")}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"an ID token", "customer", &tokenv1.ExchangeRequest{SubjectToken: tokens.str("id_token")}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"a forged one", "customer", &tokenv1.ExchangeRequest{SubjectToken: subject[:len(subject)-4] + "AAAA"}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"its own token", "customer", &tokenv1.ExchangeRequest{SubjectToken: s.machine("customer", serviceSecret).str("access_token")}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"another part's own token", "customer", &tokenv1.ExchangeRequest{SubjectToken: s.machine("securitysystem", serviceSecret).str("access_token")}, codes.FailedPrecondition, "SUBJECT_TOKEN"},
			{"no token", "customer", &tokenv1.ExchangeRequest{}, codes.InvalidArgument, "INVALID_FIELD"},
			{"more than a token can be", "customer", &tokenv1.ExchangeRequest{SubjectToken: strings.Repeat("a", 8193)}, codes.InvalidArgument, "INVALID_FIELD"},
			{"too many scopes", "customer", &tokenv1.ExchangeRequest{SubjectToken: subject, Scopes: strings.Fields(strings.Repeat("a ", 65))}, codes.InvalidArgument, "INVALID_FIELD"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				p := parts[tc.part]
				got, err := p.Exchange(p.ctx, tc.req)
				if status.Code(err) != tc.code || mesh.Reason(err) != tc.reason || got.GetAccessToken() != "" {
					t.Errorf("%v %s, a token: %v", err, mesh.Reason(err), got.GetAccessToken() != "")
				}
				if err != nil && tc.req.GetSubjectToken() != "" && strings.Contains(err.Error(), tc.req.GetSubjectToken()) {
					t.Error("the refusal has the token in it")
				}
			})
		}
		p := parts["customer"]
		s.clock.Advance(6 * time.Minute)
		if _, err := p.Exchange(r.as(t.Context(), "customer"), &tokenv1.ExchangeRequest{SubjectToken: subject}); mesh.Reason(err) != "SUBJECT_TOKEN" {
			t.Errorf("an expired token: %v", err)
		}
	})
}

// TestOnlyPartsWithTheirCertificateExchangeOverGRPC asks with every other credential.
func TestOnlyPartsWithTheirCertificateExchangeOverGRPC(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "other", Name: "Another part", Secret: serviceSecret, Kind: token.Workload,
			Grants: []string{"client_credentials"}}); err != nil {
			t.Fatal(err)
		}
		r := s.serveRPC()
		subject := s.tokens().str("access_token")
		for _, tc := range []struct{ name, certificate, token string }{
			{"a person", "customer", subject},
			{"an application", "customer", s.machine("stranger", serviceSecret).str("access_token")},
			{"a part by another's certificate", "securitysystem", s.machine("customer", serviceSecret).str("access_token")},
			{"a part that is not named", "other", s.machine("other", serviceSecret).str("access_token")},
		} {
			t.Run(tc.name, func(t *testing.T) {
				client := tokenv1.NewTokenServiceClient(r.dial(tc.certificate))
				_, err := client.Exchange(meshtest.As(t.Context(), tc.token), &tokenv1.ExchangeRequest{SubjectToken: subject})
				if status.Code(err) != codes.PermissionDenied {
					t.Errorf("%v", err)
				}
			})
		}
	})
}

// TestABoundTokenIsExchangedByThePartThatItIsForAlone begins with a token that is bound to the edge's certificate.
func TestABoundTokenIsExchangedByThePartThatItIsForAlone(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		r := s.serveRPC()
		edge, middle, customer := r.part(t, "gateway"), r.part(t, "securitysystem"), r.part(t, "customer")
		subject := s.tokens().str("access_token")
		bound, said := edge.exchange(t, &tokenv1.ExchangeRequest{SubjectToken: subject, Audience: of("securitysystem"), BindToCertificate: true})
		if !reflect.DeepEqual(said["cnf"], map[string]any{"x5t#S256": edge.x5t}) {
			t.Fatalf("%v", said)
		}
		// Not asked for, and bound all the same.
		_, next := middle.exchange(t, &tokenv1.ExchangeRequest{SubjectToken: bound.GetAccessToken(), Audience: of("customer")})
		if !reflect.DeepEqual(next["cnf"], map[string]any{"x5t#S256": middle.x5t}) {
			t.Errorf("%v", next["cnf"])
		}
		if _, err := customer.Exchange(customer.ctx, &tokenv1.ExchangeRequest{SubjectToken: bound.GetAccessToken()}); mesh.Reason(err) != "SUBJECT_TOKEN" {
			t.Errorf("a part that it is not for: %v", err)
		}
		for _, client := range []string{"securitysystem", "web"} {
			refused(t, s.exchange(client, bound.GetAccessToken()), http.StatusBadRequest, "invalid_request")
		}
		if s.accepted(bound.GetAccessToken()) {
			t.Error("the issuer takes it as a bearer token")
		}
		if _, err := r.dialAndGetMe(t, "gateway", bound.GetAccessToken()); status.Code(err) != codes.Unauthenticated {
			t.Errorf("the mesh takes it where nobody has proven its key: %v", err)
		}
	})
}

func (r *rpc) dialAndGetMe(t *testing.T, part, access string) (*tokenv1.GetMeResponse, error) {
	t.Helper()
	return tokenv1.NewAccountServiceClient(r.dial(part)).GetMe(meshtest.As(t.Context(), access), &tokenv1.GetMeRequest{})
}

// TestWhatAPartIsToldOfAnExchange asks as the mesh does.
func TestWhatAPartIsToldOfAnExchange(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		r := s.serveRPC()
		x := tokenservice.New(tokenservice.Config{Conn: r.connect(t, "customer"), Dial: func(shown *tls.Certificate) (*grpc.ClientConn, error) {
			return r.showing(t, "customer", shown), nil
		}})
		subject := s.tokens().str("access_token")
		for range 2 { // the second while the first replaces another
			certificate := r.ca.Certificate(t, "customer")
			got, err := x.Exchange(t.Context(), mesh.ExchangeRequest{SubjectToken: subject, Certificate: &certificate})
			if err != nil || claims(t, got.Token)["cnf"].(map[string]any)["x5t#S256"] != mesh.Thumbprint(certificate.Leaf) {
				t.Errorf("it is not bound to what was asked for: %v", err)
			}
		}
		got, err := x.Exchange(t.Context(), mesh.ExchangeRequest{SubjectToken: subject, Audience: of("customer"), Scopes: []string{"securitysystem.read"}})
		said := claims(t, got.Token)
		if err != nil || got.Expiry.Unix() != int64(said["exp"].(float64)) || said["scope"] != "securitysystem.read" {
			t.Errorf("%v, %v", said, err)
		}
		ask := func(change func(*mesh.ExchangeRequest)) error {
			req := mesh.ExchangeRequest{SubjectToken: subject, Audience: of("customer")}
			change(&req)
			_, err := x.Exchange(t.Context(), req)
			return err
		}
		if err := ask(func(req *mesh.ExchangeRequest) { req.Audience = of("notification") + "x" }); err == nil || errors.Is(err, mesh.ErrSubjectToken) || errors.Is(err, mesh.ErrNoScope) {
			t.Errorf("an audience that there is not is the part's own fault: %v", err)
		}
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {subject}})
		if err := ask(func(*mesh.ExchangeRequest) {}); !errors.Is(err, mesh.ErrSubjectToken) {
			t.Errorf("a token that has ended: %v", err)
		}
		r.dropClient(t, "customer")
		if err := ask(func(*mesh.ExchangeRequest) {}); err == nil || errors.Is(err, mesh.ErrSubjectToken) {
			t.Errorf("a part whose client was disabled: %v", err)
		}
	})
}

// connect connects as a part does.
func (r *rpc) connect(t *testing.T, name string) *grpc.ClientConn { return r.showing(t, name, nil) }

// showing connects with a certificate; nil for any that is the part's.
func (r *rpc) showing(t *testing.T, name string, shown *tls.Certificate) *grpc.ClientConn {
	t.Helper()
	own := mesh.AsService(ownToken(sync.OnceValue(func() string { return r.machine(name, serviceSecret).str("access_token") })))
	conn, err := mesh.Dial(mesh.DialConfig{Target: r.addr, TLS: r.ca.Client(t, name), Certificate: shown, Propagation: own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

type ownToken func() string

func (f ownToken) Token(context.Context) (string, error) { return f(), nil }

// dropClient disables a client behind the back of its tokens.
func (s *server) dropClient(t *testing.T, id string) {
	t.Helper()
	if _, err := s.db.Exec(t.Context(), `UPDATE clients SET disabled_at = 1 WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
}
