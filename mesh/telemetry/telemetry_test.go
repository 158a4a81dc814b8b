package telemetry_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
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
