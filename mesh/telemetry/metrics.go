// Package telemetry counts what a mesh server and its connections do, for Prometheus, and sets up their log.
//
// It is apart from package mesh so that a program which measures otherwise does not link Prometheus.
package telemetry

import (
	"errors"
	"fmt"
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
	refused    *prometheus.CounterVec
}

// New registers the metrics of a part.
func New(registerer prometheus.Registerer) (*Metrics, error) {
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	m := &Metrics{
		registerer: registerer,
		server:     grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(buckets))),
		client:     grpcprom.NewClientMetrics(grpcprom.WithClientHandlingTimeHistogram(grpcprom.WithHistogramBuckets(buckets))),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mesh_refused_total",
			Help: "Calls that the guard refused, by the true cause that the caller is not told.",
		}, []string{"method", "cause"}),
	}
	for _, c := range []prometheus.Collector{m.server, m.client, m.refused} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Server makes a server count its calls, their time, and the guard's refusals.
func (m *Metrics) Server(cfg *mesh.ServerConfig) {
	cfg.UnaryInterceptors = append(cfg.UnaryInterceptors, m.server.UnaryServerInterceptor())
	cfg.StreamInterceptors = append(cfg.StreamInterceptors, m.server.StreamServerInterceptor())
	before := cfg.Refused
	cfg.Refused = func(method, cause string) {
		if cause == "unknown_method" {
			method = "unknown" // callers choose it, and would fill memory with labels
		}
		m.refused.WithLabelValues(method, cause).Inc()
		if before != nil {
			before(method, cause)
		}
	}
}

// Client makes a connection count its calls and their time.
func (m *Metrics) Client(cfg *mesh.DialConfig) {
	cfg.UnaryInterceptors = append(cfg.UnaryInterceptors, m.client.UnaryClientInterceptor())
	cfg.StreamInterceptors = append(cfg.StreamInterceptors, m.client.StreamClientInterceptor())
}

// Set is what is asked of a set of revocations.
type Set interface {
	Len() int
	Age() time.Duration
}

// Revocations shows how current a set of revocations is. Alert on mesh_revocations_age_seconds: beyond the set's
// MaxSilence sensitive methods are closed.
func (m *Metrics) Revocations(set Set) error {
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mesh_revocations_age_seconds",
		Help: "Time since the set of revocations was last known to be complete.",
	}, func() float64 { return set.Age().Seconds() })
	entries := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mesh_revocations_entries",
		Help: "Revocations held.",
	}, func() float64 { return float64(set.Len()) })
	if err := errors.Join(m.registerer.Register(age), m.registerer.Register(entries)); err != nil {
		return fmt.Errorf("register metrics of revocations: %w", err)
	}
	return nil
}
