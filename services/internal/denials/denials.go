// Package denials records in the audit log of a part whom its guard has refused what. It leaves to package mesh who is
// refused, and to package audit how an entry is kept.
//
// Anybody with a token can be refused as often as they like. So of equal denials of one caller the first is recorded within
// a second, and those that follow are counted, for one more entry an hour later. What one caller takes up is bounded, and so
// is what all of them do; beyond that denials are dropped, and their number is known.
package denials

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/audit"
)

// Action is that of every entry.
const Action = "call.deny"

// How many denials that differ are kept apart in a window: those of one subject, and all. There are fewer methods in a part
// than the first, so that nobody can hide one denial behind others of theirs.
const (
	perSubject = 100
	inAll      = 5000
)

// batch is how many entries are recorded in one transaction, and recording how long one may take.
const (
	batch     = 100
	recording = 5 * time.Second
)

// Config says what a Recorder works with.
type Config struct {
	// Record writes entries into the log: all of them, or none. Required.
	Record func(ctx context.Context, entries []audit.Entry) error
	// Gather is how long denials wait for others that are written with them. Default: a second.
	Gather time.Duration
	// Window is how long denials that equal a recorded one are counted until that is recorded. Default: an hour.
	Window time.Duration
	// Logger is for what could not be recorded. Required.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Recorder is safe for concurrent use.
type Recorder struct {
	cfg Config

	mu   sync.Mutex
	seen map[denial]*counted
	// of is how many in seen are of a subject.
	of      map[string]int
	dropped uint64

	// The rest belongs to Run. told is how many were dropped when that was logged last, and tell when it may be again.
	told uint64
	tell time.Time
	// failing is true while nothing can be recorded.
	failing bool
}

// denial is what equal denials have in common.
type denial struct{ subject, client, kind, actors, via, method, reason, cause string }

// counted are equal denials.
type counted struct {
	// n of them are not recorded yet: from first, with its request id and address, to last.
	n           int
	first, last time.Time
	requestID   string
	address     string
	// until is when the window ends that began as some were recorded; zero before that.
	until time.Time
}

// New returns a Recorder.
func New(cfg Config) *Recorder {
	if cfg.Gather <= 0 {
		cfg.Gather = time.Second
	}
	if cfg.Window <= 0 {
		cfg.Window = time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Recorder{cfg: cfg, seen: map[denial]*counted{}, of: map[string]int{}}
}

// Denied has a denial recorded; it is what [mesh.ServerConfig] asks for. It waits for nothing but other denials that are
// counted.
func (r *Recorder) Denied(d mesh.Denial) {
	key := denial{
		subject: d.Caller.Subject, client: d.Caller.ClientID, kind: string(d.Caller.Kind), actors: strings.Join(d.Caller.Actors, " "),
		via: strings.Join(d.Via, " "), method: d.Method, reason: d.Reason, cause: d.Cause,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.seen[key]
	if c == nil {
		if len(r.seen) >= inAll || r.of[key.subject] >= perSubject {
			r.dropped++
			return
		}
		c = &counted{}
		r.seen[key] = c
		r.of[key.subject]++
	}
	c.add(counted{n: 1, first: d.Time, last: d.Time, requestID: d.RequestID, address: audit.AddressOf(d.Client)})
}

// Dropped is how many denials were not recorded, because too many that differ came at once.
func (r *Recorder) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Run records until ctx ends, and then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Gather)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), recording)
			defer cancel()
			r.record(ending, r.take(func(*counted) bool { return true }))
			return nil
		case <-tick.C:
			now := r.cfg.Now()
			r.record(ctx, r.take(func(c *counted) bool { return !now.Before(c.until) }))
			r.report(ctx, now)
		}
	}
}

// taken are equal denials on their way into the log.
type taken struct {
	denial
	counted
}

// take returns what is to be recorded of those that are due, the oldest first, and forgets of whom there is nothing.
func (r *Recorder) take(due func(*counted) bool) (all []taken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.seen {
		switch {
		case !due(c):
		case c.n > 0:
			all = append(all, taken{key, *c})
			c.n = 0
		default:
			r.forget(key)
		}
	}
	slices.SortFunc(all, func(a, b taken) int { return a.first.Compare(b.first) })
	return all
}

func (r *Recorder) forget(key denial) {
	delete(r.seen, key)
	if r.of[key.subject]--; r.of[key.subject] == 0 {
		delete(r.of, key.subject)
	}
}

// record writes all. What cannot be written is tried again.
func (r *Recorder) record(ctx context.Context, all []taken) {
	until := r.cfg.Now().Add(r.cfg.Window)
	for len(all) > 0 {
		some := all[:min(batch, len(all))]
		if err := r.write(ctx, some); err != nil {
			if !r.failing {
				r.cfg.Logger.WarnContext(ctx, "denials could not be recorded and will be tried again", "denials", len(all), "error", err)
			}
			r.failing = true
			r.putBack(all)
			return
		}
		r.failing = false
		r.begin(some, until)
		all = all[len(some):]
	}
}

func (r *Recorder) write(ctx context.Context, some []taken) error {
	entries := make([]audit.Entry, len(some))
	for i := range some {
		entries[i] = some[i].entry()
	}
	ctx, cancel := context.WithTimeout(ctx, recording)
	defer cancel()
	return r.cfg.Record(ctx, entries)
}

// begin begins the windows of what was recorded. What was taken is still known, as it is in putBack: only take forgets.
func (r *Recorder) begin(recorded []taken, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range recorded {
		r.seen[recorded[i].denial].until = until
	}
}

func (r *Recorder) putBack(all []taken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range all {
		r.seen[all[i].denial].add(all[i].counted)
	}
}

// report logs once a window that denials were dropped.
func (r *Recorder) report(ctx context.Context, now time.Time) {
	if dropped := r.Dropped(); dropped > r.told && !now.Before(r.tell) {
		r.cfg.Logger.WarnContext(ctx, "denials were not recorded: too many that differ came at once", "dropped", dropped-r.told)
		r.told, r.tell = dropped, now.Add(r.cfg.Window)
	}
}

// add counts others that equal c's.
func (c *counted) add(others counted) {
	if c.n == 0 || others.first.Before(c.first) {
		c.first, c.requestID, c.address = others.first, others.requestID, others.address
	}
	if others.last.After(c.last) {
		c.last = others.last
	}
	c.n += others.n
}

func (t *taken) entry() audit.Entry {
	e := audit.Entry{
		Time: t.first, Actor: t.subject, ClientID: t.client, Actors: strings.Fields(t.actors), Via: strings.Fields(t.via),
		Action: Action, Target: t.method, Result: t.reason, Address: t.address, RequestID: t.requestID,
		Details: map[string]string{"kind": t.kind, "cause": t.cause},
	}
	if t.n > 1 {
		e.Details["count"], e.Details["last"] = strconv.Itoa(t.n), t.last.UTC().Format(time.RFC3339)
	}
	return e
}
