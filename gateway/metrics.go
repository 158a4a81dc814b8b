package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/mesh/telemetry"
)

// metrics counts requests by route, never by path: paths hold ids and have no end.
type metrics struct {
	took *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "realguardio", Subsystem: "gateway", Name: "http_request_seconds",
		Help:    "Time to answer HTTP requests, by route, method and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"route", "method", "status"})}
	if registerer == nil {
		return m, nil
	}
	return m, registerer.Register(m.took)
}

func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	m.took.WithLabelValues(route, telemetry.Method(method), strconv.Itoa(status)).Observe(took.Seconds())
}
