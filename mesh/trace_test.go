package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

const someTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestOnlyAWellFormedTraceparentIsOne(t *testing.T) {
	for name, v := range map[string]string{
		"none at all":           "",
		"of a later version":    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"with a trace of zeros": "00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"with a span of zeros":  "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"in capitals":           strings.ToUpper(someTrace),
		"with dashes within":    "00-0af7651916cd43dd84-8eb211c80319c-b7ad6b7169203331-01",
		"too long":              someTrace + "-x",
		"with a line break":     someTrace[:54] + "\n",
	} {
		if got := mesh.Traceparent(mesh.WithTraceparent(t.Context(), v)); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	ctx := mesh.WithTraceparent(t.Context(), someTrace)
	if mesh.Traceparent(ctx) != someTrace || mesh.TraceID(ctx) != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("got %q, %q", mesh.Traceparent(ctx), mesh.TraceID(ctx))
	}
	first, second := mesh.NewTraceparent(), mesh.NewTraceparent()
	if first == second || mesh.Traceparent(mesh.WithTraceparent(t.Context(), first)) != first || !strings.HasSuffix(first, "-00") {
		t.Errorf("new: %q, %q", first, second)
	}
}

// entries is a log that is read as it was written.
type entries struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (e *entries) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.Write(p)
}

// rpc waits for the line of a call.
func (e *entries) rpc(t *testing.T) map[string]any {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for line := range strings.Lines(e.text.String()) {
		entry := map[string]any{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry["msg"] == "rpc" {
			return entry
		}
	}
	return nil
}

func TestWhoseTraceGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name, sent string
		configure  func(*mesh.ServerConfig)
		goesOn     bool
	}{
		{name: "that of a caller with a certificate", sent: someTrace, goesOn: true},
		{name: "one that is malformed does not", sent: someTrace + "0"},
		{name: "a stranger's does not", sent: someTrace, configure: strangers},
		{name: "a stranger's does where that is configured", sent: someTrace, goesOn: true, configure: func(c *mesh.ServerConfig) {
			strangers(c)
			c.TrustTraceparent = true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			iss, log := meshtest.NewIssuer(t), &entries{}
			var unary, stream string
			handlers := &echo{
				unary: func(ctx context.Context, in note) (note, error) { unary = mesh.Traceparent(ctx); return in, nil },
				stream: func(s grpc.ServerStream) error {
					stream = mesh.Traceparent(s.Context())
					return s.SendMsg(newNote("").Message)
				},
			}
			srv := meshtest.Serve(t, iss, meshtest.Part{Name: "customer", Configure: func(c *mesh.ServerConfig) {
				c.Logger = slog.New(slog.NewJSONHandler(log, nil))
				if tt.configure != nil {
					tt.configure(c)
				}
			}}, handlers.register)
			ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), "traceparent", tt.sent)
			conn := srv.Dial(t)
			if _, err := say(ctx, conn, "Say", ""); err != nil {
				t.Fatal(err)
			}
			if err := open(t, ctx, conn, "Watch").RecvMsg(newNote("").Message); err != nil {
				t.Fatal(err)
			}
			for kind, got := range map[string]string{"unary": unary, "stream": stream} {
				if (got == tt.sent) != tt.goesOn {
					t.Errorf("%s: got %q", kind, got)
				}
			}
			if logged, _ := log.rpc(t)["trace_id"].(string); unary != "" && logged != unary[3:35] {
				t.Errorf("logged %q of %q", logged, unary)
			}
		})
	}
}

func strangers(c *mesh.ServerConfig) {
	c.TLS = c.TLS.Clone()
	c.TLS.ClientAuth = 0
}

func TestADecisionIsToldOnceWithItsCause(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var mu sync.Mutex
	var told []string
	handlers := &echo{unary: func(_ context.Context, in note) (note, error) { return in, nil }}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "customer", Configure: func(c *mesh.ServerConfig) {
		c.Decided = func(ctx context.Context, d mesh.Decision) {
			mu.Lock()
			defer mu.Unlock()
			who := ""
			if d.Caller != nil {
				who = d.Caller.Subject
			}
			told = append(told, strings.TrimPrefix(d.Method, "/test.mesh.v1.Echo/")+" "+d.Cause+" "+who)
			if mesh.RequestID(ctx) == "" {
				t.Error("the context is not that of the call")
			}
		}
	}}, handlers.register)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "alice"}))
	for _, method := range []string{"Say", "Open", "Admin"} {
		_, _ = say(ctx, srv.Dial(t), method, "")
	}
	if got := strings.Join(told, ","); got != "Say  alice,Open  ,Admin role_missing " {
		t.Errorf("told %q", got)
	}
}
