package ops_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/ops"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestPages(t *testing.T) {
	down := errors.New("cannot be reached")
	database, issuer := error(nil), down
	o := ops.New("customer", meshtest.Logger(t),
		ops.Check{Name: "database", Run: func(context.Context) error { return database }},
		ops.Once(ops.Check{Name: "issuer", Run: func(context.Context) error { return issuer }}))
	expect := func(path string, status int, text string) {
		t.Helper()
		w := httptest.NewRecorder()
		o.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != status || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: got %d %s, want %d with %s", path, w.Code, w.Body, status, text)
		}
	}
	expect("/healthz", 200, `"customer"`)
	expect("/metrics", 200, "go_goroutines")
	expect("/readyz", 503, `"issuer":"cannot be reached"`)
	issuer = nil
	expect("/readyz", 200, `"ready"`)
	issuer = down // needed once only
	expect("/readyz", 200, `"ready"`)
	database = down
	expect("/readyz", 503, `"database":"cannot be reached"`)
	database = nil
	o.Drain()
	expect("/readyz", 503, "shutting down")
	expect("/healthz", 200, "ok")
}
