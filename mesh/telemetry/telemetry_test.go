package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/introspection"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
	"github.com/realguardio/realguardio/mesh/telemetry"
)

// watch is a service that answers once.
type watch struct {
	meshv1.UnsafeRevocationServiceServer
}

func (watch) Watch(_ *meshv1.WatchRequest, s grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	return s.Send(&meshv1.WatchResponse{})
}

func TestCallsAndRefusalsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := telemetry.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "token", Configure: metrics.Server}, func(r grpc.ServiceRegistrar) {
		meshv1.RegisterRevocationServiceServer(r, watch{})
	})
	cfg := mesh.DialConfig{Target: srv.Addr, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.PerCall()}
	metrics.Client(&cfg)
	conn, err := mesh.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(token string) {
		stream, err := meshv1.NewRevocationServiceClient(conn).Watch(mesh.WithBearer(context.Background(), token), &meshv1.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = stream.Recv()
		}
	}
	call(iss.Workload(t, "customer"))
	call("bad")
	call(iss.Token(t, meshtest.Claims{}))

	const watch = "/realguardio.mesh.v1.RevocationService/Watch"
	decided := counted(t, registry, "mesh_decisions_total", "method", "decision", "cause")
	delete(decided, "/grpc.health.v1.Health/Watch admitted ") // what the connection asks by itself, sooner or later
	want := map[string]float64{watch + " admitted ": 1, watch + " refused caller_kind": 1, watch + " refused malformed": 1}
	if diff := cmp.Diff(want, decided); diff != "" {
		t.Errorf("decisions differ (-want +got):\n%s", diff)
	}
	for _, side := range []string{"grpc_server_handled_total", "grpc_client_handled_total"} {
		handled := counted(t, registry, side, "grpc_method", "grpc_code")
		if diff := cmp.Diff(map[string]float64{"Watch OK": 1, "Watch PermissionDenied": 1, "Watch Unauthenticated": 1}, handled); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", side, diff)
		}
	}
}

func TestReplicasThatArePassedOverAreCountedByTarget(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := telemetry.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	cfg := mesh.DialConfig{Target: "customer:9101", Ejected: func(string, time.Duration) { told++ }}
	metrics.Client(&cfg)
	metrics.Client(&mesh.DialConfig{Target: "token:9100"})
	cfg.Ejected("10.0.0.1:9101", 5*time.Second)
	cfg.Ejected("10.0.0.2:9101", 5*time.Second)
	got := counted(t, registry, "mesh_ejections_total", "target")
	if diff := cmp.Diff(map[string]float64{"customer:9101": 2}, got); diff != "" || told != 2 {
		t.Errorf("told %d times, and counted (-want +got):\n%s", told, diff)
	}
}

// counted returns the values of a metric above zero by two of its labels.
func counted(t *testing.T, registry *prometheus.Registry, name string, labels ...string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var key []string
			for _, label := range labels {
				for _, pair := range metric.GetLabel() {
					if pair.GetName() == label {
						key = append(key, pair.GetValue())
					}
				}
			}
			if v := metric.GetCounter().GetValue() + metric.GetGauge().GetValue(); v > 0 {
				values[strings.Join(key, " ")] = v
			}
		}
	}
	return values
}

func TestTwoPartsShareAProcess(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, part := range []string{"customer", "token"} {
		metrics, err := telemetry.New(prometheus.WrapRegistererWith(prometheus.Labels{"part": part}, registry))
		if err != nil {
			t.Fatal(err)
		}
		set := revocation.NewSet(revocation.Config{})
		if err := set.Add(revocation.Entry{Kind: revocation.Token, Value: "t1"}); err != nil {
			t.Fatal(err)
		}
		if err := metrics.Revocations(set); err != nil {
			t.Fatal(err)
		}
	}
	if got := counted(t, registry, "mesh_revocations_entries", "part"); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if _, err := telemetry.New(prometheus.WrapRegistererWith(prometheus.Labels{"part": "token"}, registry)); err == nil {
		t.Error("one part is counted twice")
	}
}

func TestALogIsSetUpOrSaysWhyNot(t *testing.T) {
	var out strings.Builder
	log, err := telemetry.NewLogger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", "user", "u-alice", "Password", "hunter2", slog.Group("request", "authorization", "Bearer hunter2"))
	got := out.String()
	if strings.Contains(got, "hunter2") || strings.Contains(got, "quiet") || !strings.Contains(got, "u-alice") || strings.Count(got, "[redacted]") != 2 {
		t.Errorf("got %s", got)
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"json", "loud"}} {
		if _, err := telemetry.NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

// What the library tells of itself.
type (
	verifier  struct{}
	asker     struct{}
	set       struct{}
	exchanges struct{}
	server    struct{}
)

func (asker) Stats() introspection.Stats {
	return introspection.Stats{Hits: 1, Requests: 2, Refused: 3, Failures: 4, TurnedAway: 5, Waiting: 6, Guessed: 7}
}

func (server) Load() mesh.Load {
	return mesh.Load{Calls: 1, CallLimit: 2, Waiting: 3, Streams: 4, StreamLimit: 5}
}

func (verifier) Stats() jwt.Stats {
	return jwt.Stats{Hits: 1, Misses: 2, Refused: 3, Fetches: 4, FetchFailures: 5, KeysAge: 6 * time.Second}
}

func (set) Stats() revocation.Stats {
	return revocation.Stats{Entries: 1, Age: 2 * time.Second, Lag: 3 * time.Second, Resyncs: 4}
}

func (exchanges) Stats() mesh.ExchangeStats {
	return mesh.ExchangeStats{Hits: 1, Misses: 2, Failures: 3}
}

func TestWhatTheLibraryKnowsOfItselfIsShown(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := telemetry.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(metrics.Verifier("https://id.example.com", verifier{}), metrics.Introspection("https://id.example.com", asker{}),
		metrics.Revocations(set{}), metrics.Exchanges(exchanges{}), metrics.Load(server{})); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"mesh_verifier_hits_total": 1, "mesh_verifier_misses_total": 2, "mesh_verifier_refused_total": 3, "mesh_jwks_fetches_total": 4,
		"mesh_jwks_fetch_failures_total": 5, "mesh_jwks_age_seconds": 6,
		"mesh_introspection_hits_total": 1, "mesh_introspection_requests_total": 2, "mesh_introspection_refused_total": 3,
		"mesh_introspection_failures_total": 4, "mesh_introspection_turned_away_total": 5, "mesh_introspection_waiting": 6, "mesh_introspection_guessed_total": 7,
		"mesh_revocations_entries": 1, "mesh_revocations_age_seconds": 2, "mesh_revocations_lag_seconds": 3, "mesh_revocations_resyncs_total": 4,
		"mesh_exchange_hits_total": 1, "mesh_exchange_misses_total": 2, "mesh_exchange_failures_total": 3,
		"mesh_calls_in_progress": 1, "mesh_calls_limit": 2, "mesh_calls_waiting": 3, "mesh_streams_open": 4, "mesh_streams_limit": 5,
	}
	got := map[string]float64{}
	for name := range want {
		for _, v := range counted(t, registry, name) {
			got[name] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures differ (-want +got):\n%s", diff)
	}
	if metrics.Verifier("https://id.example.com", verifier{}) == nil {
		t.Error("one verifier is shown twice")
	}
}

func TestALineOfARequestNamesIt(t *testing.T) {
	var out strings.Builder
	log, err := telemetry.NewLogger(&out, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	const at = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := mesh.WithTraceparent(mesh.WithRequestID(t.Context(), "req-1"), at)
	log.InfoContext(ctx, "with both")
	log.With("part", "customer").WithGroup("g").InfoContext(mesh.WithTraceparent(t.Context(), at), "of an event")
	log.InfoContext(ctx, "said by itself", "request_id", "req-2")
	log.Info("of nothing")
	var got []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), `"msg":`)
		got = append(got, rest)
	}
	want := []string{
		`"with both","request_id":"req-1","trace_id":"0af7651916cd43dd8448eb211c80319c"}`,
		`"of an event","part":"customer","g":{"trace_id":"0af7651916cd43dd8448eb211c80319c"}}`,
		`"said by itself","request_id":"req-2","trace_id":"0af7651916cd43dd8448eb211c80319c"}`,
		`"of nothing"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAPathIsLoggedWithoutWhatCouldBeAToken(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/securitysystems/sys_01JD8QZ4Z5W2V7T9M3R6K0XYBC:arm": "/api/v1/securitysystems/sys_01JD8QZ4Z5W2V7T9M3R6K0XYBC:arm",
		"/":                                      "/",
		"/api/" + strings.Repeat("a", 60) + "/b": "/api/[long]/b",
		strings.Repeat("a", 41):                  "[long]",
		strings.Repeat("/aa", 200):               strings.Repeat("/aa", 85) + "/",
	} {
		if got := telemetry.Path(path); got != want {
			t.Errorf("%s: got %s", path, got)
		}
	}
	if telemetry.Method("GET") != "GET" || telemetry.Method("eyJhbGciOi") != "other" {
		t.Error("a method that there is not is repeated")
	}
}
