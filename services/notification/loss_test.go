package notification

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protojson"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// source is the security system service as far as its events go: an outbox with its relay.
type source struct {
	*world
	version int64
}

func (w *world) source() *source {
	w.Helper()
	if err := outbox.Migrate(w.Context(), w.db); err != nil {
		w.Fatal(err)
	}
	relay, err := outbox.NewRelay(outbox.Config{DB: w.db, Redis: w.stream, Service: "securitysystem", Poll: 10 * time.Millisecond,
		Check: 20 * time.Millisecond, MaxBackoff: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(w.Output(), nil))})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := relay.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() { cancel(); running.Wait() })
	return &source{world: w}
}

// tell commits that the system was armed at the place of that name, and waits until the relay has marked it as published.
func (s *source) tell(place string) {
	s.Helper()
	s.version++
	data, err := protojson.Marshal(&securitysystemv1.SecuritySystemChanged{
		Event:      &securitysystemv1.Event{Type: armed, SecuritySystemId: "sys_1", Mode: securitysystemv1.Mode_AWAY},
		CustomerId: "acme", LocationId: "oakland", LocationName: place,
	})
	if err != nil {
		s.Fatal(err)
	}
	err = s.db.Tx(s.Context(), func(tx sqldb.Tx) error {
		return outbox.Add(s.Context(), tx, outbox.Event{ID: fmt.Sprintf("evt_%d", s.version), Subject: "sys_1", Version: s.version,
			Type: "realguardio.securitysystem.v1.SecuritySystemChanged.system_armed", Time: time.Now(), Data: data})
	})
	if err != nil {
		s.Fatal(err)
	}
	meshtest.Await(s, "the event is published", func() bool {
		var n int
		err := s.db.QueryRow(s.Context(), `SELECT count(*) FROM outbox WHERE published_at IS NULL`).Scan(&n)
		return err == nil && n == 0
	})
}

// toldAlice are the places that Alice was told of once n messages have been sent to her, sorted.
func (s *source) toldAlice(n int) []string {
	s.Helper()
	meshtest.Await(s, "everything has arrived", func() bool {
		var told int
		err := s.db.QueryRow(s.Context(), `SELECT count(*) FROM delivery WHERE state = $1 AND user_id = 'alice'`, Sent).Scan(&told)
		return err == nil && told >= n
	})
	var list []string
	for _, l := range s.got() {
		if place, ok := strings.CutPrefix(l, "alice@acme.example: Armed: "); ok {
			list = append(list, strings.TrimSuffix(place, " (away)"))
		}
	}
	return list
}

// loseTail makes Redis what it is when it comes back without its last n writes to the stream.
func (s *source) loseTail(n int) {
	s.Helper()
	stream := outbox.Stream("securitysystem")
	entries, err := s.stream.XRange(s.Context(), stream, "-", "+").Result()
	if err != nil || len(entries) < n {
		s.Fatal(len(entries), err)
	}
	_, err = s.stream.TxPipelined(s.Context(), func(p redis.Pipeliner) error {
		p.Del(s.Context(), stream)
		for _, e := range entries[:len(entries)-n] {
			p.XAdd(s.Context(), &redis.XAddArgs{Stream: stream, ID: e.ID, Values: e.Values})
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

func TestWhatTheStreamLosesArrivesOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		lose func(s *source)
		want []string
	}{
		{"a flush that nothing follows", func(s *source) { s.loseTail(3) }, []string{"1", "2", "3"}},
		{"a flush that more follows", func(s *source) {
			s.loseTail(3)
			s.tell("4")
			s.tell("5")
		}, []string{"1", "2", "3", "4", "5"}},
		{"the last write is lost", func(s *source) { s.loseTail(1) }, []string{"1", "2", "3"}},
		{"the last writes are lost, and more follows", func(s *source) {
			s.loseTail(2)
			s.tell("4")
		}, []string{"1", "2", "3", "4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Run("while nobody takes events", func(t *testing.T) {
				eachWorld(t, func(w *world) {
					s := w.source()
					stop := w.run(w.service())
					s.tell("1")
					s.toldAlice(1)
					stop()
					s.tell("2")
					s.tell("3")
					test.lose(s)
					w.run(w.service())
					if diff := gocmp.Diff(test.want, s.toldAlice(len(test.want))); diff != "" {
						w.Error(diff)
					}
				})
			})
			t.Run("while events are taken", func(t *testing.T) {
				w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
				s := w.source()
				w.run(w.service())
				for _, place := range []string{"1", "2", "3"} {
					s.tell(place)
				}
				test.lose(s)
				s.tell("last")
				want := append(slices.Clone(test.want), "last")
				if diff := gocmp.Diff(want, s.toldAlice(len(want))); diff != "" {
					w.Error(diff)
				}
			})
		})
	}
}

func TestAGapIsToldOnceAsAnError(t *testing.T) {
	w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
	var log bytes.Buffer
	w.publish("evt_1", armed, "mary")
	w.position.Sequence += 10
	w.publish("evt_2", alarm, "panel_1")
	w.publish("evt_3", disarmed, "mary")
	stop := w.run(w.service(func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
	w.settled()
	stop()
	if n := strings.Count(log.String(), `level=ERROR msg="events were lost from the stream"`); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}
