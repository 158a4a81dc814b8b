package token

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/services/token/backchannel"
	"github.com/realguardio/realguardio/services/token/revocation"
	"github.com/realguardio/realguardio/services/token/web"
)

// metrics counts what the service does. The values of labels are lists of ours and never what somebody sent: those have no
// end, and may be secrets.
type metrics struct {
	issued, refused, logins, revocations, logouts *prometheus.CounterVec
	reused                                        prometheus.Counter
}

// newMetrics registers the counters, unless registerer is nil.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "realguardio", Name: name, Help: help}, labels)
	}
	m := &metrics{
		issued:  vec("token_issued_total", "Answers of the token endpoint with tokens, by grant type.", "grant"),
		refused: vec("token_refused_total", "Answers of the token endpoint without, by grant type and error code.", "grant", "error"),
		logins:  vec("login_total", "Passwords given on the login page, by what came of it.", "outcome"),
		revocations: vec("token_revocations_total",
			"Entries made here in the log of ended tokens, by what they end.", "kind"),
		logouts: vec("logout_deliveries_total",
			"Tries to tell a client that a session is over (back-channel logout), by what came of it.", "outcome"),
		reused: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "realguardio", Name: "refresh_reuse_total",
			Help: "Families ended because a spent refresh token was used again: one of the two who have it is a thief."}),
	}
	// What never happened is a zero, not a gap, so that the first time is an increase.
	for _, outcome := range web.LoginOutcomes {
		m.logins.WithLabelValues(string(outcome))
	}
	for _, kind := range revocation.Kinds {
		m.revocations.WithLabelValues(kind.String())
	}
	for _, outcome := range backchannel.Outcomes {
		m.logouts.WithLabelValues(string(outcome))
	}
	if registerer == nil {
		return m, nil
	}
	var problems []error
	for _, c := range []prometheus.Collector{m.issued, m.refused, m.logins, m.revocations, m.logouts, m.reused} {
		if err := registerer.Register(c); err != nil {
			problems = append(problems, fmt.Errorf("registering metrics: %w", err))
		}
	}
	return m, errors.Join(problems...)
}

// watch shows how the revocation feed is served. Alert when watchers are fewer than there are parts, and on an increase of
// the slow ones.
func (m *metrics) watch(registerer prometheus.Registerer, stats func() revocation.Stats) error {
	if registerer == nil {
		return nil
	}
	gauge := func(name, help string, value func(revocation.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "realguardio", Name: name, Help: help}, func() float64 { return value(stats()) })
	}
	counter := func(name, help string, value func(revocation.Stats) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "realguardio", Name: name, Help: help}, func() float64 { return value(stats()) })
	}
	var problems []error
	for _, c := range []prometheus.Collector{
		gauge("revocation_watchers", "Verifiers that follow the revocation feed here.", func(s revocation.Stats) float64 { return float64(s.Watchers) }),
		gauge("revocation_head", "The highest number in the log of revocations that was read here. Replicas that differ for more than a second do not hear of each other.",
			func(s revocation.Stats) float64 { return float64(s.Head) }),
		counter("revocation_replays_total", "How often the whole log was sent: to verifiers that start, or whose place in it is gone.",
			func(s revocation.Stats) float64 { return float64(s.Replays) }),
		counter("revocation_slow_watchers_total", "How often a verifier was too slow to be served from memory.",
			func(s revocation.Stats) float64 { return float64(s.Slow) }),
	} {
		if err := registerer.Register(c); err != nil {
			problems = append(problems, fmt.Errorf("registering metrics: %w", err))
		}
	}
	return errors.Join(problems...)
}

// Issued implements web.Counters, as the next two do.
func (m *metrics) Issued(grant string) { m.issued.WithLabelValues(grant).Inc() }

// Refused implements web.Counters.
func (m *metrics) Refused(grant, code string) { m.refused.WithLabelValues(grant, code).Inc() }

// Login implements web.Counters.
func (m *metrics) Login(outcome web.LoginOutcome) { m.logins.WithLabelValues(string(outcome)).Inc() }

func (m *metrics) revoked(kind revocation.Kind) { m.revocations.WithLabelValues(kind.String()).Inc() }

func (m *metrics) told(outcome backchannel.Outcome) { m.logouts.WithLabelValues(string(outcome)).Inc() }
