package gateway_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

func authorized(ctx context.Context, values ...string) context.Context {
	for _, v := range values {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	return ctx
}

func TestNativeGRPCWhoMayCall(t *testing.T) {
	w := newWorld(t)
	w.idp.apiKeys[keyID] = keySecret
	g := w.gateway(t)
	good := meshtest.Claims{Subject: "u-mary", Scopes: []string{"securitysystem.read"}}
	token := func(change func(*meshtest.Claims)) string {
		c := good
		change(&c)
		return "Bearer " + w.idp.Token(t, c)
	}
	fine := token(func(*meshtest.Claims) {})
	tests := []struct {
		name   string
		values []string
		code   codes.Code
		caller string
	}{
		{"a bearer token", []string{fine}, codes.OK, "u-mary"},
		{"a scheme in lower case", []string{"bearer" + fine[6:]}, codes.OK, "u-mary"},
		{"an API key and its secret", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(keyID+":"+keySecret))}, codes.OK, keyID},
		{"an API key in one string", []string{"Bearer " + keyID + "." + keySecret}, codes.OK, keyID},
		{"nothing", nil, codes.Unauthenticated, ""},
		{"an empty value", []string{""}, codes.Unauthenticated, ""},
		{"no token at all", []string{"Bearer x"}, codes.Unauthenticated, ""},
		{"an API key with another's secret", []string{"Bearer " + keyID + ".wrong"}, codes.Unauthenticated, ""},
		{"Basic with another client's credentials", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+clientSecret))}, codes.Unauthenticated, ""},
		{"two tokens", []string{fine, fine}, codes.Unauthenticated, ""},
		{"two tokens in one value", []string{fine + ", " + fine}, codes.Unauthenticated, ""},
		{"an expired token", []string{token(func(c *meshtest.Claims) { c.Expiry = time.Now().Add(-time.Hour) })}, codes.Unauthenticated, ""},
		{"a token for another audience", []string{token(func(c *meshtest.Claims) { c.Audience = []string{"urn:other"} })}, codes.Unauthenticated, ""},
		{"a token for the gateway alone", []string{token(func(c *meshtest.Claims) { c.Audience = []string{"urn:realguardio:gateway"} })}, codes.Unauthenticated, ""},
		{"an ID token", []string{token(func(c *meshtest.Claims) { c.Header = map[string]any{"typ": "JWT"} })}, codes.Unauthenticated, ""},
		{"an unsigned token", []string{token(func(c *meshtest.Claims) { c.Header = map[string]any{"alg": "none"} })}, codes.Unauthenticated, ""},
		{"a token without the scope", []string{token(func(c *meshtest.Claims) { c.Scopes = nil })}, codes.PermissionDenied, ""},
		{"a workload's token", []string{"Bearer " + w.idp.Workload(t, "customer")}, codes.PermissionDenied, ""},
	}
	conn := g.dial(t)
	client := securitysystemv1.NewSecuritySystemServiceClient(conn)
	for _, tt := range tests {
		t.Run("unary: "+tt.name, func(t *testing.T) {
			w.backend.take()
			out, err := client.GetSecuritySystem(authorized(t.Context(), tt.values...), &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"})
			if status.Code(err) != tt.code {
				t.Fatalf("got %v; want %s", err, tt.code)
			}
			calls := w.backend.take()
			if tt.code != codes.OK {
				if len(calls) != 0 {
					t.Error("the service was called")
				}
				return
			}
			if out.GetSecuritySystem().GetLocationName() != "Oakland" || len(calls) != 1 || calls[0].caller.Subject != tt.caller {
				t.Errorf("got %v; the service saw %v", out, calls)
			}
		})
	}
	for _, tt := range tests {
		if tt.caller == keyID || tt.code == codes.PermissionDenied { // the stream's rule is another
			continue
		}
		t.Run("stream: "+tt.name, func(t *testing.T) {
			w.backend.take()
			w.backend.does(func(stream grpc.ServerStream) error { return nil })
			stream, err := conn.NewStream(authorized(t.Context(), tt.values...), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, chat)
			if err == nil {
				err = stream.RecvMsg(&emptypb.Empty{})
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if status.Code(err) != tt.code {
				t.Fatalf("got %v; want %s", err, tt.code)
			}
			if n := len(w.backend.take()); (n == 1) != (tt.code == codes.OK) {
				t.Errorf("the service was called %d times", n)
			}
		})
	}
}

const chat = "/test.gateway.v1.Streams/Chat"

func (b *backend) does(do func(grpc.ServerStream) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stream = do
}

func TestNativeGRPCWhatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	conn := w.gateway(t).dial(t)
	ctx := authorized(t.Context(), "Bearer "+w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}}))
	for _, method := range []string{
		"/realguardio.securitysystem.v1.SecuritySystemService/HasSystemAt", "/realguardio.customer.v1.CustomerService/LookupLocation",
		"/realguardio.mesh.v1.RevocationService/Watch", "/realguardio.token.v1.AdminService/ProvisionUser", "/test.gateway.v1.Streams/Inner",
		"/realguardio.securitysystem.v1.SecuritySystemService/Nothing", "/Nothing/Nothing", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.channelz.v1.Channelz/GetTopChannels", "/realguardio.securitysystem.v1.SecuritySystemService//GetSecuritySystem",
	} {
		for _, with := range []context.Context{ctx, t.Context()} {
			if err := conn.Invoke(with, method, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %v", method, err)
			}
		}
	}
	if calls := w.backend.take(); len(calls) != 0 {
		t.Errorf("the service was called: %v", calls)
	}
	if r, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", r, err)
	}
}

func TestNativeGRPCWhatAServiceSees(t *testing.T) {
	w := newWorld(t)
	conn := w.gateway(t).dial(t)
	ctx := authorized(t.Context(), "Bearer "+w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}}))
	ctx = metadata.AppendToOutgoingContext(ctx, "x-user-id", "u-eve", "x-forwarded-client-cert", "evil", "x-forwarded-for", "6.6.6.6", "cookie", "a=b",
		"evil-bin", "\x00", "grpcgateway-authorization", "evil", "x-request-id", "req-7", "accept-language", "de",
		"traceparent", strangersTrace, "tracestate", "evil=1", "baggage", "user=u-eve", "idempotency-key", "a", "idempotency-key", "b", "mesh-client", "6.6.6.6")
	var headers, trailers metadata.MD
	client := securitysystemv1.NewSecuritySystemServiceClient(conn)
	if _, err := client.ListSecuritySystems(ctx, &securitysystemv1.ListSecuritySystemsRequest{}, grpc.Header(&headers), grpc.Trailer(&trailers)); err != nil {
		t.Fatal(err)
	}
	md := w.backend.take()[0].metadata
	for key := range md {
		switch key {
		case "traceparent":
			if len(md[key]) != 1 || md[key][0] == strangersTrace {
				t.Errorf("the service saw %v", md[key])
			}
		case "mesh-client":
			if len(md[key]) != 1 || md[key][0] != "127.0.0.1" {
				t.Errorf("the service saw %v", md[key])
			}
		case "authorization", "mesh-token-ref", "x-request-id", "accept-language", ":authority", "content-type", "user-agent", "grpc-accept-encoding":
		default:
			t.Errorf("the service saw %s = %v", key, md[key])
		}
	}
	if got := md.Get("x-request-id"); len(got) != 1 || got[0] != "req-7" || len(md.Get("authorization")) != 1 || md.Get("accept-language")[0] != "de" {
		t.Errorf("the service saw %v", md)
	}
	if len(headers.Get("x-request-id")) != 0 || len(trailers) != 0 { // it chose the id itself
		t.Errorf("the caller saw %v, %v", headers, trailers)
	}
}

func TestNativeGRPCRefusals(t *testing.T) {
	w := newWorld(t)
	client := securitysystemv1.NewSecuritySystemServiceClient(w.gateway(t).dial(t))
	ctx := authorized(t.Context(), "Bearer "+w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}}))
	get := func(ctx context.Context) error {
		_, err := client.GetSecuritySystem(ctx, &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"})
		return err
	}
	w.backend.refuse(mesh.NotFound("security system", "sys_1"))
	if err := get(ctx); status.Code(err) != codes.NotFound || mesh.Reason(err) != "NOT_FOUND" {
		t.Errorf("a refusal arrives as %v", err)
	}
	w.backend.refuse(errors.New("pq: secret"))
	if err := get(ctx); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "pq") {
		t.Errorf("a fault arrives as %v", err)
	}
	w.backend.refuse(nil)
	if _, err := client.GetSecuritySystem(ctx, &securitysystemv1.GetSecuritySystemRequest{}); mesh.Reason(err) != "INVALID_FIELD" {
		t.Errorf("a bad field arrives as %v", err)
	}
	late, cancel := context.WithTimeout(ctx, -time.Second)
	defer cancel()
	if err := get(late); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a passed deadline arrives as %v", err)
	}
	huge := &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: strings.Repeat("x", 2<<20)}
	if _, err := client.GetSecuritySystem(ctx, huge); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a huge message arrives as %v", err)
	}
}

// TestNativeGRPCTakesOneMessageWhereTheMethodDoes: another number is the caller's fault, and no internal error of ours.
func TestNativeGRPCTakesOneMessageWhereTheMethodDoes(t *testing.T) {
	w := newWorld(t)
	conn := w.gateway(t).dial(t)
	ctx := authorized(t.Context(), "Bearer "+w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}}))
	for _, method := range []string{
		securitysystemv1.SecuritySystemService_GetSecuritySystem_FullMethodName, securitysystemv1.SecuritySystemService_WatchSecuritySystems_FullMethodName,
	} {
		for _, messages := range []int{0, 2, 3} {
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
			if err != nil {
				t.Fatal(err)
			}
			for range messages {
				_ = stream.SendMsg(&securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"}) // RecvMsg tells
			}
			_ = stream.CloseSend()
			if err := stream.RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.InvalidArgument || mesh.Reason(err) != mesh.ReasonMalformedMessage {
				t.Errorf("%d messages to %s: %v", messages, method, err)
			}
		}
	}
	if seen := w.backend.take(); len(seen) != 0 {
		t.Errorf("the service was called %d times", len(seen))
	}
}

// say sends and receives one note.
func say(t *testing.T, stream grpc.ClientStream, text string) string {
	t.Helper()
	note := streamFile().Messages().Get(0)
	field := note.Fields().Get(0)
	out := dynamicpb.NewMessage(note)
	out.Set(field, protoreflect.ValueOfString(text))
	if err := stream.SendMsg(out); err != nil {
		t.Fatal(err)
	}
	in := dynamicpb.NewMessage(note)
	if err := stream.RecvMsg(in); err != nil {
		t.Fatal(err)
	}
	return in.Get(field).String()
}

// echo answers each message with itself until the caller is done, and tells how it ended.
func echo(ended chan<- error) func(grpc.ServerStream) error {
	return func(stream grpc.ServerStream) error {
		for {
			var message emptypb.Empty
			err := stream.RecvMsg(&message)
			if err == nil {
				err = stream.SendMsg(&message)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if err != nil || message.ProtoReflect().GetUnknown() == nil {
				ended <- err
				return err
			}
		}
	}
}

func TestNativeGRPCStreams(t *testing.T) {
	w := newWorld(t)
	conn := w.gateway(t).dial(t)
	open := func(t *testing.T, ctx context.Context, c meshtest.Claims) (grpc.ClientStream, <-chan error) {
		t.Helper()
		ended := make(chan error, 1)
		w.backend.does(echo(ended))
		stream, err := conn.NewStream(authorized(ctx, "Bearer "+w.idp.Token(t, c)), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, chat)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two", "three"} {
			if got := say(t, stream, text); got != text {
				t.Fatalf("said %q, heard %q", text, got)
			}
		}
		return stream, ended
	}
	t.Run("messages pass both ways, and the caller's end reaches the service", func(t *testing.T) {
		stream, ended := open(t, t.Context(), meshtest.Claims{})
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&emptypb.Empty{}); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the service saw %v", err)
		}
	})
	t.Run("a caller that goes away is gone for the service too", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, ended := open(t, ctx, meshtest.Claims{})
		cancel()
		if err := <-ended; err == nil {
			t.Error("the service saw nothing")
		}
	})
	t.Run("a stream ends with its token", func(t *testing.T) {
		stream, ended := open(t, t.Context(), meshtest.Claims{Expiry: time.Now().Add(2 * time.Second)})
		if err := stream.RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("the stream ended with %v", err)
		}
		<-ended
	})
	t.Run("a stream ends when its session does", func(t *testing.T) {
		stream, ended := open(t, t.Context(), meshtest.Claims{SessionID: "sid-9"})
		if err := w.revoked.Add(revocation.Entry{Kind: revocation.Session, Value: "sid-9"}); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("the stream ended with %v", err)
		}
		<-ended
	})
}
