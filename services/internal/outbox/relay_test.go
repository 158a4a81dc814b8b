package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

// world is a service with an outbox, and the Redis it publishes to.
type world struct {
	*testing.T
	open func() *sqldb.DB
	db   *sqldb.DB
	addr string
	// down makes the relays' connections to Redis fail.
	down  atomic.Bool
	redis *redis.Client
}

func eachWorld(t *testing.T, test func(w *world)) {
	storetest.EachRedis(t, func(t *testing.T, addr string) {
		storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
			w := &world{T: t, open: open, db: open(), addr: addr}
			if err := Migrate(t.Context(), w.db); err != nil {
				t.Fatal(err)
			}
			w.redis = w.client()
			if err := w.redis.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			test(w)
		})
	})
}

func (w *world) client(hooks ...redis.Hook) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: w.addr, MaxRetries: -1,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if w.down.Load() {
				return nil, errors.New("redis is down")
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}})
	for _, h := range hooks {
		c.AddHook(h)
	}
	w.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) relay(c *redis.Client, change ...func(*Config)) *Relay {
	w.Helper()
	cfg := Config{DB: w.db, Redis: c, Service: "test", Poll: 10 * time.Millisecond, Check: 20 * time.Millisecond, MaxBackoff: 20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(w.Output(), nil))}
	for _, f := range change {
		f(&cfg)
	}
	r, err := NewRelay(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// run runs relays until the returned function is called.
func (w *world) run(relays ...*Relay) (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	for _, r := range relays {
		running.Go(func() {
			if err := r.Run(ctx); err != nil {
				w.Error(err)
			}
		})
	}
	stop = func() { cancel(); running.Wait() }
	w.Cleanup(stop)
	return stop
}

func event(subject string, version int64) Event {
	return Event{ID: fmt.Sprintf("evt_%s_%d", subject, version), Type: "test.Happened", Subject: subject,
		Version: version, Time: time.UnixMicro(1_800_000_000_000_000).UTC(), Data: json.RawMessage(`{"n":1}`)}
}

func (w *world) add(events ...Event) {
	w.Helper()
	err := w.db.Tx(w.Context(), func(tx sqldb.Tx) error {
		for _, e := range events {
			if err := Add(w.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

type published struct {
	Envelope
	Position
}

func (w *world) stream() []published {
	w.Helper()
	messages, err := w.redis.XRange(w.Context(), Stream("test"), "-", "+").Result()
	if err != nil {
		w.Fatal(err)
	}
	var all []published
	for _, m := range messages {
		e, p, err := Decode(m)
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, published{e, p})
	}
	return all
}

func ids(all []published) []string {
	var list []string
	for _, p := range all {
		list = append(list, p.ID)
	}
	return list
}

// await waits until all is published.
func (w *world) await() {
	w.Helper()
	meshtest.Await(w, "all events are marked as published", func() bool {
		pending, err := ledger{w.db}.pending(w.Context())
		return err == nil && !pending
	})
}

func TestAnEventIsPublishedOnceItsTransactionHasCommitted(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.run(w.relay(w.client()))
		undo := errors.New("undo")
		err := w.db.Tx(w.Context(), func(tx sqldb.Tx) error {
			if err := Add(w.Context(), tx, event("rolled-back", 1)); err != nil {
				return err
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		w.add(event("kept", 1))
		w.await()
		got := w.stream()
		if len(got) != 1 {
			w.Fatalf("published %v, want one event", ids(got))
		}
		e := got[0].Envelope
		if e.Sequence == "" {
			w.Error("no sequence")
		}
		e.Sequence = ""
		want := Envelope{SpecVersion: "1.0", ID: "evt_kept_1", Source: "urn:realguardio:test", Type: "test.Happened",
			Subject: "kept", Time: event("kept", 1).Time, SubjectVersion: 1, DataContentType: "application/json",
			Data: json.RawMessage(`{"n":1}`)}
		if diff := cmp.Diff(want, e); diff != "" {
			w.Error(diff)
		}
	})
}

func TestAnEventKeepsWhereInATraceItHappened(t *testing.T) {
	eachWorld(t, func(w *world) {
		const at = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		w.run(w.relay(w.client()))
		err := w.db.Tx(t.Context(), func(tx sqldb.Tx) error { return Add(mesh.WithTraceparent(t.Context(), at), tx, event("traced", 1)) })
		if err != nil {
			t.Fatal(err)
		}
		w.await()
		if got := w.stream(); len(got) != 1 || got[0].Traceparent != at {
			w.Errorf("got %+v", got)
		}
	})
}

func TestOperatorsSeeWhatWaits(t *testing.T) {
	eachWorld(t, func(w *world) {
		registry := prometheus.NewRegistry()
		shown := func(name string) float64 {
			families, err := registry.Gather()
			if err != nil {
				w.Fatal(err)
			}
			for _, f := range families {
				if m := f.GetMetric()[0]; f.GetName() == "realguardio_outbox_"+name {
					return m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
			w.Fatalf("no metric %s", name)
			return 0
		}
		w.down.Store(true)
		old := event("a", 1)
		old.Time = time.Now().Add(-time.Hour)
		w.add(old, event("b", 1))
		r := w.relay(w.client(), func(c *Config) { c.Registerer, c.Check = registry, 10*time.Millisecond })
		w.run(r)
		meshtest.Await(w, "two events wait, for an hour", func() bool { return shown("unpublished") == 2 && shown("oldest_seconds") > 3500 })
		w.down.Store(false)
		w.await()
		meshtest.Await(w, "none waits", func() bool {
			return shown("unpublished") == 0 && shown("oldest_seconds") == 0 && shown("published_total") == 2
		})
		if _, err := NewRelay(Config{DB: w.db, Redis: w.redis, Service: "test", Registerer: registry}); err == nil {
			w.Error("two relays show themselves as one")
		}
	})
}

func TestANudgeSavesTheWaitForThePoll(t *testing.T) {
	eachWorld(t, func(w *world) {
		r := w.relay(w.client(), func(c *Config) { c.Poll = time.Hour })
		w.add(event("a", 1))
		w.run(r)
		w.await() // by the first look; from here on nothing but a nudge can help
		w.add(event("a", 2))
		r.Nudge()
		w.await()
	})
}

func TestEventsOfASubjectKeepTheOrderOfItsVersionsWhateverTheClocksSay(t *testing.T) {
	eachWorld(t, func(w *world) {
		const n = 3 * batchSize
		var events []Event
		for v := range n {
			e := event("sys", int64(v+1))
			e.ID = fmt.Sprintf("evt_%d", rand.Int64())                // ids say nothing of the order
			e.Time = e.Time.Add(-time.Duration(v) * time.Millisecond) // a replica whose clock is behind
			events = append(events, e)
		}
		w.add(events...)
		w.run(w.relay(w.client()))
		w.await()
		got := w.stream()
		if len(got) != n {
			w.Fatalf("published %d events, want %d", len(got), n)
		}
		for i, p := range got {
			if p.SubjectVersion != int64(i+1) || i > 0 && (!p.Follows(got[i-1].Position) || p.Envelope.Sequence <= got[i-1].Envelope.Sequence) {
				w.Fatalf("entry %d at %v has version %d", i, p.Position, p.SubjectVersion)
			}
		}
	})
}

func TestRelaysAtOncePublishEveryEventOnceAndInOrder(t *testing.T) {
	eachWorld(t, func(w *world) {
		var relays []*Relay
		for range 3 {
			relays = append(relays, w.relay(w.client()))
		}
		w.run(relays...)
		const subjects, versions = 6, 40
		var writers sync.WaitGroup
		for s := range subjects {
			writers.Go(func() {
				for v := range versions {
					w.add(event(fmt.Sprintf("sys%d", s), int64(v+1)))
					relays[v%len(relays)].Nudge()
				}
			})
		}
		writers.Wait()
		w.await()
		got := w.stream()
		if len(got) != subjects*versions {
			w.Errorf("published %d events, want %d", len(got), subjects*versions)
		}
		next := map[string]int64{}
		for i, p := range got {
			next[p.Subject]++
			if p.SubjectVersion != next[p.Subject] {
				w.Fatalf("%s: version %d published where %d was due", p.Subject, p.SubjectVersion, next[p.Subject])
			}
			if i > 0 && !p.Follows(got[i-1].Position) {
				w.Fatalf("%v stands after %v", p.Position, got[i-1].Position)
			}
		}
	})
}

func TestARelayThatDiedBeforeItMarkedWhatItPublishedRepeatsNothing(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.add(event("a", 1))
		stop := w.run(w.relay(w.client()))
		w.await()
		stop()

		// It appends, and dies. Events that are first in the order commit before the next relay starts.
		w.add(event("b", 7), event("b", 8))
		died := w.relay(w.client())
		now := time.Now()
		held, ok, err := died.ledger.acquire(t.Context(), died.holder, now, now.Add(30*time.Millisecond))
		if err != nil || !ok {
			w.Fatal(ok, err)
		}
		end := held.last
		for _, e := range []Event{event("b", 7), event("b", 8)} {
			next := Position{Epoch: end.Epoch, Sequence: end.Sequence + 1}
			if err := died.append(t.Context(), e, end, next); err != nil {
				w.Fatal(err)
			}
			end = next
		}
		w.add(event("a", 2), event("a", 3))

		w.run(w.relay(w.client()))
		w.await()
		want := []string{"evt_a_1", "evt_b_7", "evt_b_8", "evt_a_2", "evt_a_3"}
		if diff := cmp.Diff(want, ids(w.stream())); diff != "" {
			w.Error(diff)
		}

		// The first one was only asleep in the middle of its batch. It can neither write nor mark any more.
		next := Position{Epoch: end.Epoch, Sequence: end.Sequence + 1}
		if err := died.append(t.Context(), event("b", 9), end, next); !errors.Is(err, errMoved) {
			w.Errorf("append without a lease: %v", err)
		}
		if err := died.catchUp(t.Context(), &held); !errors.Is(err, errLeaseLost) {
			w.Errorf("mark without a lease: %v", err)
		}
		if diff := cmp.Diff(want, ids(w.stream())); diff != "" {
			w.Error(diff)
		}
	})
}

// answerLost lets an event be appended and loses the answer, once per event.
type answerLost struct {
	mu   sync.Mutex
	seen map[string]bool
	then func()
}

func (*answerLost) DialHook(next redis.DialHook) redis.DialHook { return next }
func (*answerLost) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h *answerLost) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if !strings.HasPrefix(cmd.Name(), "eval") || err != nil {
			return err
		}
		key := fmt.Sprint(cmd.Args()[len(cmd.Args())-3])
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.seen[key] {
			return nil
		}
		h.seen[key] = true
		if h.then != nil {
			h.then()
		}
		cmd.SetErr(errors.New("connection reset"))
		return cmd.Err()
	}
}

func TestAnAnswerThatIsLostRepeatsNothing(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.add(event("a", 1), event("a", 2), event("a", 3))
		w.run(w.relay(w.client(&answerLost{seen: map[string]bool{}})))
		w.await()
		if diff := cmp.Diff([]string{"evt_a_1", "evt_a_2", "evt_a_3"}, ids(w.stream())); diff != "" {
			w.Error(diff)
		}
	})
}

func TestRunThatIsCancelledBetweenPublishAndMarkRepeatsNothing(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.add(event("a", 1), event("a", 2))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := w.relay(w.client(&answerLost{seen: map[string]bool{}, then: cancel}))
		if err := r.Run(ctx); err != nil {
			w.Fatal(err)
		}
		if got := ids(w.stream()); len(got) != 1 {
			w.Fatalf("stream holds %v when Run returned, want the first event", got)
		}
		if pending, err := r.ledger.pending(t.Context()); err != nil || !pending {
			w.Fatal("the event is marked as published, although its answer was lost", err)
		}
		w.run(w.relay(w.client()))
		w.await()
		if diff := cmp.Diff([]string{"evt_a_1", "evt_a_2"}, ids(w.stream())); diff != "" {
			w.Error(diff)
		}
	})
}

func TestWhileRedisIsDownEventsAreKept(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.down.Store(true)
		w.run(w.relay(w.client()))
		w.add(event("a", 1))
		w.add(event("a", 2))
		if pending, err := (ledger{w.db}).pending(t.Context()); err != nil || !pending {
			w.Fatal("nothing is pending", err)
		}
		w.down.Store(false)
		w.await()
		if diff := cmp.Diff([]string{"evt_a_1", "evt_a_2"}, ids(w.stream())); diff != "" {
			w.Error(diff)
		}
	})
}

func TestAStreamOfAnotherDatabaseBeginsANewEpoch(t *testing.T) {
	tests := []struct {
		name string
		find func(w *world)
	}{
		{"the database was made anew beside an old stream", func(w *world) {
			err := w.redis.XAdd(w.Context(), &redis.XAddArgs{Stream: Stream("test"), ID: fmt.Sprintf("%d-5", time.Now().UnixMilli()+60_000),
				Values: []any{fieldID, "evt_other", fieldEvent, `{"specversion":"1.0","id":"evt_other","type":"t"}`}}).Err()
			if err != nil {
				w.Fatal(err)
			}
		}},
		{"the database was restored from a backup", func(w *world) {
			w.add(event("a", 1), event("a", 2))
			stop := w.run(w.relay(w.client()))
			w.await()
			stop()
			if _, err := w.db.Exec(w.Context(), `DELETE FROM outbox`); err != nil {
				w.Fatal(err)
			}
			if _, err := w.db.Exec(w.Context(), `UPDATE outbox_relay SET sequence = 1`); err != nil {
				w.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			eachWorld(t, func(w *world) {
				test.find(w)
				old := w.stream()
				w.add(event("new", 1), event("new", 2))
				w.run(w.relay(w.client()))
				w.await()
				got := w.stream()[len(old):]
				if diff := cmp.Diff([]string{"evt_new_1", "evt_new_2"}, ids(got)); diff != "" {
					w.Fatal(diff)
				}
				if got[0].Epoch <= old[len(old)-1].Epoch || got[0].Position.Sequence != 1 {
					w.Errorf("new events begin at %v, after %v", got[0].Position, old[len(old)-1].Position)
				}
			})
		})
	}
}

func TestPublishedEventsAreDeletedAfterTheirRetention(t *testing.T) {
	eachWorld(t, func(w *world) {
		var later atomic.Int64
		r := w.relay(w.client(), func(c *Config) {
			c.Retention = 2 * time.Hour
			c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		})
		w.run(r)
		w.add(event("a", 1))
		w.await()
		later.Store(int64(3 * time.Hour))
		meshtest.Await(w, "the old event is gone", func() bool {
			var n int
			err := w.db.QueryRow(w.Context(), `SELECT count(*) FROM outbox`).Scan(&n)
			return err == nil && n == 0
		})
	})
}

func TestAddRefusesWhatCannotBePublished(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		if err := Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		add := func(e Event) error {
			return db.Tx(t.Context(), func(tx sqldb.Tx) error { return Add(t.Context(), tx, e) })
		}
		if err := add(event("a", 1)); err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*Event){
			"without an id":                   func(e *Event) { e.ID = "" },
			"without a type":                  func(e *Event) { e.Type = "" },
			"without a subject":               func(e *Event) { e.Subject = "" },
			"without a version":               func(e *Event) { e.Version = 0 },
			"without a time":                  func(e *Event) { e.Time = time.Time{} },
			"with data that is not JSON":      func(e *Event) { e.Data = json.RawMessage(`{`) },
			"with the version of another one": func(e *Event) { e.Version = 1 },
		} {
			t.Run(name, func(t *testing.T) {
				e := event("a", 2)
				change(&e)
				if err := add(e); err == nil {
					t.Error("accepted")
				}
			})
		}
		var n int
		if err := db.QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&n); err != nil || n != 1 {
			t.Errorf("outbox holds %d events (%v), want 1", n, err)
		}
	})
}

func TestDecodeSaysWhereAnUnreadableEntryStands(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"no event":         {"id": "x"},
		"not JSON":         {"event": "{"},
		"not a CloudEvent": {"event": `{"specversion":"0.3","id":"x","type":"t"}`},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, err := Decode(redis.XMessage{ID: "7-9", Values: values})
			if err == nil || p != (Position{Epoch: 7, Sequence: 9}) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
}
