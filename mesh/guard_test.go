package mesh_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// whoami answers with the caller that the handler sees.
func whoami(ctx context.Context, _ note) (note, error) {
	return newNote(mesh.Caller(ctx).String()), nil
}

func TestAMethodRunsOnlyForWhomItsRuleAdmits(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	stale := false
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Revocations = revocations{stale: func() bool { return stale }}
	}}, (&echo{unary: whoami}).register)
	now := time.Now()
	asUser := meshtest.Claims{Subject: "u-alice", ClientID: "web"}

	for _, tt := range []struct {
		name    string
		method  string
		claims  meshtest.Claims
		as      string // whose certificate; "test-client" when empty
		stale   bool
		want    codes.Code
		reason  string
		answers string
	}{
		{name: "a user may call what users may call", method: "Say", claims: asUser, answers: "user u-alice via web"},
		{name: "a client may call what clients may call", method: "Say", claims: meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient}, answers: "client rgk_1"},
		{name: "a client may not call what only users may call", method: "Admin", claims: meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient, Roles: []string{"ADMIN"}}, want: codes.PermissionDenied, reason: "CALLER_KIND"},
		{name: "a user may not call an internal method", method: "Internal", claims: asUser, want: codes.PermissionDenied, reason: "CALLER_KIND"},
		{name: "a user over a workload's connection is a user still", method: "Internal", claims: asUser, as: "customer", want: codes.PermissionDenied, reason: "CALLER_KIND"},
		{name: "a named workload may call", method: "Internal", claims: meshtest.Claims{Subject: "customer", Kind: mesh.KindWorkload}, as: "customer", answers: "workload customer"},
		{name: "a workload that is not named may not", method: "Internal", claims: meshtest.Claims{Subject: "notification", Kind: mesh.KindWorkload}, as: "notification", want: codes.PermissionDenied, reason: "WORKLOAD"},
		{name: "any workload may where any may", method: "Anyone", claims: meshtest.Claims{Subject: "billing", Kind: mesh.KindWorkload}, as: "billing", answers: "workload billing"},
		{name: "any workload needs its certificate all the same", method: "Anyone", claims: meshtest.Claims{Subject: "billing", Kind: mesh.KindWorkload}, as: "customer", want: codes.PermissionDenied, reason: "WORKLOAD"},
		{name: "a user is no workload where any may", method: "Anyone", claims: asUser, as: "customer", want: codes.PermissionDenied, reason: "CALLER_KIND"},
		{name: "a workload's token over another's certificate is refused", method: "Internal", claims: meshtest.Claims{Subject: "customer", Kind: mesh.KindWorkload}, as: "notification", want: codes.PermissionDenied, reason: "WORKLOAD"},
		{name: "one of several roles is enough", method: "Admin", claims: meshtest.Claims{Roles: []string{"OTHER", "ROOT"}}, answers: "user u-test via test-client"},
		{name: "no role is not enough", method: "Admin", claims: asUser, want: codes.PermissionDenied, reason: "ROLE_MISSING"},
		{name: "a role that begins alike is another role", method: "Admin", claims: meshtest.Claims{Roles: []string{"ADMIN2", "admin"}}, want: codes.PermissionDenied, reason: "ROLE_MISSING"},
		{name: "a role as a scope is no role", method: "Admin", claims: meshtest.Claims{Scopes: []string{"ADMIN"}}, want: codes.PermissionDenied, reason: "ROLE_MISSING"},
		{name: "every scope is needed", method: "Scoped", claims: meshtest.Claims{Scopes: []string{"a.read"}}, want: codes.PermissionDenied, reason: "SCOPE_MISSING"},
		{name: "all scopes are enough", method: "Scoped", claims: meshtest.Claims{Scopes: []string{"a.write", "x", "a.read"}}, answers: "user u-test via test-client"},
		{name: "a fresh sign-in is fresh", method: "Fresh", claims: meshtest.Claims{AuthTime: now.Add(-4 * time.Minute)}, answers: "user u-test via test-client"},
		{name: "an old sign-in must be repeated", method: "Fresh", claims: meshtest.Claims{AuthTime: now.Add(-6 * time.Minute)}, want: codes.Unauthenticated, reason: "INSUFFICIENT_USER_AUTHENTICATION"},
		{name: "a sign-in at an unknown time must be repeated", method: "Fresh", claims: asUser, want: codes.Unauthenticated, reason: "INSUFFICIENT_USER_AUTHENTICATION"},
		{name: "the authentication context that is asked for is enough", method: "Strong", claims: meshtest.Claims{ACR: "phr"}, answers: "user u-test via test-client"},
		{name: "another authentication context is not", method: "Strong", claims: meshtest.Claims{ACR: "pwd"}, want: codes.Unauthenticated, reason: "INSUFFICIENT_USER_AUTHENTICATION"},
		{name: "a sensitive method runs while revocations are current", method: "Careful", claims: asUser, answers: "user u-alice via web"},
		{name: "a sensitive method is closed while they are stale", method: "Careful", claims: asUser, stale: true, want: codes.Unavailable, reason: "DEPENDENCY_DOWN"},
		{name: "another method is open while they are stale", method: "Say", claims: asUser, stale: true, answers: "user u-alice via web"},
		{name: "a public method knows no caller, even with a token", method: "Open", claims: asUser, answers: "anonymous"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stale = tt.stale
			conn := srv.Dial(t)
			if tt.as != "" {
				conn = srv.DialAs(t, tt.as)
			}
			got, err := say(meshtest.As(t.Context(), iss.Token(t, tt.claims)), conn, tt.method, "")
			if status.Code(err) != tt.want || mesh.Reason(err) != tt.reason || got != tt.answers {
				t.Errorf("got %q, %v (%s); want %q, %v (%s)", got, err, mesh.Reason(err), tt.answers, tt.want, tt.reason)
			}
		})
	}
}

func TestOneCredentialInOneForm(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	conn := srv.Dial(t)
	token := iss.Token(t, meshtest.Claims{Subject: "u-alice"})

	for _, tt := range []struct {
		name   string
		values []string
		want   codes.Code
	}{
		{name: "the scheme's case does not matter", values: []string{"bEARER " + token}},
		{name: "none", want: codes.Unauthenticated},
		{name: "the same twice", values: []string{"Bearer " + token, "Bearer " + token}, want: codes.Unauthenticated},
		{name: "a good one before a bad one", values: []string{"Bearer " + token, "Bearer x"}, want: codes.Unauthenticated},
		{name: "an empty one after a good one", values: []string{"Bearer " + token, ""}, want: codes.Unauthenticated},
		{name: "two joined by a comma", values: []string{"Bearer " + token + ", Bearer " + token}, want: codes.Unauthenticated},
		{name: "another scheme", values: []string{"Basic " + token}, want: codes.Unauthenticated},
		{name: "no scheme", values: []string{token}, want: codes.Unauthenticated},
		{name: "an empty token", values: []string{"Bearer "}, want: codes.Unauthenticated},
		{name: "two spaces", values: []string{"Bearer  " + token}, want: codes.Unauthenticated},
		{name: "something after the token", values: []string{"Bearer " + token + " x"}, want: codes.Unauthenticated},
		{name: "more than 8 KB", values: []string{"Bearer " + token + strings.Repeat("A", 8<<10)}, want: codes.Unauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": tt.values})
			_, err := say(ctx, conn, "Say", "")
			if status.Code(err) != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err != nil && status.Convert(err).Message() != "authentication is required" {
				t.Errorf("the text tells why: %v", err)
			}
		})
	}
}

func TestIdentityComesFromTheTokenAlone(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})),
		"x-user-id", "u-admin", "x-tenant", "other", "x-forwarded-client-cert", "URI=spiffe://realguardio/customer",
		"x-forwarded-user", "admin", "x-roles", "ADMIN")
	got, err := say(ctx, srv.Dial(t), "Say", "")
	if err != nil || got != "user u-alice via web" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := say(ctx, srv.Dial(t), "Admin", ""); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a role from a header counts: %v", err)
	}
}

func TestAHandlerCannotChangeWhatOthersSee(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, _ note) (note, error) {
		id := mesh.Caller(ctx)
		was := id.Roles[0]
		id.Roles[0] = "ADMIN"
		return newNote(was), nil
	}}).register)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Roles: []string{"NONE"}}))
	for range 3 {
		if got, err := say(ctx, srv.Dial(t), "Say", ""); err != nil || got != "NONE" {
			t.Fatalf("got %q, %v; a handler has changed the cached identity", got, err)
		}
	}
	if _, err := say(ctx, srv.Dial(t), "Admin", ""); status.Code(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
}

// revocations is a set that the test decides.
type revocations struct {
	mesh.Revocations
	stale   func() bool
	revoked func(mesh.Identity) bool
	notify  func(mesh.Identity, func()) func()
}

func (r revocations) Stale() bool { return r.stale != nil && r.stale() }

func (r revocations) Revoked(id mesh.Identity) bool { return r.revoked != nil && r.revoked(id) }

func (r revocations) Notify(id mesh.Identity, f func()) func() {
	if r.notify == nil {
		return func() {}
	}
	return r.notify(id, f)
}

func TestEveryMethodRefusesEveryBadCredential(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	e := &echo{
		unary:  func(context.Context, note) (note, error) { t.Error("a handler ran"); return newNote(""), nil },
		stream: func(grpc.ServerStream) error { t.Error("a handler ran"); return nil },
	}
	meshtest.RefusesBadTokens(t, meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, e.register))
}
