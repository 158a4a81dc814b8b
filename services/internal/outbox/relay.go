package outbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

const (
	// batchSize is how many events are published under one look at the database.
	batchSize = 128
	// leaseTime is how long a relay that died holds up the others.
	leaseTime = 15 * time.Second
	// contendedWait is the pause while another relay publishes, which takes it milliseconds.
	contendedWait = 20 * time.Millisecond
	purgeEvery    = time.Hour
	purgeBatch    = 1000
)

// Config says what a [Relay] publishes, and where.
type Config struct {
	// DB holds the outbox. Required.
	DB *sqldb.DB
	// Redis holds the stream. Required.
	Redis redis.UniversalClient
	// Service names the source of the events, "urn:realguardio:<service>", and the stream, see [Stream]. Required.
	Service string
	// MaxLen is about how many events the stream keeps. Default: 100,000.
	MaxLen int64
	// Poll is how often the relay looks for events that nobody nudged it for. Default: 500 ms.
	Poll time.Duration
	// Check is how often the relay looks whether the stream has lost something while there is nothing to publish. Default:
	// 2 s.
	Check time.Duration
	// MaxBackoff limits the pause after a failure; the first one is 100 ms. Default: 5 s.
	MaxBackoff time.Duration
	// Retention is how long a published event is kept, and can be put into a stream that has lost it. Default: 7 days.
	Retention time.Duration
	// Tracer makes spans of publishing. Default: none.
	Tracer *tracing.Tracer
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// Logger is told of failures. Default: slog.Default().
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Stream returns the key of the Redis stream with the events of a service.
func Stream(service string) string { return "realguardio:events:" + service }

// Relay carries events from the outbox to the stream. Any number of relays may run on one outbox, in one process or in
// several: they take turns by a lease, and each write names the entry that it is to follow, so that one which outlives its
// lease can neither repeat nor reorder anything, nor step over what the stream has lost.
type Relay struct {
	cfg    Config
	ledger ledger
	stream string
	source string
	holder string
	nudge  chan struct{}
	// backlog is what operators are shown.
	backlog *backlog
}

// NewRelay returns a relay that works while [Relay.Run] runs.
func NewRelay(cfg Config) (*Relay, error) {
	switch {
	case cfg.DB == nil:
		return nil, errors.New("outbox: DB is required")
	case cfg.Redis == nil:
		return nil, errors.New("outbox: Redis is required")
	case cfg.Service == "":
		return nil, errors.New("outbox: Service is required")
	}
	cfg.MaxLen = cmp.Or(cfg.MaxLen, 100_000)
	cfg.Poll = cmp.Or(cfg.Poll, 500*time.Millisecond)
	cfg.Check = cmp.Or(cfg.Check, 2*time.Second)
	cfg.MaxBackoff = cmp.Or(cfg.MaxBackoff, 5*time.Second)
	cfg.Retention = cmp.Or(cfg.Retention, 7*24*time.Hour)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	waiting, err := newBacklog(cfg.Registerer, cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return &Relay{
		cfg: cfg, ledger: ledger{cfg.DB}, stream: Stream(cfg.Service), source: "urn:realguardio:" + cfg.Service,
		holder: rand.Text(), nudge: make(chan struct{}, 1), backlog: waiting,
	}, nil
}

// Nudge tells the relay that an event has been committed. It never blocks, and may be called at any time.
func (r *Relay) Nudge() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends, and then returns nil. A Redis or database that cannot be reached is waited for: events stay
// in the outbox meanwhile.
func (r *Relay) Run(ctx context.Context) error {
	var (
		failures                       int
		nextCheck, nextPurge, nextLook time.Time
	)
	for ctx.Err() == nil {
		// First, and whatever comes of the rest: what waits is most when nothing works.
		if now := r.cfg.Now(); !now.Before(nextLook) {
			r.backlog.look(ctx, r.ledger)
			nextLook = now.Add(r.cfg.Check)
		}
		check := !r.cfg.Now().Before(nextCheck)
		busy, err := r.drain(ctx, check)
		if check && err == nil && !busy {
			nextCheck = r.cfg.Now().Add(r.cfg.Check)
		}
		if now := r.cfg.Now(); err == nil && !busy && !now.Before(nextPurge) {
			err = r.purge(ctx, now)
			nextPurge = now.Add(purgeEvery)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			failures++
			if failures == 1 {
				r.cfg.Logger.WarnContext(ctx, "events are not being published", "stream", r.stream, "error", err)
			}
			r.wait(ctx, backoff(failures, r.cfg.MaxBackoff), nil)
		case busy:
			r.wait(ctx, contendedWait, nil)
		default:
			if failures > 0 {
				r.cfg.Logger.InfoContext(ctx, "events are published again", "stream", r.stream, "failures", failures)
				failures = 0
			}
			r.wait(ctx, r.cfg.Poll, r.nudge)
		}
	}
	return nil
}

// wait pauses for d, or until wake or the end of ctx.
func (r *Relay) wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// backoff doubles from 100 ms, and takes off up to a quarter so that replicas do not come back in step.
func backoff(failures int, limit time.Duration) time.Duration {
	d := min(100*time.Millisecond<<min(failures-1, 16), limit)
	return d - mathrand.N(d/4+1)
}

// drain publishes until nothing is left. It reports busy when another relay is at it. Where nothing waits to be published,
// check tells to look for what the stream has lost.
func (r *Relay) drain(ctx context.Context, check bool) (busy bool, err error) {
	due, err := r.ledger.pending(ctx)
	if err == nil && !due && check {
		due, err = r.lossy(ctx)
	}
	if err != nil || !due {
		return false, err
	}
	held, ok, err := r.acquire(ctx)
	if err != nil || !ok {
		return err == nil, err
	}
	defer func() {
		// Also when ctx has ended: the others need not wait for the lease to run out.
		release, cancel := lasting(ctx)
		defer cancel()
		if releaseErr := r.ledger.release(release, r.holder); err == nil {
			err = releaseErr
		}
	}()
	for {
		more, err := r.publish(ctx, &held)
		if errors.Is(err, errLeaseLost) {
			return true, nil
		}
		if err != nil || !more {
			return false, err
		}
		if held, ok, err = r.acquire(ctx); err != nil || !ok {
			return err == nil, err
		}
	}
}

// acquire takes the lease, or renews it.
func (r *Relay) acquire(ctx context.Context) (lease, bool, error) {
	// A statement that is cancelled may still take effect, after the lease was released.
	take, cancel := lasting(ctx)
	defer cancel()
	now := r.cfg.Now()
	return r.ledger.acquire(take, r.holder, now, now.Add(leaseTime))
}

// lasting is ctx for what the database is told of a lease: it goes on when ctx ends, but not for long.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), leaseTime/3)
}

// publish carries one batch and reports whether there may be another. held is moved to where the stream ends then. What
// the stream has lost comes first: Redis takes nothing that is before its end.
func (r *Relay) publish(ctx context.Context, held *lease) (more bool, err error) {
	if held.last.Epoch == 0 {
		return true, r.restart(ctx, held, 0)
	}
	end, err := r.end(ctx)
	if err != nil {
		return false, err
	}
	if end.compare(held.last) > 0 {
		return true, r.catchUp(ctx, held)
	}
	lost, err := r.ledger.publishedAfter(ctx, end, batchSize)
	if err != nil {
		return false, err
	}
	if len(lost) > 0 {
		return true, r.repeat(ctx, *held, end, lost)
	}
	return r.extend(ctx, held, end)
}

// extend carries what was never published, from the stream's end on.
func (r *Relay) extend(ctx context.Context, held *lease, end Position) (more bool, err error) {
	events, err := r.ledger.unpublished(ctx, batchSize)
	if err != nil || len(events) == 0 {
		return false, err
	}
	var (
		last    = held.last
		done    []string
		failure error
	)
	for _, e := range events {
		if r.cfg.Now().After(held.until) {
			break
		}
		next := Position{Epoch: last.Epoch, Sequence: last.Sequence + 1}
		if failure = r.send(ctx, e.Event, end, next); failure != nil {
			break
		}
		last, end, done = next, next, append(done, e.ID)
	}
	if len(done) > 0 {
		// What stands in the stream is recorded even while ctx ends, so that it need not be found out later.
		settle, cancel := lasting(ctx)
		defer cancel()
		if err := r.ledger.settle(settle, *held, last, done, r.cfg.Now()); err != nil {
			return false, err
		}
		held.last = last
		r.backlog.published.Add(float64(len(done)))
	}
	if errors.Is(failure, errMoved) {
		return true, nil
	}
	return failure == nil && (len(events) == batchSize || len(done) < len(events)), failure
}

// send is append for what was never published, as a span of the request that changed something.
func (r *Relay) send(ctx context.Context, e Event, end, next Position) error {
	if e.Traceparent == "" {
		return r.append(ctx, e, end, next)
	}
	ctx, span := r.cfg.Tracer.Begin(mesh.WithTraceparent(ctx, e.Traceparent), tracing.Producer, "publish "+r.stream,
		tracing.String("messaging.system", "redis"), tracing.String("messaging.operation.name", "publish"),
		tracing.String("messaging.destination.name", r.stream), tracing.String("messaging.message.id", e.ID))
	err := r.append(ctx, e, end, next)
	span.End(err)
	return err
}

// catchUp records what stands in the stream after the position on record: a relay died, or its answer was lost, between
// append and settle. Where the stream holds something else, it belongs to another life of this database (restored from a
// backup, or made anew beside an old Redis), and a new epoch begins.
func (r *Relay) catchUp(ctx context.Context, held *lease) error {
	from := Position{Epoch: held.last.Epoch, Sequence: held.last.Sequence + 1}
	entries, err := r.cfg.Redis.XRangeN(ctx, r.stream, from.String(), "+", batchSize).Result()
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	var (
		last = held.last
		ids  []string
	)
	for _, e := range entries {
		position, err := ParsePosition(e.ID)
		id, _ := e.Values[fieldID].(string)
		if err != nil || !position.Follows(last) || id == "" {
			return r.restart(ctx, held, position.Epoch)
		}
		last, ids = position, append(ids, id)
	}
	if len(ids) == 0 {
		return r.restart(ctx, held, 0)
	}
	if known, err := r.ledger.known(ctx, ids); err != nil || known != len(ids) {
		if err != nil {
			return err
		}
		return r.restart(ctx, held, 0)
	}
	if err := r.ledger.settle(ctx, *held, last, ids, r.cfg.Now()); err != nil {
		return err
	}
	held.last = last
	return nil
}

// restart begins a new epoch after all earlier ones, of which seen is one found in the stream.
func (r *Relay) restart(ctx context.Context, held *lease, seen int64) error {
	epoch := max(r.cfg.Now().UnixMilli(), held.last.Epoch+1, seen+1)
	if held.last.Epoch != 0 {
		r.cfg.Logger.WarnContext(ctx, "the stream holds events of another database: beginning a new epoch",
			"stream", r.stream, "epoch", epoch)
	}
	next := Position{Epoch: epoch}
	if err := r.ledger.settle(ctx, *held, next, nil, r.cfg.Now()); err != nil {
		return err
	}
	held.last = next
	return nil
}

func (r *Relay) purge(ctx context.Context, now time.Time) error {
	for {
		n, err := r.ledger.purge(ctx, now.Add(-r.cfg.Retention), purgeBatch)
		if err != nil || n < purgeBatch {
			return err
		}
	}
}
