package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/gateway"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// opaqueToken has the provider know an opaque token, which stands for a JWT of these claims.
func (w *world) opaqueToken(t *testing.T, name string, c meshtest.Claims) string {
	t.Helper()
	token, jwt := "rgo_"+name, w.idp.Token(t, c)
	w.idp.set(func(p *idp) { p.opaque[token] = jwt })
	return token
}

func TestAnOpaqueTokenIsIntrospectedOnceAndAJWTTravelsInside(t *testing.T) {
	w := newWorld(t)
	logged := &lockedBuffer{}
	var late atomic.Int64
	g := w.gateway(t, func(c *gateway.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(io.MultiWriter(logged, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	})
	token := w.opaqueToken(t, "good-1", meshtest.Claims{Subject: "u-mary", TokenID: "t-mary", Scopes: []string{"securitysystem.read"}})
	list := func(token string) reply { return g.do(t, http.MethodGet, "/api/securitysystems", "", bearer(token)) }
	native := securitysystemv1.NewSecuritySystemServiceClient(g.dial(t))
	get := func(token string) codes.Code {
		_, err := native.GetSecuritySystem(authorized(t.Context(), "Bearer "+token), &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"})
		return status.Code(err)
	}

	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { list(token).want(t, 200, "") })
	}
	all.Wait()
	if code := get(token); code != codes.OK {
		t.Errorf("native gRPC: %s", code)
	}
	if n := w.idp.count("introspection"); n != 1 {
		t.Errorf("%d introspections", n)
	}
	for _, call := range w.backend.take() {
		if call.caller.Subject != "u-mary" || call.caller.TokenID != "t-mary" {
			t.Errorf("%s saw %v", call.method, call.caller)
		}
	}
	t.Run("with the provider down what is known goes on, the rest is 503", func(t *testing.T) {
		w.idp.set(func(p *idp) { p.down = true })
		defer w.idp.set(func(p *idp) { p.down = false })
		list(token).want(t, 200, "")
		list("rgo_good-2").want(t, 503, "DEPENDENCY_DOWN")
		if code := get("rgo_good-2"); code != codes.Unavailable {
			t.Errorf("native gRPC: %s", code)
		}
	})
	t.Run("that was no answer: it is asked again", func(t *testing.T) {
		list(w.opaqueToken(t, "good-2", meshtest.Claims{Subject: "u-mary", Scopes: []string{"securitysystem.read"}})).want(t, 200, "")
	})
	t.Run("what it may do is what the JWT says", func(t *testing.T) {
		list(w.opaqueToken(t, "no-scope", meshtest.Claims{Subject: "u-mary"})).want(t, 403, "SCOPE_MISSING")
	})
	t.Run("one that is not active is refused, and asked about once", func(t *testing.T) {
		before := w.idp.count("introspection")
		w.backend.take()
		for range 5 {
			list("rgo_nobody").want(t, 401, "INVALID_TOKEN")
			if code := get("rgo_nobody"); code != codes.Unauthenticated {
				t.Errorf("native gRPC: %s", code)
			}
		}
		list("rgo_not.a.token").want(t, 401, "INVALID_TOKEN")
		list("rgo_").want(t, 401, "INVALID_TOKEN")
		if n := w.idp.count("introspection") - before; n > 2 || len(w.backend.take()) != 0 {
			t.Errorf("%d introspections, or the service was called", n)
		}
	})
	t.Run("one that the provider says anything of that is no token of its own is refused", func(t *testing.T) {
		w.idp.set(func(p *idp) {
			p.opaque["rgo_forged"] = meshtest.NewIssuer(t).Token(t, meshtest.Claims{Subject: "u-mary"})
		})
		list("rgo_forged").want(t, 503, "DEPENDENCY_DOWN")
	})
	t.Run("revoked, it is refused at once and without a question", func(t *testing.T) {
		before := w.idp.count("introspection")
		if err := w.revoked.Add(revocation.Entry{Kind: revocation.Token, Value: "t-mary"}); err != nil {
			t.Fatal(err)
		}
		list(token).want(t, 401, "INVALID_TOKEN")
		if code := get(token); code != codes.Unauthenticated || w.idp.count("introspection") != before {
			t.Errorf("native gRPC: %s, after %d questions", code, w.idp.count("introspection")-before)
		}
	})
	t.Run("expired, it is refused", func(t *testing.T) {
		token := w.opaqueToken(t, "short", meshtest.Claims{Subject: "u-mary", Scopes: []string{"securitysystem.read"}})
		list(token).want(t, 200, "")
		late.Store(int64(6 * time.Minute))
		list(token).want(t, 401, "INVALID_TOKEN")
	})
	t.Run("guessing is slowed down", func(t *testing.T) {
		var last reply
		for i := range 150 {
			last = list(fmt.Sprint("rgo_guess", i))
		}
		last.want(t, http.StatusTooManyRequests, "RATE_LIMITED")
	})
	if text := logged.String(); strings.Contains(text, "rgo_good") || strings.Contains(text, "rgo_nobody") || !strings.Contains(text, "could not be introspected") {
		t.Error("a token was logged, or nothing was")
	}
}

func TestWithoutAResourceServerOpaqueTokensAreRefused(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t, func(c *gateway.Config) { c.Provider.IntrospectionClientID = "" })
	token := w.opaqueToken(t, "good", meshtest.Claims{Subject: "u-mary", Scopes: []string{"securitysystem.read"}})
	g.do(t, http.MethodGet, "/api/securitysystems", "", bearer(token)).want(t, 401, "INVALID_TOKEN")
	if n := w.idp.count("introspection"); n != 0 {
		t.Errorf("%d introspections", n)
	}
}

// lockedBuffer is a buffer that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
