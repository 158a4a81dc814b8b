package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// countedAtMost is up to where unpublished events are counted: what is beyond it takes as long to say and says no more.
const countedAtMost = 10_000

// backlog is what waits to be published, as it was when somebody last looked.
type backlog struct {
	waiting atomic.Int64
	// oldest is the time of the oldest event in microseconds, 0 where none waits.
	oldest atomic.Int64

	published, repeated prometheus.Counter
}

// newBacklog registers its metrics, unless registerer is nil.
func newBacklog(registerer prometheus.Registerer, now func() time.Time) (*backlog, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "realguardio", Subsystem: "outbox", Name: name, Help: help})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "realguardio", Subsystem: "outbox", Name: name, Help: help}, value)
	}
	b := &backlog{
		published: counter("published_total", "Events that this process has published."),
		repeated:  counter("repeated_total", "Events that this process has published again, because the stream had lost them."),
	}
	if registerer == nil {
		return b, nil
	}
	err := errors.Join(registerer.Register(b.published), registerer.Register(b.repeated),
		registerer.Register(gauge("unpublished", "Events that wait to be published, up to 10,000.", func() float64 {
			return float64(b.waiting.Load())
		})),
		registerer.Register(gauge("oldest_seconds", "Age of the oldest event that waits to be published.", func() float64 {
			if oldest := b.oldest.Load(); oldest != 0 {
				return max(0, now().Sub(sqldb.Time(oldest)).Seconds())
			}
			return 0
		})))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return b, nil
}

// look finds out what waits. What cannot be found out stays as it was known.
func (b *backlog) look(ctx context.Context, l ledger) {
	var waiting, oldest int64
	err := l.db.QueryRow(ctx, `
		SELECT count(*), COALESCE(min(time), 0) FROM (SELECT time FROM outbox WHERE published_at IS NULL LIMIT $1) AS waiting`,
		countedAtMost).Scan(&waiting, &oldest)
	if err == nil {
		b.waiting.Store(waiting)
		b.oldest.Store(oldest)
	}
}
