package gateway_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/gateway"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

const livePath = "/api/v1/securitysystems:watch"

type watchServer = grpc.ServerStreamingServer[securitysystemv1.WatchSecuritySystemsResponse]

// asked is one call of a watch: from which position, and by which token.
type asked struct {
	position string
	issued   time.Time
}

// watches is a service whose changes are what a test says.
type watches struct {
	mu      sync.Mutex
	asked   []asked
	changes chan string
	// fail ends a watch that is going on.
	fail chan error
}

func (w *watches) serve(req *securitysystemv1.WatchSecuritySystemsRequest, stream watchServer) error {
	w.mu.Lock()
	w.asked = append(w.asked, asked{req.GetPosition(), mesh.Caller(stream.Context()).IssuedAt})
	w.mu.Unlock()
	if err := stream.Send(&securitysystemv1.WatchSecuritySystemsResponse{Position: req.GetPosition()}); err != nil {
		return err
	}
	for {
		select {
		case position := <-w.changes:
			if err := stream.Send(&securitysystemv1.WatchSecuritySystemsResponse{
				Position: position, Change: &securitysystemv1.WatchSecuritySystemsResponse_SecuritySystem{SecuritySystem: oakland},
			}); err != nil {
				return err
			}
		case err := <-w.fail:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (w *watches) calls() []asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]asked(nil), w.asked...)
}

func (b *backend) WatchSecuritySystems(req *securitysystemv1.WatchSecuritySystemsRequest, stream watchServer) error {
	if err := b.saw(stream.Context(), "Watch", req); err != nil {
		return err
	}
	return b.watch(req, stream)
}

// listening is a browser's open event stream.
type listening struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Scanner
	stop   context.CancelFunc
}

// listen opens the event stream; the answer may be a refusal.
func (b *browser) listen(t *testing.T, headers ...header) *listening {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(stop)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+livePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		for name, value := range h {
			r.Header.Set(name, value)
		}
	}
	answer, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return &listening{t, answer, bufio.NewScanner(answer.Body), stop}
}

// next is the next event, its lines joined by a space; heartbeats are left out. "" is the end.
func (l *listening) next() string {
	l.t.Helper()
	var event []string
	for l.lines.Scan() {
		line := l.lines.Text()
		if line == "" && len(event) > 0 {
			return strings.Join(event, " ")
		}
		if line != "" && !strings.HasPrefix(line, ":") {
			event = append(event, line)
		}
	}
	return ""
}

// wants reads the next event and demands that it has all of this in it.
func (l *listening) wants(parts ...string) {
	l.t.Helper()
	event := l.next()
	for _, part := range parts {
		if !strings.Contains(event, part) {
			l.t.Fatalf("the event is %q, which lacks %s", event, part)
		}
	}
}

// ends reads on to the farewell and demands that it has all of this in it. Where heartbeats are short the first of them may
// come before the first event.
func (l *listening) ends(parts ...string) {
	l.t.Helper()
	event := l.next()
	for event != "" && !strings.Contains(event, "event: end") {
		event = l.next()
	}
	for _, part := range parts {
		if !strings.Contains(event, part) {
			l.t.Fatalf("it ends with %q, which lacks %s", event, part)
		}
	}
}

func liveWorld(t *testing.T, heartbeat time.Duration) (*world, *gate, *watches) {
	t.Helper()
	w := newWorld(t)
	service := &watches{changes: make(chan string), fail: make(chan error)}
	w.backend.watch = service.serve
	return w, w.gateway(t, func(c *gateway.Config) { c.LiveHeartbeat = heartbeat }), service
}

func TestABrowserIsToldOfChanges(t *testing.T) {
	_, g, service := liveWorld(t, time.Hour)
	l := g.signedIn(t).listen(t, header{"Last-Event-ID": "p0"})
	if kind := l.answer.Header.Get("Content-Type"); l.answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%d %s", l.answer.StatusCode, kind)
	}
	if l.answer.Header.Get("Cache-Control") != "no-store" {
		t.Error("it may be stored")
	}
	l.wants("retry: ", "id: p0", `data: {"position":"p0"}`)
	service.changes <- "p1"
	l.wants("id: p1", `"securitySystem":{"id":"sys_1"`)
	if calls := service.calls(); len(calls) != 1 || calls[0].position != "p0" {
		t.Errorf("the service was asked %v", calls)
	}
}

// TestTheTokenUnderAnEventStreamIsRenewed: before the token ends, and, where nobody looked in time, when it has.
func TestTheTokenUnderAnEventStreamIsRenewed(t *testing.T) {
	for name, tt := range map[string]struct{ heartbeat, life time.Duration }{
		"in time":  {100 * time.Millisecond, 20 * time.Second}, // less than 30 seconds: renewed at each look
		"too late": {time.Hour, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w, g, service := liveWorld(t, tt.heartbeat)
			w.idp.life = tt.life
			l := g.signedIn(t).listen(t)
			l.wants("retry: ")
			service.changes <- "p1"
			l.wants("id: p1")
			for len(service.calls()) < 2 {
				l.wants("id: p1", `data: {"position":"p1"}`) // the next call says where it goes on
			}
			service.changes <- "p2"
			for event := ""; !strings.Contains(event, `"securitySystem"`); {
				if event = l.next(); event == "" || strings.Contains(event, "event: end") {
					t.Fatalf("it ended: %s", event)
				}
			}
			if calls := service.calls(); calls[1].position != "p1" {
				t.Errorf("the service was asked %v", calls)
			}
		})
	}
}

func TestAnEventStreamEndsWithItsRight(t *testing.T) {
	t.Run("the session is revoked", func(t *testing.T) {
		w, g, _ := liveWorld(t, time.Hour)
		meshtest.Within(t, time.Second, "it ends", func() time.Duration {
			l := g.signedIn(t).listen(t)
			l.wants("retry: ")
			sid := w.backend.take()[0].caller.SessionID
			if err := w.revoked.Add(revocation.Entry{Kind: revocation.Session, Value: sid}); err != nil || sid == "" {
				t.Fatal(sid, err)
			}
			began := time.Now()
			l.wants("event: end", `"status":401`)
			took := time.Since(began)
			l.wants("")
			return took
		})
	})
	t.Run("the person signs out, and nobody hears of it", func(t *testing.T) {
		_, g, _ := liveWorld(t, 100*time.Millisecond)
		b := g.signedIn(t)
		l := b.listen(t)
		l.wants("retry: ")
		b.form(t, "/api/auth/signout", url.Values{"csrfToken": {b.csrf}, "json": {"true"}}).want(t, http.StatusOK, "")
		l.ends("event: end", `"status":401`)
	})
	t.Run("the service says that the right is gone", func(t *testing.T) {
		_, g, service := liveWorld(t, time.Hour)
		l := g.signedIn(t).listen(t)
		l.wants("retry: ")
		service.fail <- mesh.PermissionDenied(mesh.ReasonRoleMissing, "nothing to view")
		l.wants("event: end", `"status":403`, `"reason":"ROLE_MISSING"`)
		if l.next() != "" || len(service.calls()) != 1 {
			t.Error("it went on")
		}
	})
	t.Run("a bearer token expires", func(t *testing.T) {
		w, g, _ := liveWorld(t, time.Hour)
		token := w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}, Expiry: time.Now().Add(3 * time.Second)})
		l := g.browser(t).listen(t, bearer(token))
		l.wants("retry: ")
		l.wants("event: end", `"status":401`)
	})
}

func TestWhoMayNotListenIsToldInAnOrdinaryAnswer(t *testing.T) {
	w, g, _ := liveWorld(t, time.Hour)
	b := g.signedIn(t)
	b.get(t, livePath+"?other=1").want(t, http.StatusBadRequest, "INVALID_FIELD")
	b.do(t, http.MethodHead, livePath, "").want(t, http.StatusMethodNotAllowed, "")
	b.post(t, livePath, "{}").want(t, http.StatusMethodNotAllowed, "")
	b.get(t, livePath, bearer(w.idp.Token(t, meshtest.Claims{}))).want(t, http.StatusBadRequest, "TWO_CREDENTIALS")
	g.do(t, http.MethodGet, livePath, "").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	g.do(t, http.MethodGet, livePath, "", bearer(w.idp.Token(t, meshtest.Claims{}))).want(t, http.StatusForbidden, "SCOPE_MISSING")
	w.backend.refuse(mesh.PermissionDenied(mesh.ReasonRoleMissing, "nothing to view"))
	b.get(t, livePath).want(t, http.StatusForbidden, "ROLE_MISSING")
	b.get(t, strings.Replace(livePath, "/v1", "", 1)).want(t, http.StatusForbidden, "ROLE_MISSING")
	w.backend.refuse(nil)
	for range 16 {
		b.listen(t).wants("retry: ")
	}
	b.get(t, livePath).want(t, http.StatusTooManyRequests, "TOO_MANY_LISTENERS")
	// Another sign-in makes nobody another person.
	g.signedIn(t).get(t, livePath).want(t, http.StatusTooManyRequests, "TOO_MANY_LISTENERS")
	g.do(t, http.MethodGet, livePath, "", bearer(w.idp.Token(t, meshtest.Claims{}))).want(t, http.StatusForbidden, "SCOPE_MISSING")
}
