// Package telemetry counts what a mesh server and its connections do, for Prometheus, and sets up their log.
//
// It is apart from package mesh so that a program which measures otherwise does not link Prometheus.
package telemetry

import (
	"context"
	"fmt"
	"sync"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/mesh"
)

// Metrics are the counters of one part. Where several parts share a process, give each a registerer of its own:
// prometheus.WrapRegistererWith(prometheus.Labels{"part": "customer"}, registry).
type Metrics struct {
	registerer prometheus.Registerer
	server     *grpcprom.ServerMetrics
	client     *grpcprom.ClientMetrics
	decisions  *prometheus.CounterVec
	shed       *prometheus.CounterVec
	ejections  *prometheus.CounterVec
	// admitted are the counters of decisions that let somebody in, by method: these are on everybody's way.
	admitted sync.Map
}

// New registers the metrics of a part.
func New(registerer prometheus.Registerer) (*Metrics, error) {
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	m := &Metrics{
		registerer: registerer,
		server:     grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(buckets))),
		client:     grpcprom.NewClientMetrics(grpcprom.WithClientHandlingTimeHistogram(grpcprom.WithHistogramBuckets(buckets))),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mesh_decisions_total",
			Help: "Decisions of the guard: admitted, or refused by the true cause, which the caller is not told.",
		}, []string{"method", "decision", "cause"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mesh_shed_total",
			Help: "Calls, streams, connections and handshakes that a server refused because it had too much to do, and connections that it ended for a flood of frames.",
		}, []string{"what"}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mesh_ejections_total",
			Help: "Times that a replica failed so often that it was passed over for a while, by the target that it is a replica of.",
		}, []string{"target"}),
	}
	for _, what := range []string{mesh.ShedCall, mesh.ShedStream, mesh.ShedConnection, mesh.ShedHandshake, mesh.ShedFlood} {
		m.shed.WithLabelValues(what) // a zero until it happens, so that the first time is an increase
	}
	for _, c := range []prometheus.Collector{m.server, m.client, m.decisions, m.shed, m.ejections} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Server makes a server count its calls, their time, the guard's decisions, and what is shed.
func (m *Metrics) Server(cfg *mesh.ServerConfig) {
	cfg.UnaryInterceptors = append(cfg.UnaryInterceptors, m.server.UnaryServerInterceptor())
	cfg.StreamInterceptors = append(cfg.StreamInterceptors, m.server.StreamServerInterceptor())
	shed := cfg.Shed
	cfg.Shed = func(what string) {
		m.shed.WithLabelValues(what).Inc()
		if shed != nil {
			shed(what)
		}
	}
	before := cfg.Decided
	cfg.Decided = func(ctx context.Context, d mesh.Decision) {
		m.decided(d)
		if before != nil {
			before(ctx, d)
		}
	}
}

func (m *Metrics) decided(d mesh.Decision) {
	switch d.Cause {
	case "":
		counter, ok := m.admitted.Load(d.Method)
		if !ok {
			counter, _ = m.admitted.LoadOrStore(d.Method, m.decisions.WithLabelValues(d.Method, "admitted", ""))
		}
		counter.(prometheus.Counter).Inc()
	case mesh.UnknownMethod: // callers choose its name, and would fill memory with labels
		m.decisions.WithLabelValues("unknown", "refused", d.Cause).Inc()
	default:
		m.decisions.WithLabelValues(d.Method, "refused", d.Cause).Inc()
	}
}

// Client makes a connection count its calls and their time, and the replicas that it passes over because they fail. These
// are told apart by the connection's Target; which replica it was is said by its log.
func (m *Metrics) Client(cfg *mesh.DialConfig) {
	ejections, before := m.ejections.WithLabelValues(cfg.Target), cfg.Ejected // a zero until it happens
	cfg.Ejected = func(address string, pause time.Duration) {
		ejections.Inc()
		if before != nil {
			before(address, pause)
		}
	}
	cfg.UnaryInterceptors = append(cfg.UnaryInterceptors, m.client.UnaryClientInterceptor())
	cfg.StreamInterceptors = append(cfg.StreamInterceptors, m.client.StreamClientInterceptor())
}
