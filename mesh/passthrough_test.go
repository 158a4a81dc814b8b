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
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// edge is a server that passes the calls of echo on to back, and counts the methods its interceptors see.
func edge(t *testing.T, iss *meshtest.Issuer, back *echo, seen *[]string, configure func(*mesh.ServerConfig)) *meshtest.Server {
	t.Helper()
	to := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, back.register).Connect(t, "gateway", mesh.Forward())
	return meshtest.Serve(t, iss, meshtest.Part{Name: "gateway", Configure: func(c *mesh.ServerConfig) {
		c.PassThrough = &mesh.PassThrough{
			Services: []protoreflect.ServiceDescriptor{echoFile().Services().Get(0)},
			Handler:  func(_ any, in grpc.ServerStream) error { return passOn(to, in) },
		}
		c.StreamInterceptors = append(c.StreamInterceptors, func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			*seen = append(*seen, info.FullMethod)
			return next(srv, s)
		})
		if configure != nil {
			configure(c)
		}
	}}, func(grpc.ServiceRegistrar) {})
}

// passOn hands on one message there and one back, unread.
func passOn(to grpc.ClientConnInterface, in grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(in)
	var message emptypb.Empty
	if err := in.RecvMsg(&message); err != nil {
		return err
	}
	var answer emptypb.Empty
	if err := to.Invoke(in.Context(), method, &message, &answer); err != nil {
		return err
	}
	return in.SendMsg(&answer)
}

func TestAnEdgePassesOnWhatIsDeclaredEdgeAndNothingElse(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var seen []string
	conn := edge(t, iss, &echo{unary: whoami}, &seen, nil).DialAs(t, "customer")
	alice := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web", Roles: []string{"ADMIN"}}))
	late := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web",
		Issued: time.Now().Add(-5 * time.Minute), Expiry: time.Now().Add(-10 * time.Second)}))
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		method string
		want   string
		code   codes.Code
	}{
		{name: "an edge method, as the caller", ctx: alice, method: "Say", want: "user u-alice via web"},
		{name: "an edge method, with a token that has expired by less than clocks may differ", ctx: late, method: "Say", want: "user u-alice via web"},
		{name: "an edge method without a token", ctx: t.Context(), method: "Say", code: codes.Unauthenticated},
		{name: "an internal method that the caller would be admitted to", ctx: alice, method: "Admin", code: codes.Unimplemented},
		{name: "an internal method, as a workload", ctx: meshtest.As(t.Context(), iss.Workload(t, "customer")), method: "Internal", code: codes.Unimplemented},
		{name: "a method that is not", ctx: alice, method: strings.Repeat("x", 100), code: codes.Unimplemented},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := say(tt.ctx, conn, tt.method, "hello")
			if got != tt.want || status.Code(err) != tt.code {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.code)
			}
		})
	}
	for _, method := range seen {
		if method != "/test.mesh.v1.Echo/Say" {
			t.Errorf("an interceptor that counts by method sees %s", method)
		}
	}
}

func TestAnEdgeTakesOtherCredentialsAndForwardsTheTokenInTheirPlace(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var seen []string
	conn := edge(t, iss, &echo{unary: whoami}, &seen, func(c *mesh.ServerConfig) {
		c.Credential = func(_ context.Context, authorization string) (string, error) {
			switch authorization {
			case "Bearer rgk_1.secret":
				return iss.Token(t, meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient}), nil
			case "Bearer rgk_2.secret":
				return "", mesh.ErrCannotVerify
			default:
				return strings.TrimPrefix(authorization, "Bearer "), nil
			}
		}
	}).Dial(t)
	for key, want := range map[string]codes.Code{"rgk_1.secret": codes.OK, "rgk_2.secret": codes.Unavailable, "rgk_3.secret": codes.Unauthenticated} {
		got, err := say(meshtest.As(t.Context(), key), conn, "Say", "")
		if status.Code(err) != want || want == codes.OK && got != "client rgk_1" {
			t.Errorf("%s: got %q, %v; want %v", key, got, err, want)
		}
	}
	ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), "rgk_1.secret"), "authorization", "Bearer rgk_1.secret")
	if _, err := say(ctx, conn, "Say", ""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("two credentials: %v", err)
	}
}

func TestACallPassedOnCannotTakeForEver(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var seen []string
	conn := edge(t, iss, &echo{unary: func(ctx context.Context, _ note) (note, error) { <-ctx.Done(); return note{}, ctx.Err() }},
		&seen, func(c *mesh.ServerConfig) { c.CallLimit = 50 * time.Millisecond }).Dial(t)
	_, err := say(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Say", "")
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func TestAnEdgeRefusesEveryBadCredential(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var seen []string
	srv := edge(t, iss, &echo{unary: func(context.Context, note) (note, error) { t.Error("a handler ran"); return newNote(""), nil }}, &seen, nil)
	meshtest.RefusesBadTokens(t, srv)
}
