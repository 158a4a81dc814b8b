package notification

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

func TestReplicasTellEachPersonOnce(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.run(w.service(), w.service(), w.service())
		for i := range 15 {
			w.publish(fmt.Sprintf("evt_%d", i), alarm, "panel_1")
		}
		w.settled()
		ids := map[string]int{}
		for _, l := range w.office.Taken() {
			ids[l.Header.Get("Message-Id")]++
		}
		if len(ids) != 30 || len(w.got()) != 30 {
			w.Errorf("%d messages, %d different, want 30", len(w.got()), len(ids))
		}
	})
}

func TestAnEventThatComesAgainIsToldOnce(t *testing.T) {
	w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
	stop := w.run(w.service())
	w.publish("evt_1", alarm, "panel_1")
	w.publish("evt_1", alarm, "panel_1")
	w.settled()
	stop()
	// The stream is read from the beginning again.
	if _, err := w.db.Exec(t.Context(), `DELETE FROM stream_position`); err != nil {
		t.Fatal(err)
	}
	w.run(w.service())
	w.settled()
	if got := w.got(); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// Whoever claims a notice or a message and dies leaves it to others, once its lease has run out.
func TestWhatWasClaimedByOneThatDiedIsTakenUpAgain(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		store := sqlStore{w.db}
		now := time.Now()
		notice := Notice{EventID: "evt_1", Kind: Alarm, Time: now, LocationID: "oakland", LocationName: "Oakland", Alarm: "fire"}
		if err := store.Take(t.Context(), "s", outbox.Position{Epoch: 1, Sequence: 1}, []Notice{notice}, now); err != nil {
			t.Fatal(err)
		}
		claimNotices := func(at time.Time) int {
			t.Helper()
			got, err := store.ClaimNotices(t.Context(), at, at.Add(addressLease), 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(got)
		}
		claimDeliveries := func(at time.Time) int {
			t.Helper()
			got, err := store.ClaimDeliveries(t.Context(), at, at.Add(sendLease), 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(got)
		}
		if first, second := claimNotices(now), claimNotices(now.Add(addressLease/2)); first != 1 || second != 0 {
			t.Errorf("notices claimed: %d, then %d", first, second)
		}
		if n := claimNotices(now.Add(2 * addressLease)); n != 1 {
			t.Errorf("%d notices taken up again", n)
		}
		delivery := Delivery{ID: "ntf_1", EventID: "evt_1", UserID: "alice", Channel: Email, Address: "alice@acme.example", CreateTime: now}
		if err := store.Settle(t.Context(), "evt_1", []Delivery{delivery}); err != nil {
			t.Fatal(err)
		}
		if first, second := claimDeliveries(now), claimDeliveries(now.Add(sendLease/2)); first != 1 || second != 0 {
			t.Errorf("deliveries claimed: %d, then %d", first, second)
		}
		// A new process, later: it sends what the one before had claimed, and what settled twice once.
		if err := store.Settle(t.Context(), "evt_1", []Delivery{{ID: "ntf_2", UserID: "alice", Channel: Email, CreateTime: now}}); err != nil {
			t.Fatal(err)
		}
		w.later.Store(int64(2 * sendLease))
		w.run(w.service())
		meshtest.Await(w, "it was sent", func() bool { return len(w.office.Taken()) == 1 })
		meshtest.Await(w, "it is recorded", func() bool { return w.states()[Sent] == 1 })
		if id := w.office.Taken()[0].Header.Get("Message-Id"); !strings.HasPrefix(id, "<ntf_1@") || w.states()[Pending] != 0 {
			t.Errorf("sent %s, %v", id, w.states())
		}
	})
}

func TestManyWhoClaimAtOnceGetDifferentDeliveries(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		store, now := sqlStore{w.db}, time.Now()
		err := store.Take(t.Context(), "s", outbox.Position{Epoch: 1, Sequence: 1}, []Notice{{EventID: "evt_1", Time: now}}, now)
		if err != nil {
			t.Fatal(err)
		}
		var all []Delivery
		for i := range 40 {
			all = append(all, Delivery{ID: fmt.Sprint("ntf_", i), UserID: fmt.Sprint("u", i), Channel: Email, CreateTime: now})
		}
		if err := store.Settle(t.Context(), "evt_1", all); err != nil {
			t.Fatal(err)
		}
		var (
			claiming sync.WaitGroup
			mu       sync.Mutex
			claimed  = map[string]int{}
		)
		for range 8 {
			claiming.Go(func() {
				for {
					got, err := store.ClaimDeliveries(t.Context(), now, now.Add(time.Hour), 3)
					if err != nil || len(got) == 0 {
						if err != nil {
							t.Error(err)
						}
						var left int
						if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM delivery WHERE attempts = 0`).Scan(&left); err != nil || left == 0 {
							return
						}
						continue
					}
					mu.Lock()
					for _, c := range got {
						claimed[c.Delivery.ID]++
					}
					mu.Unlock()
				}
			})
		}
		claiming.Wait()
		for id, n := range claimed {
			if n != 1 {
				t.Errorf("%s was claimed %d times", id, n)
			}
		}
		if len(claimed) != 40 {
			t.Errorf("%d claimed", len(claimed))
		}
	})
}

func TestWithoutTheCustomerServiceNoticesWait(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.people.set(func(p *people) { p.down = true })
		stop := w.run(w.service())
		w.publish("evt_1", alarm, "panel_1")
		w.publish("evt_2", alarm, "panel_1")
		meshtest.Await(w, "it was asked again and again", func() bool {
			w.people.mu.Lock()
			defer w.people.mu.Unlock()
			return w.people.asked > 6
		})
		stop()
		if n := len(w.got()); n != 0 {
			w.Errorf("%d messages", n)
		}
		// Even the loss of the stream loses nothing that was taken.
		if err := w.stream.FlushAll(w.Context()).Err(); err != nil {
			w.Fatal(err)
		}
		w.people.set(func(p *people) { p.down = false })
		w.run(w.service())
		w.settled()
		if n := len(w.got()); n != 4 {
			w.Errorf("%d messages, want 4", n)
		}
	})
}

func TestAStreamThatWasAwayIsReadOnceItIsBack(t *testing.T) {
	stream := miniredis.RunT(t)
	w := newWorld(t, databases.SQLite(t), stream.Addr())
	w.run(w.service())
	w.publish("evt_1", alarm, "panel_1")
	w.settled()
	stream.Close()
	if err := stream.Restart(); err != nil {
		t.Fatal(err)
	}
	meshtest.Await(w, "the stream answers", func() bool { return w.stream.Ping(t.Context()).Err() == nil })
	w.publish("evt_2", alarm, "panel_1")
	w.settled()
	if got := w.got(); len(got) != 4 {
		t.Errorf("%q", got)
	}
}
