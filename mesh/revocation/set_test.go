package revocation_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.offset.Load()) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func add(t testing.TB, s *revocation.Set, entries ...revocation.Entry) {
	t.Helper()
	if err := s.Add(entries...); err != nil {
		t.Fatal(err)
	}
}

var alice = mesh.Identity{
	Subject: "u-alice", ClientID: "web", TokenID: "t1", SessionID: "s1", GrantID: "g1", KeyID: "k1", Epoch: 3,
	Actors: []string{"greeter", "gateway"}, DerivedFrom: []string{"t0", "t00"}, DerivedKeys: []string{"k0"},
}

func TestARevocationEndsTheTokensThatCarryItsValue(t *testing.T) {
	for _, tt := range []struct {
		name  string
		entry revocation.Entry
		ends  bool
	}{
		{name: "its token id", entry: revocation.Entry{Kind: revocation.Token, Value: "t1"}, ends: true},
		{name: "the token it was exchanged from", entry: revocation.Entry{Kind: revocation.Token, Value: "t0"}, ends: true},
		{name: "the one that was exchanged from", entry: revocation.Entry{Kind: revocation.Token, Value: "t00"}, ends: true},
		{name: "the key of one of those", entry: revocation.Entry{Kind: revocation.Key, Value: "k0"}, ends: true},
		{name: "a token with the id of such a key", entry: revocation.Entry{Kind: revocation.Token, Value: "k0"}},
		{name: "a session with such an id", entry: revocation.Entry{Kind: revocation.Session, Value: "t0"}},
		{name: "its session", entry: revocation.Entry{Kind: revocation.Session, Value: "s1"}, ends: true},
		{name: "its grant", entry: revocation.Entry{Kind: revocation.Grant, Value: "g1"}, ends: true},
		{name: "its client", entry: revocation.Entry{Kind: revocation.Client, Value: "web"}, ends: true},
		{name: "the client that got it in exchange", entry: revocation.Entry{Kind: revocation.Client, Value: "greeter"}, ends: true},
		{name: "the client that did so before", entry: revocation.Entry{Kind: revocation.Client, Value: "gateway"}, ends: true},
		{name: "a subject with such an id", entry: revocation.Entry{Kind: revocation.Subject, Value: "greeter"}},
		{name: "its key", entry: revocation.Entry{Kind: revocation.Key, Value: "k1"}, ends: true},
		{name: "its subject", entry: revocation.Entry{Kind: revocation.Subject, Value: "u-alice"}, ends: true},
		{name: "its subject below a later epoch", entry: revocation.Entry{Kind: revocation.Subject, Value: "u-alice", BelowEpoch: 4}, ends: true},
		{name: "its subject below its epoch", entry: revocation.Entry{Kind: revocation.Subject, Value: "u-alice", BelowEpoch: 3}},
		{name: "another token", entry: revocation.Entry{Kind: revocation.Token, Value: "t2"}},
		{name: "its session's id as a token id", entry: revocation.Entry{Kind: revocation.Token, Value: "s1"}},
		{name: "the empty grant", entry: revocation.Entry{Kind: revocation.Grant}},
		{name: "a kind of a later version", entry: revocation.Entry{Kind: 99, Value: "t1"}},
		{name: "one that has expired", entry: revocation.Entry{Kind: revocation.Token, Value: "t1", Expires: time.Unix(1, 0)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{}
			s := revocation.NewSet(revocation.Config{Now: c.now})
			notified := make(chan struct{})
			stop := s.Notify(alice, func() { close(notified) })
			defer stop()
			add(t, s, tt.entry)
			if s.Revoked(alice) != tt.ends {
				t.Errorf("revoked: %v", !tt.ends)
			}
			if tt.ends {
				<-notified
			}
			if anonymous := (mesh.Identity{}); s.Revoked(anonymous) {
				t.Error("a token without claims is revoked")
			}
		})
	}
}

func TestARevocationIsForgottenWhenItHasExpired(t *testing.T) {
	c := &clock{}
	s := revocation.NewSet(revocation.Config{Now: c.now})
	in := func(d time.Duration) time.Time { return c.now().Add(d) }
	add(t, s,
		revocation.Entry{Kind: revocation.Token, Value: "t1", Expires: in(time.Minute)},
		revocation.Entry{Kind: revocation.Token, Value: "t1", Expires: in(time.Second)}, // shortens nothing
		revocation.Entry{Kind: revocation.Key, Value: "never"},
	)
	c.advance(59 * time.Second)
	if !s.Revoked(alice) {
		t.Error("forgotten too early")
	}
	c.advance(2 * time.Second)
	if s.Revoked(alice) {
		t.Error("not forgotten")
	}
	s.Complete()
	if s.Len() != 1 {
		t.Errorf("%d entries are held, want that which never expires", s.Len())
	}
}

func TestAllAndBelowAnEpochExpireApart(t *testing.T) {
	c := &clock{}
	s := revocation.NewSet(revocation.Config{Now: c.now})
	add(t, s,
		revocation.Entry{Kind: revocation.Subject, Value: "u-alice", Expires: c.now().Add(time.Minute)},
		revocation.Entry{Kind: revocation.Subject, Value: "u-alice", BelowEpoch: 4, Expires: c.now().Add(time.Hour)},
	)
	later := alice
	later.Epoch = 4
	if !s.Revoked(alice) || !s.Revoked(later) {
		t.Error("not all are ended")
	}
	c.advance(2 * time.Minute)
	if !s.Revoked(alice) || s.Revoked(later) {
		t.Errorf("old: %v, new: %v", s.Revoked(alice), s.Revoked(later))
	}
}

func TestASetIsStaleUntilItIsCompleteAndWhenItIsSilent(t *testing.T) {
	c := &clock{}
	s := revocation.NewSet(revocation.Config{Now: c.now})
	add(t, s, revocation.Entry{Kind: revocation.Token, Value: "t9"})
	if !s.Stale() {
		t.Error("fresh before it was ever complete")
	}
	s.Complete()
	c.advance(15 * time.Second)
	if s.Stale() {
		t.Error("stale too early")
	}
	c.advance(time.Nanosecond)
	if !s.Stale() {
		t.Error("fresh after 15 seconds of silence")
	}
	s.Complete()
	if s.Stale() {
		t.Error("stale although complete again")
	}
}

func TestASetThatIsFullSaysSo(t *testing.T) {
	c := &clock{}
	s := revocation.NewSet(revocation.Config{Now: c.now, MaxEntries: 3})
	for i := range 3 {
		add(t, s, revocation.Entry{Kind: revocation.Token, Value: fmt.Sprint("t", i), Expires: c.now().Add(time.Minute)})
	}
	add(t, s, revocation.Entry{Kind: revocation.Token, Value: "t1", Expires: c.now().Add(time.Hour)}) // is held already
	if err := s.Add(revocation.Entry{Kind: revocation.Token, Value: "more"}); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("got %v", err)
	}
	if s.Len() != 3 || !s.Revoked(mesh.Identity{TokenID: "t1"}) {
		t.Errorf("%d entries", s.Len())
	}
	c.advance(2 * time.Minute)
	add(t, s, revocation.Entry{Kind: revocation.Token, Value: "more"})
	if s.Len() != 2 {
		t.Errorf("%d entries", s.Len())
	}
}

// TestAFullSetMakesRoomOnceASecond is full of entries of which one expires as each new one comes in.
func TestAFullSetMakesRoomOnceASecond(t *testing.T) {
	c := &clock{}
	s := revocation.NewSet(revocation.Config{Now: c.now, MaxEntries: 640})
	const lives = 640 * 100 * time.Millisecond
	entry := func(n int) revocation.Entry {
		return revocation.Entry{Kind: revocation.Token, Value: fmt.Sprint("t", n), Expires: c.now().Add(lives)}
	}
	for n := range 3 * 640 {
		add(t, s, entry(n))
		if s.Len() > 650 || !s.Revoked(mesh.Identity{TokenID: fmt.Sprint("t", n)}) {
			t.Fatalf("after %d there are %d entries", n+1, s.Len())
		}
		c.advance(100 * time.Millisecond)
	}
	for n := range 20 { // at once
		if err := s.Add(entry(10_000 + n)); errors.Is(err, revocation.ErrFull) {
			return
		}
	}
	t.Errorf("there is no end to it: %d entries", s.Len())
}

func TestAWatcherHearsOnceAndNotAfterItStopped(t *testing.T) {
	s := revocation.NewSet(revocation.Config{})
	var stopped, other atomic.Int64
	stop := s.Notify(alice, func() { stopped.Add(1) })
	stop()
	stop()
	heard := make(chan struct{}, 10)
	defer s.Notify(alice, func() { heard <- struct{}{} })()
	defer s.Notify(mesh.Identity{TokenID: "t2", Subject: "u-bob"}, func() { other.Add(1) })()
	add(t, s, revocation.Entry{Kind: revocation.Token, Value: "t1"}, revocation.Entry{Kind: revocation.Session, Value: "s1"})
	<-heard
	late := make(chan struct{})
	defer s.Notify(alice, func() { close(late) })() // is told at once
	<-late
	if stopped.Load() != 0 || other.Load() != 0 || len(heard) != 0 {
		t.Errorf("stopped %d, other %d, again %d", stopped.Load(), other.Load(), len(heard))
	}
}

func TestNoRevocationIsMissedByAWatcherThatComesAtTheSameTime(t *testing.T) {
	s := revocation.NewSet(revocation.Config{})
	var all sync.WaitGroup
	for i := range 200 {
		id := mesh.Identity{TokenID: fmt.Sprint("t", i), Subject: "u"}
		heard := make(chan struct{})
		all.Go(func() { add(t, s, revocation.Entry{Kind: revocation.Token, Value: id.TokenID}) })
		all.Go(func() { defer s.Notify(id, func() { close(heard) })(); <-heard })
	}
	all.Wait()
}
