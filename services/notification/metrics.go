package notification

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what becomes of events and messages. The values of labels are lists of ours.
type metrics struct {
	events, messages *prometheus.CounterVec
	// caughtUp is when everything in the stream was last known to be taken, in nanoseconds.
	caughtUp atomic.Int64
}

// What becomes of an event: it is taken, cannot be read, or was lost from the stream before it was taken.
var eventOutcomes = []string{"taken", "unreadable", "lost"}

// What becomes of a message: the mail server takes it, it is tried again later, or given up.
var messageOutcomes = []string{"sent", "postponed", "given_up"}

// newMetrics registers the metrics, unless registerer is nil.
func newMetrics(registerer prometheus.Registerer, now func() time.Time) (*metrics, error) {
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "realguardio", Subsystem: "notification", Name: name, Help: help}, []string{"outcome"})
	}
	m := &metrics{
		events:   vec("events_total", "Events of the security systems' stream, by what became of them; of lost ones each gap."),
		messages: vec("messages_total", "Tries to send a message, by what came of them."),
	}
	m.caughtUp.Store(now().UnixNano())
	// What never happened is a zero, not a gap, so that the first time is an increase.
	for _, outcome := range eventOutcomes {
		m.events.WithLabelValues(outcome)
	}
	for _, outcome := range messageOutcomes {
		m.messages.WithLabelValues(outcome)
	}
	if registerer == nil {
		return m, nil
	}
	behind := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "realguardio", Subsystem: "notification", Name: "behind_seconds",
		Help: "Time since every event in the stream was known to be taken.",
	}, func() float64 { return max(0, now().Sub(time.Unix(0, m.caughtUp.Load())).Seconds()) })
	if err := errors.Join(registerer.Register(m.events), registerer.Register(m.messages), registerer.Register(behind)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}
