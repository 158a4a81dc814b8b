package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/introspection"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// Verifier shows how tokens of an issuer are verified and how current its keys are. Alert on mesh_jwks_age_seconds: beyond
// the verifier's MaxStale every token is refused.
func (m *Metrics) Verifier(issuer string, v interface{ Stats() jwt.Stats }) error {
	one := &Metrics{registerer: prometheus.WrapRegistererWith(prometheus.Labels{"issuer": issuer}, m.registerer)}
	return one.show("a verifier", []figure{
		{counter, "mesh_verifier_hits_total", "Tokens that had been verified before.", func() float64 { return float64(v.Stats().Hits) }},
		{counter, "mesh_verifier_misses_total", "Tokens that had to be verified.", func() float64 { return float64(v.Stats().Misses) }},
		{counter, "mesh_verifier_refused_total", "Tokens that were verified and are no good.", func() float64 { return float64(v.Stats().Refused) }},
		{counter, "mesh_jwks_fetches_total", "Fetches of the issuer's keys.", func() float64 { return float64(v.Stats().Fetches) }},
		{counter, "mesh_jwks_fetch_failures_total", "Fetches of the issuer's keys that brought none.", func() float64 { return float64(v.Stats().FetchFailures) }},
		{gauge, "mesh_jwks_age_seconds", "Time since the issuer's keys in use were fetched.", func() float64 { return v.Stats().KeysAge.Seconds() }},
	})
}

// Introspection shows how an issuer is asked about its opaque tokens. Alert on mesh_introspection_failures_total: while
// the issuer does not answer, its tokens let nobody in.
func (m *Metrics) Introspection(issuer string, v interface{ Stats() introspection.Stats }) error {
	one := &Metrics{registerer: prometheus.WrapRegistererWith(prometheus.Labels{"issuer": issuer}, m.registerer)}
	return one.show("introspection", []figure{
		{counter, "mesh_introspection_hits_total", "Opaque tokens about which the issuer had just been asked.", func() float64 { return float64(v.Stats().Hits) }},
		{counter, "mesh_introspection_requests_total", "Questions to the issuer about opaque tokens.", func() float64 { return float64(v.Stats().Requests) }},
		{counter, "mesh_introspection_refused_total", "Answers of the issuer by which a token is no good.", func() float64 { return float64(v.Stats().Refused) }},
		{counter, "mesh_introspection_failures_total", "Questions to the issuer that brought no answer.", func() float64 { return float64(v.Stats().Failures) }},
		{counter, "mesh_introspection_turned_away_total", "Opaque tokens refused unasked, because too many wait or the issuer has just failed.", func() float64 { return float64(v.Stats().TurnedAway) }},
		{counter, "mesh_introspection_guessed_total", "Opaque tokens refused unasked, because many bad ones have come from the same peer.", func() float64 { return float64(v.Stats().Guessed) }},
		{gauge, "mesh_introspection_waiting", "Calls that wait for what the issuer says.", func() float64 { return float64(v.Stats().Waiting) }},
	})
}

// Load shows how much a server has under way, of how much it has room for. What is beyond that is counted by
// mesh_shed_total.
func (m *Metrics) Load(server interface{ Load() mesh.Load }) error {
	return m.show("load", []figure{
		{gauge, "mesh_calls_in_progress", "Calls in progress that are no streams.", func() float64 { return float64(server.Load().Calls) }},
		{gauge, "mesh_calls_waiting", "Calls that wait until there is room for them.", func() float64 { return float64(server.Load().Waiting) }},
		{gauge, "mesh_calls_limit", "Calls that may be in progress.", func() float64 { return float64(server.Load().CallLimit) }},
		{gauge, "mesh_streams_open", "Streams that are open.", func() float64 { return float64(server.Load().Streams) }},
		{gauge, "mesh_streams_limit", "Streams that may be open.", func() float64 { return float64(server.Load().StreamLimit) }},
	})
}

// Revocations shows how current a set of revocations is. Alert on mesh_revocations_age_seconds: beyond the set's
// MaxSilence sensitive methods are closed.
func (m *Metrics) Revocations(set interface{ Stats() revocation.Stats }) error {
	return m.show("revocations", []figure{
		{gauge, "mesh_revocations_entries", "Revocations held.", func() float64 { return float64(set.Stats().Entries) }},
		{gauge, "mesh_revocations_age_seconds", "Time since the set of revocations was last known to be complete.", func() float64 { return set.Stats().Age.Seconds() }},
		{gauge, "mesh_revocations_lag_seconds", "Time that the newest revocation took from being made to being known here.", func() float64 { return set.Stats().Lag.Seconds() }},
		{counter, "mesh_revocations_resyncs_total", "Times that the feed of revocations began from the start.", func() float64 { return float64(set.Stats().Resyncs) }},
	})
}

// Exchanges shows how often tokens are exchanged for others.
func (m *Metrics) Exchanges(x interface{ Stats() mesh.ExchangeStats }) error {
	return m.show("exchanges", []figure{
		{counter, "mesh_exchange_hits_total", "Calls whose exchanged token was there.", func() float64 { return float64(x.Stats().Hits) }},
		{counter, "mesh_exchange_misses_total", "Exchanges of tokens that were begun.", func() float64 { return float64(x.Stats().Misses) }},
		{counter, "mesh_exchange_failures_total", "Exchanges that gave no token.", func() float64 { return float64(x.Stats().Failures) }},
	})
}

// figure is a metric that is read when it is asked for.
type figure struct {
	kind       func(name, help string, value func() float64) prometheus.Collector
	name, help string
	value      func() float64
}

func counter(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

func (m *Metrics) show(what string, figures []figure) error {
	for _, f := range figures {
		if err := m.registerer.Register(f.kind(f.name, f.help, f.value)); err != nil {
			return fmt.Errorf("register metrics of %s: %w", what, err)
		}
	}
	return nil
}
