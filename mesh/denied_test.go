package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestADenialSaysWhoWasRefusedWhatAndWhy(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	denied := make(chan mesh.Denial, 10)
	lines := &logs{}
	noon := time.Now()
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Denied = func(d mesh.Denial) { denied <- d }
		c.Now = func() time.Time { return noon }
		c.Revocations = revocations{stale: func() bool { return true }, revoked: func(id mesh.Identity) bool { return id.Subject == "u-gone" }}
		c.Logger = lines.logger()
	}}, (&echo{unary: whoami, stream: func(grpc.ServerStream) error { return nil }}).register)
	conn := srv.DialAs(t, "gateway")
	alice := meshtest.Claims{Subject: "u-alice", ClientID: "web"}

	type told struct{ Method, Reason, Cause, Subject, Client, Via, RequestID string }
	for _, tt := range []struct {
		name   string
		method string
		claims meshtest.Claims
		token  string // in place of one with the claims
		want   *told
	}{
		{name: "a role is missing", method: "Admin", claims: alice,
			want: &told{Reason: "ROLE_MISSING", Cause: "role_missing", Subject: "u-alice", Client: "web"}},
		{name: "a scope is missing", method: "Scoped", claims: alice,
			want: &told{Reason: "SCOPE_MISSING", Cause: "scope_missing", Subject: "u-alice", Client: "web"}},
		{name: "another kind may", method: "Internal", claims: alice,
			want: &told{Reason: "CALLER_KIND", Cause: "caller_kind", Subject: "u-alice", Client: "web"}},
		{name: "a workload with a token of another's", method: "Internal", claims: meshtest.Claims{Subject: "customer", Kind: mesh.KindWorkload},
			want: &told{Reason: "WORKLOAD", Cause: "workload_certificate", Subject: "customer", Client: "customer"}},
		{name: "the sign-in is too old", method: "Fresh", claims: alice,
			want: &told{Reason: "INSUFFICIENT_USER_AUTHENTICATION", Cause: "step_up", Subject: "u-alice", Client: "web"}},
		{name: "who is let in is denied nothing", method: "Say", claims: alice},
		{name: "nor is a stranger", method: "Admin", token: "guess"},
		{name: "nor who is known no more", method: "Admin", claims: meshtest.Claims{Subject: "u-gone"}},
		{name: "nor whom a dependency keeps waiting", method: "Careful", claims: alice},
		{name: "nor who asks for what does not exist", method: "Nothing", claims: alice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := tt.token
			if token == "" {
				token = iss.Token(t, tt.claims)
			}
			ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), token), "x-request-id", "req-7")
			_, err := say(ctx, conn, tt.method, "")
			var got *told
			select {
			case d := <-denied: // told before the answer
				got = &told{d.Method, d.Reason, d.Cause, d.Caller.Subject, d.Caller.ClientID, strings.Join(d.Via, " "), d.RequestID}
				if !d.Time.Equal(noon) || d.Reason != mesh.Reason(err) {
					t.Errorf("at %v, %s; answered %v", d.Time, d.Reason, err)
				}
			default:
			}
			if tt.want != nil {
				tt.want.Method, tt.want.Via, tt.want.RequestID = "/test.mesh.v1.Echo/"+tt.method, "gateway", "req-7"
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("what is told differs (-want +got):\n%s", diff)
			}
		})
	}
	if got := lines.String(); !strings.Contains(got, "caller.sub=u-alice caller.client=web cause=role_missing") {
		t.Errorf("the log does not name who was refused:\n%s", got)
	}
}

func TestADeniedStreamIsTold(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	denied := make(chan mesh.Denial, 10)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Denied = func(d mesh.Denial) { denied <- d }
	}}, (&echo{stream: func(grpc.ServerStream) error { return nil }}).register)
	stream := open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice"})), srv.Dial(t), "Recent")
	if err := stream.RecvMsg(newNote("").Message); mesh.Reason(err) != mesh.ReasonStepUp {
		t.Fatal(err)
	}
	if d := <-denied; d.Method != "/test.mesh.v1.Echo/Recent" || d.Caller.Subject != "u-alice" || d.Reason != mesh.ReasonStepUp {
		t.Errorf("%+v", d)
	}
}

// TestWhatAHandlerDeniesIsTold has it deny something to somebody whom the rule admits, and fail otherwise.
func TestWhatAHandlerDeniesIsTold(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	denied := make(chan mesh.Denial, 10)
	var answer error
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Denied = func(d mesh.Denial) { denied <- d }
	}}, (&echo{
		unary:  func(context.Context, note) (note, error) { return newNote(""), answer },
		stream: func(grpc.ServerStream) error { return answer },
	}).register)
	conn := srv.DialAs(t, "gateway")
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice"}))
	for _, tt := range []struct {
		name   string
		answer error
		method string
		told   int
	}{
		{"it denies", mesh.PermissionDenied("NOT_YOURS", "no"), "Say", 2},
		{"it hides", mesh.NotFound("system", "1"), "Say", 0},
		{"it fails over a denial that it has met", fmt.Errorf("ask: %w", mesh.PermissionDenied("NOT_YOURS", "no")), "Say", 0},
		{"nobody is known", mesh.PermissionDenied("NOT_YOURS", "no"), "Open", 0},
	} {
		answer = tt.answer
		_, _ = say(ctx, conn, tt.method, "")
		if tt.method == "Say" {
			_, _ = watch(ctx, conn)
		}
		if len(denied) != tt.told {
			t.Errorf("%s: told of %d", tt.name, len(denied))
		}
		for range len(denied) {
			if d := <-denied; d.Reason != "NOT_YOURS" || d.Cause != "object" || d.Caller.Subject != "u-alice" || !cmp.Equal(d.Via, []string{"gateway"}) {
				t.Errorf("%s: %+v", tt.name, d)
			}
		}
	}
}
