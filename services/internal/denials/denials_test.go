package denials_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/denials"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a recorder on a log, at a time that is set by hand.
type world struct {
	*denials.Recorder
	t *testing.T
	// stop ends Run and waits for it.
	stop func()

	mu sync.Mutex
	at time.Time
	// down refuses to record. log is what was recorded, batches how many at once, tries how often that was tried.
	down    bool
	log     []audit.Entry
	batches []int
	tries   int
}

func begin(t *testing.T, logger *slog.Logger) *world {
	t.Helper()
	w := &world{t: t, at: noon}
	w.Recorder = denials.New(denials.Config{Record: w.record, Gather: time.Millisecond, Logger: logger, Now: w.now})
	w.stop = run(t, w.Recorder)
	return w
}

// run runs r until the test ends, or stop is called, which waits for it.
func run(t *testing.T, r *denials.Recorder) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.at }

func (w *world) record(_ context.Context, entries []audit.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if w.down {
		return errors.New("the database is away")
	}
	w.log, w.batches = append(w.log, entries...), append(w.batches, len(entries))
	return nil
}

func (w *world) set(change func()) { w.mu.Lock(); defer w.mu.Unlock(); change() }

// deny denies somebody something now, n times.
func (w *world) deny(who, what string, n int) {
	for range n {
		w.Denied(denial(w.now(), who, what))
	}
}

func denial(at time.Time, who, what string) mesh.Denial {
	return mesh.Denial{Time: at, Method: "/test.Service/" + what, Reason: mesh.ReasonRoleMissing, Cause: "role_missing",
		Caller: &mesh.Identity{Subject: who, ClientID: "web", Kind: mesh.KindUser, Actors: []string{"securitysystem"}}, Via: []string{"securitysystem", "gateway"}, RequestID: "req-1"}
}

// entries are what is recorded, the oldest first, as "actor target count".
func (w *world) entries() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		all = append(all, strings.TrimSpace(fmt.Sprint(e.Actor, " ", strings.TrimPrefix(e.Target, "/test.Service/"), " ", e.Details["count"])))
	}
	return all
}

func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("waited in vain for %s: %q", what, w.entries())
		}
	}
}

func (w *world) want(entries ...string) {
	w.t.Helper()
	w.await(strings.Join(entries, ", "), func() bool { return len(w.entries()) >= len(entries) })
	if got := w.entries(); !slices.Equal(got, entries) {
		w.t.Errorf("got %q, want %q", got, entries)
	}
}

func TestADenialIsRecordedWithWhoWasRefusedWhat(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		if err := audit.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		r := denials.New(denials.Config{Logger: meshtest.Logger(t), Record: func(ctx context.Context, entries []audit.Entry) error {
			return db.Tx(ctx, func(tx sqldb.Tx) error { return audit.Add(ctx, tx, entries[0]) })
		}})
		stop := run(t, r)
		r.Denied(denial(noon, "mallory", "Delete"))
		stop()
		list, err := audit.List(t.Context(), db, audit.Filter{}, 0, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		e := list[0]
		if e.Action != "call.deny" || e.Actor != "mallory" || e.ClientID != "web" || !slices.Equal(e.Actors, []string{"securitysystem"}) || !slices.Equal(e.Via, []string{"securitysystem", "gateway"}) ||
			e.Target != "/test.Service/Delete" || e.RequestID != "req-1" || e.Result != "ROLE_MISSING" || e.Details["cause"] != "role_missing" ||
			e.Details["kind"] != "user" || !e.Time.Equal(noon) {
			t.Errorf("%+v", e)
		}
		if _, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil {
			t.Error(err)
		}
	})
}

func TestDenialsThatAreEqualAreCounted(t *testing.T) {
	w := begin(t, meshtest.Logger(t))
	w.deny("mallory", "Delete", 1)
	w.want("mallory Delete")
	w.deny("mallory", "Delete", 10_000)
	w.deny("mallory", "Update", 1)
	w.deny("alice", "Delete", 1)
	w.await("what differs", func() bool { return len(w.entries()) >= 3 })
	w.set(func() { w.at = noon.Add(59 * time.Minute) })
	w.deny("bob", "Delete", 1)
	w.await("what comes later", func() bool { return len(w.entries()) >= 4 })
	if got := w.entries(); slices.ContainsFunc(got, func(e string) bool { return strings.HasSuffix(e, "10000") }) {
		t.Errorf("recorded before its hour is over: %q", got)
	}
	w.set(func() { w.at = noon.Add(time.Hour) })
	w.await("those that were counted", func() bool { return slices.Contains(w.entries(), "mallory Delete 10000") })
	if n := len(w.entries()); n != 5 {
		t.Errorf("%d entries: %q", n, w.entries())
	}
}

func TestADenialInANewHourIsRecordedAtOnce(t *testing.T) {
	w := begin(t, meshtest.Logger(t))
	w.deny("mallory", "Delete", 1)
	w.want("mallory Delete")
	w.set(func() { w.at = noon.Add(2 * time.Hour) })
	w.deny("mallory", "Delete", 1)
	w.want("mallory Delete", "mallory Delete")
}

func TestWhatWaitsIsRecordedInTheEnd(t *testing.T) {
	w := begin(t, meshtest.Logger(t))
	w.deny("mallory", "Delete", 1)
	w.want("mallory Delete")
	w.deny("mallory", "Delete", 7)
	w.stop()
	w.want("mallory Delete", "mallory Delete 7")
}

func TestWhatCannotBeRecordedNowIsRecordedLater(t *testing.T) {
	w := begin(t, meshtest.Logger(t))
	w.set(func() { w.down = true })
	w.deny("mallory", "Delete", 3)
	tried := func(n int) func() bool { return func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.tries >= n } }
	w.await("three tries", tried(3))
	w.set(func() { w.at = noon.Add(time.Minute) })
	w.deny("mallory", "Delete", 2)
	w.set(func() { w.tries = 0 })
	w.await("a try with all of them", tried(2))
	w.set(func() { w.down = false })
	w.want("mallory Delete 5")
	w.stop()
	if e := w.log[0]; !e.Time.Equal(noon) || e.Details["last"] != "2026-03-01T12:01:00Z" {
		t.Errorf("%+v", e)
	}
}

// TestNobodyFillsTheLogWithDenials has one caller try what no part has as many methods of, and then a crowd of callers.
func TestNobodyFillsTheLogWithDenials(t *testing.T) {
	var logged lines
	w := begin(t, slog.New(slog.NewTextHandler(&logged, nil)))
	w.set(func() { w.down = true })
	for i := range 1000 {
		w.deny("mallory", fmt.Sprint("Method", i), 1)
	}
	if got := w.Dropped(); got != 900 {
		t.Errorf("%d of one caller's were dropped", got)
	}
	w.deny("alice", "Delete", 1)
	if got := w.Dropped(); got != 900 {
		t.Error("another caller's was")
	}
	for i := range 10_000 {
		w.deny(fmt.Sprint("mallory", i), "Delete", 1)
	}
	if got := w.Dropped(); got != 900+10_000-(5000-101) {
		t.Errorf("%d were dropped in all", got)
	}
	w.set(func() { w.down = false })
	w.await("all that is kept", func() bool { return len(w.entries()) >= 5000 })
	w.stop()
	if got := w.entries(); len(got) != 5000 || !slices.Contains(got, "alice Delete") {
		t.Errorf("%d entries", len(got))
	}
	for _, n := range w.batches {
		if n > 100 {
			t.Errorf("%d in one transaction", n)
		}
	}
	if n := logged.count("too many that differ"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// lines is a log that can be looked at.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}
