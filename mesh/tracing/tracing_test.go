package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/tracing"
)

const (
	theirs  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	theirID = "0af7651916cd43dd8448eb211c80319c"
)

// recorded is a tracer whose spans stay here.
type recorded struct {
	*tracing.Tracer
	exporter *tracetest.InMemoryExporter
}

func record(t *testing.T, change ...func(*tracing.Config)) recorded {
	t.Helper()
	r := recorded{exporter: tracetest.NewInMemoryExporter()}
	cfg := tracing.Config{Part: "part", Exporter: kept{r.exporter}}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if r.Tracer, err = tracing.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// kept is an exporter that keeps its spans when it is shut down.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// spans closes the tracer and returns what it has exported.
func (r recorded) spans(t *testing.T) tracetest.SpanStubs {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return r.exporter.GetSpans()
}

// watch is a service that hands on to the next, if there is one.
type watch struct {
	meshv1.UnsafeRevocationServiceServer
	next grpc.ClientConnInterface
	seen func(context.Context)
}

func (w watch) Watch(_ *meshv1.WatchRequest, s grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	if w.seen != nil {
		w.seen(s.Context())
	}
	if w.next != nil {
		if err := call(s.Context(), w.next); err != nil {
			return err
		}
	}
	return s.Send(&meshv1.WatchResponse{})
}

func serve(t *testing.T, iss *meshtest.Issuer, w watch, configure func(*mesh.ServerConfig)) *meshtest.Server {
	return meshtest.Serve(t, iss, meshtest.Part{Name: "token", Configure: configure}, func(r grpc.ServiceRegistrar) {
		meshv1.RegisterRevocationServiceServer(r, w)
	})
}

func call(ctx context.Context, conn grpc.ClientConnInterface) error {
	stream, err := meshv1.NewRevocationServiceClient(conn).Watch(ctx, &meshv1.WatchRequest{})
	if err != nil {
		return err
	}
	if _, err = stream.Recv(); err == nil {
		_, _ = stream.Recv() // its end
	}
	return err
}

// ended tells when calls are over for a server, which is after their answers have come. It stands behind the tracer.
type ended chan struct{}

func (ended) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (ended) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (ended) HandleConn(context.Context, stats.ConnStats)                       {}
func (e ended) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.End); ok {
		e <- struct{}{}
	}
}

func TestASpanForEachSideOfEachCallInOneTrace(t *testing.T) {
	iss, r, over := meshtest.NewIssuer(t), record(t), make(ended, 2)
	configure := func(c *mesh.ServerConfig) {
		r.Server(c)
		c.StatsHandlers = append(c.StatsHandlers, over)
	}
	var behind, before string
	last := serve(t, iss, watch{seen: func(ctx context.Context) { behind = mesh.Traceparent(ctx) }}, configure)
	cfg := mesh.DialConfig{Target: last.Addr, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.Forward()}
	r.Client(&cfg)
	next, err := mesh.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Close() })
	first := serve(t, iss, watch{next: next, seen: func(ctx context.Context) { before = mesh.Traceparent(ctx) }}, configure)
	token := iss.Workload(t, "customer")
	ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), token), "traceparent", theirs, "x-request-id", "req-1",
		"baggage", "user=alice", "tracestate", "vendor=1")
	if err := call(ctx, first.DialAs(t, "customer")); err != nil {
		t.Fatal(err)
	}
	<-over
	<-over
	var path []string
	parents := map[trace.SpanID]tracetest.SpanStub{}
	spans := r.spans(t)
	for _, s := range spans {
		parents[s.SpanContext.SpanID()] = s
	}
	for _, s := range spans {
		if s.SpanContext.TraceID().String() != theirID {
			continue
		}
		path = append(path, s.SpanKind.String())
		if s.SpanKind == trace.SpanKindServer && !strings.Contains(behind+before, s.SpanContext.SpanID().String()) {
			t.Errorf("the handler stood at %s and %s, not in its span %s", before, behind, s.SpanContext.SpanID())
		}
		if parent, ok := parents[s.Parent.SpanID()]; ok && parent.SpanKind == s.SpanKind {
			t.Errorf("%s is the child of another %s", s.Name, s.SpanKind)
		}
		if s.SpanKind != trace.SpanKindServer {
			continue
		}
		got := map[attribute.Key]string{}
		for _, a := range s.Attributes {
			got[a.Key] = a.Value.Emit()
		}
		want := map[attribute.Key]string{
			"rpc.method": "realguardio.mesh.v1.RevocationService/Watch", "rpc.response.status_code": "OK",
			"mesh.caller.kind": "workload", "mesh.caller.client_id": "customer", "mesh.request_id": "req-1",
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s is %q, want %q", key, got[key], value)
			}
		}
	}
	if len(path) != 3 {
		t.Errorf("the trace has %v, want a server, a client and a server", path)
	}
	if strings.Contains(stub(spans), "alice") || strings.Contains(stub(spans), token) {
		t.Error("a span has what it must not")
	}
}

// stub is everything that was exported, as text.
func stub(spans tracetest.SpanStubs) string {
	var all strings.Builder
	for _, s := range spans {
		all.WriteString(s.Name + " " + s.Status.Description + " ")
		for _, a := range s.Attributes {
			all.WriteString(string(a.Key) + "=" + a.Value.Emit() + " ")
		}
		for _, e := range s.Events {
			all.WriteString(e.Name)
		}
	}
	return all.String()
}

func TestAStrangersTraceIsLinkedAndNotContinued(t *testing.T) {
	for name, trusted := range map[string]bool{"by default": false, "where strangers are trusted": true} {
		t.Run(name, func(t *testing.T) {
			iss, r := meshtest.NewIssuer(t), record(t, func(c *tracing.Config) { c.TrustOutside = trusted })
			srv := serve(t, iss, watch{}, func(c *mesh.ServerConfig) {
				c.TLS = c.TLS.Clone()
				c.TLS.ClientAuth = 0
				r.Server(c)
			})
			// It is refused, which is seen as well.
			_ = call(metadata.AppendToOutgoingContext(t.Context(), "traceparent", theirs), srv.Dial(t))
			request := httptest.NewRequest(http.MethodGet, "/secret-path", nil)
			request.Header.Set("Traceparent", theirs)
			answer := http.Header{}
			ctx, span := r.Request(answer, request)
			span.Answered("GET", "/route/{id}", 502)
			told := strings.Contains(answer.Get("Server-Timing"), mesh.TraceID(ctx))
			if !told || (mesh.TraceID(ctx) == theirID) != trusted {
				t.Errorf("HTTP goes on with %s and tells %q", mesh.Traceparent(ctx), answer.Get("Server-Timing"))
			}
			spans := r.spans(t)
			for _, s := range spans {
				if (s.SpanContext.TraceID().String() == theirID) != trusted || len(s.Links) == 1 == trusted {
					t.Errorf("%s is in trace %s and has links %v", s.Name, s.SpanContext.TraceID(), s.Links)
				}
			}
			if text := stub(spans); strings.Contains(text, "secret-path") || !strings.Contains(text, "GET /route/{id}") || len(spans) == 0 {
				t.Errorf("got %s", text)
			}
		})
	}
}

func TestWhatIsNotOnTheListIsNotExported(t *testing.T) {
	r := record(t)
	ctx, span := r.Begin(t.Context(), tracing.Internal, "work", tracing.String("db.operation.name", "SELECT"),
		tracing.String("user.email", "alice@acme.example"))
	trace.SpanFromContext(ctx).RecordError(errors.New("hunter2"))
	trace.SpanFromContext(ctx).AddEvent("hunter2")
	span.End(errors.New("hunter2"))
	spans := r.spans(t)
	if len(spans) != 1 || stub(spans) != "work  db.operation.name=SELECT " || spans[0].Status.Code.String() != "Error" {
		t.Errorf("got %s", stub(spans))
	}
}

func TestAMethodThatDoesNotExistIsNotNamed(t *testing.T) {
	r := record(t)
	_, span := r.Begin(t.Context(), trace.SpanKindServer, "hunter2.Service/hunter2",
		tracing.String("rpc.method", "hunter2.Service/hunter2"), tracing.String("rpc.response.status_code", "UNIMPLEMENTED"))
	span.End(nil)
	if text := stub(r.spans(t)); text != "unknown method  rpc.response.status_code=UNIMPLEMENTED " {
		t.Errorf("got %q", text)
	}
}

func TestWorkGoesOnWhereAStoredTraceStands(t *testing.T) {
	r := record(t)
	outer, span := r.Begin(t.Context(), tracing.Internal, "outer")
	ctx, inner := r.Begin(mesh.WithTraceparent(outer, theirs), tracing.Consumer, "stored")
	if mesh.TraceID(ctx) != theirID || !tracing.Recorded(ctx) {
		t.Errorf("stands at %s", mesh.Traceparent(ctx))
	}
	inner.End(nil)
	span.End(nil)
	for _, s := range r.spans(t) {
		if (s.Name == "stored") != (s.Parent.SpanID().String() == "b7ad6b7169203331") {
			t.Errorf("%s is a child of %s", s.Name, s.Parent.SpanID())
		}
	}
}

func TestWhatHasNoTracerGoesByTheSpanAroundIt(t *testing.T) {
	r, off := record(t), record(t, func(c *tracing.Config) { c.Sampler = tracing.Ratio(0) })
	ctx, outer := r.Begin(t.Context(), tracing.Internal, "outer")
	inside, inner := tracing.Within(ctx, tracing.Client, "SELECT things", tracing.String("db.collection.name", "things"))
	if mesh.TraceID(inside) != mesh.TraceID(ctx) || mesh.Traceparent(inside) == mesh.Traceparent(ctx) {
		t.Errorf("stands at %s in %s", mesh.Traceparent(inside), mesh.Traceparent(ctx))
	}
	inner.End(nil)
	outer.End(nil)
	unsampled, span := off.Begin(t.Context(), tracing.Internal, "not recorded")
	for name, ctx := range map[string]context.Context{"without a span": t.Context(), "in one that is not recorded": unsampled, "in one that is over": ctx} {
		if same, none := tracing.Within(ctx, tracing.Client, "SELECT things"); same != ctx || none != (tracing.Span{}) {
			t.Errorf("%s: one was begun", name)
		}
	}
	span.End(nil)
	spans := r.spans(t)
	if len(spans) != 2 || spans[0].Name != "SELECT things" || spans[0].Parent.SpanID() != spans[1].SpanContext.SpanID() {
		t.Errorf("got %s", stub(spans))
	}
}

func TestWithoutATracerTheIDsTravelAllTheSame(t *testing.T) {
	var none *tracing.Tracer
	var server mesh.ServerConfig
	var client mesh.DialConfig
	none.Server(&server)
	none.Client(&client)
	if server.StatsHandlers != nil || server.Decided != nil || client.StatsHandlers != nil {
		t.Error("something is in the way of calls")
	}
	if base := http.DefaultTransport; none.Transport(base) != base {
		t.Error("something is in the way of requests")
	}
	answer := http.Header{}
	ctx, span := none.Request(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	span.Answered("GET", "/", 200)
	if mesh.TraceID(ctx) == "" || len(answer) > 0 {
		t.Errorf("got %q, %v", mesh.TraceID(ctx), answer)
	}
	same, span := none.Begin(ctx, tracing.Internal, "work")
	span.End(nil)
	if same != ctx || tracing.Recorded(ctx) || none.Close() != nil {
		t.Error("nothing is recorded, and it costs something")
	}
}

func TestARequestToTheIssuerIsPartOfTheTrace(t *testing.T) {
	r := record(t)
	var got string
	issuer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Traceparent") }))
	defer issuer.Close()
	client := &http.Client{Transport: r.Transport(http.DefaultTransport)}
	ctx, span := r.Begin(t.Context(), tracing.Internal, "work")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer.URL+"/oauth2/jwks?key=hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	span.End(nil)
	if len(got) != 55 || got[3:35] != mesh.TraceID(ctx) || got == mesh.Traceparent(ctx) {
		t.Errorf("the issuer got %q, the caller stood at %q", got, mesh.Traceparent(ctx))
	}
	if text := stub(r.spans(t)); strings.Contains(text, "hunter2") || !strings.Contains(text, "GET /oauth2/jwks") {
		t.Errorf("got %s", text)
	}
}

func TestATracerIsNotMade(t *testing.T) {
	for _, cfg := range []tracing.Config{{}, {Part: "customer"}} {
		if _, err := tracing.New(t.Context(), cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	if _, err := tracing.NewExporter(t.Context(), "smoke signals", ""); err == nil {
		t.Error("an unknown protocol is accepted")
	}
}

func TestTheSamplerDecidesForTracesThatBeginHere(t *testing.T) {
	r := record(t, func(c *tracing.Config) { c.Sampler = tracing.Ratio(0) })
	ctx, span := r.Begin(t.Context(), tracing.Internal, "not recorded")
	if mesh.TraceID(ctx) == "" || !strings.HasSuffix(mesh.Traceparent(ctx), "-00") || tracing.Recorded(ctx) {
		t.Errorf("stands at %q", mesh.Traceparent(ctx))
	}
	span.End(nil)
	_, recorded := r.Begin(mesh.WithTraceparent(t.Context(), theirs), tracing.Internal, "recorded where it began")
	recorded.End(nil)
	if spans := r.spans(t); len(spans) != 1 || spans[0].Name != "recorded where it began" {
		t.Errorf("got %v", spans)
	}
}

var _ sdktrace.SpanExporter = kept{}
