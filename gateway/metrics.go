package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/gateway/credential"
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

// show registers what the gateway's parts count by themselves.
func (g *Gateway) show(registerer prometheus.Registerer) error {
	if registerer == nil {
		return nil
	}
	count := func(name, help string, labels prometheus.Labels, value func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "realguardio", Subsystem: "gateway", Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) })
	}
	all := []prometheus.Collector{
		count("sessions_begun_total", "Sessions that began.", nil, func() uint64 { return g.sessions.Stats().Begun }),
		count("sessions_ended_total", "Sessions that were ended before their time.", nil, func() uint64 { return g.sessions.Stats().Ended }),
		count("session_renewals_total", "Renewals of sessions' access tokens.", nil, func() uint64 { return g.sessions.Stats().Renewals }),
		count("session_renewal_failures_total", "Renewals that the identity provider did not answer.", nil, func() uint64 { return g.sessions.Stats().RenewalFailures }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "realguardio", Subsystem: "gateway", Name: "streams_open", Help: "Event streams and native streams that are open."},
			func() float64 { return float64(g.streams.Taken()) }),
	}
	for kind, stats := range map[string]func() credential.Stats{
		"api_key":      func() credential.Stats { keys, _ := g.credentials.Stats(); return keys },
		"opaque_token": func() credential.Stats { _, opaque := g.credentials.Stats(); return opaque },
	} {
		of := prometheus.Labels{"kind": kind}
		all = append(all,
			count("credential_hits_total", "API keys and opaque tokens that were known.", of, func() uint64 { return stats().Hits }),
			count("credential_requests_total", "API keys and opaque tokens that the issuer was asked about.", of, func() uint64 { return stats().Requests }),
			count("credential_refused_total", "API keys and opaque tokens that the issuer refused.", of, func() uint64 { return stats().Refused }),
			count("credential_failures_total", "API keys and opaque tokens about which the issuer gave no answer.", of, func() uint64 { return stats().Failures }),
		)
	}
	for _, c := range all {
		if err := registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	m.took.WithLabelValues(route, telemetry.Method(method), strconv.Itoa(status)).Observe(took.Seconds())
}
