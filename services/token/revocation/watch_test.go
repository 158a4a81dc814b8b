package revocation_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	verifier "github.com/realguardio/realguardio/mesh/revocation"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// log is a store that a test can set back and take away.
type log struct {
	mu      sync.Mutex
	epoch   string
	head    int64
	entries []revocation.Entry
	down    bool
}

// add writes n entries, of tokens t<prefix><number>.
func (l *log) add(prefix string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.head++
		l.entries = append(l.entries, revocation.Entry{
			Number: l.head, Kind: revocation.Token, Value: fmt.Sprint(prefix, l.head),
			Expires: time.Now().Add(time.Hour), Made: time.Now().Truncate(time.Microsecond).UTC(),
		})
	}
}

// forget drops entries up to a number, as those that have expired are.
func (l *log) forget(upTo int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.entries) > 0 && l.entries[0].Number <= upTo {
		l.entries = l.entries[1:]
	}
}

// setBack makes the log what it was at a number, as a backup of then does.
func (l *log) setBack(to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = to
	for len(l.entries) > 0 && l.entries[len(l.entries)-1].Number > to {
		l.entries = l.entries[: len(l.entries)-1 : len(l.entries)-1]
	}
}

func (l *log) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *log) setEpoch(epoch string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = epoch
}

var errDown = errors.New("the log is down")

func (l *log) Head(context.Context) (revocation.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return revocation.Position{}, errDown
	}
	at := revocation.Position{Epoch: l.epoch, Number: l.head}
	if n := len(l.entries); n > 0 && l.entries[n-1].Number == l.head {
		at.Made = l.entries[n-1].Made
	}
	return at, nil
}

func (l *log) Entries(_ context.Context, after int64, limit int) ([]revocation.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errDown
	}
	i, _ := slices.BinarySearchFunc(l.entries, after+1, func(e revocation.Entry, n int64) int { return cmp.Compare(e.Number, n) })
	return slices.Clone(l.entries[i:min(len(l.entries), i+limit)]), nil
}

// silent are nudges that all get lost.
type silent struct{}

func (silent) Nudge(context.Context) error { return nil }

func (silent) Await(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }

// stand is a log with processes that serve it.
type stand struct {
	t   testing.TB
	log *log
	iss *meshtest.Issuer
}

func newStand(t testing.TB) *stand {
	return &stand{t: t, log: &log{epoch: "e"}, iss: meshtest.NewIssuer(t)}
}

// replica is one process that serves the log.
type replica struct {
	*revocation.Service
	server *meshtest.Server
	stop   func()
}

func (s *stand) serve(poll time.Duration) *replica {
	s.t.Helper()
	r := &replica{Service: revocation.NewService(revocation.Config{
		Store: s.log, Nudges: silent{}, Logger: meshtest.Logger(s.t), Heartbeat: 20 * time.Millisecond, Poll: poll, Gather: time.Millisecond,
	})}
	r.server = meshtest.Serve(s.t, s.iss, meshtest.Part{Name: "token"}, func(g grpc.ServiceRegistrar) { r.Register(g) })
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(r.stop)
	return r
}

// follow makes a set that follows r until the test ends, and waits until it has caught up.
func (s *stand) follow(r *replica, silence time.Duration) *verifier.Set {
	s.t.Helper()
	set := verifier.NewSet(verifier.Config{MaxSilence: silence, Logger: meshtest.Logger(s.t)})
	feed := verifier.NewFeed(r.server.Connect(s.t, "customer", mesh.AsService(s.iss.Source(s.t, "customer"))), set)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = feed.Run(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	<-feed.Synced()
	return set
}

// has tells whether a set refuses the tokens prefix<from> to prefix<to>.
func has(set *verifier.Set, prefix string, from, to int64) func() bool {
	return func() bool {
		for n := from; n <= to; n++ {
			if !set.Revoked(mesh.Identity{TokenID: fmt.Sprint(prefix, n)}) {
				return false
			}
		}
		return true
	}
}

// watch is a feed by hand.
func (s *stand) watch(r *replica, req *meshv1.WatchRequest) (next func() *meshv1.WatchResponse) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	conn := r.server.Connect(s.t, "customer", mesh.AsService(s.iss.Source(s.t, "customer")))
	stream, err := meshv1.NewRevocationServiceClient(conn).Watch(ctx, req)
	if err != nil {
		s.t.Fatal(err)
	}
	return func() *meshv1.WatchResponse {
		s.t.Helper()
		m, err := stream.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		return m
	}
}

// after is the request of one who has had m.
func after(m *meshv1.WatchResponse) *meshv1.WatchRequest {
	return &meshv1.WatchRequest{After: m.GetHead(), Epoch: m.GetEpoch(), AfterTime: m.GetLastTime()}
}

func numbers(m *meshv1.WatchResponse) (all []int64) {
	for _, r := range m.GetRevocations() {
		all = append(all, r.GetNumber())
	}
	return all
}

func TestWhoComesBackGetsWhatWasMissedAndNoMore(t *testing.T) {
	s := newStand(t)
	s.log.add("t", 5)
	r := s.serve(time.Millisecond)
	first := s.watch(r, &meshv1.WatchRequest{})()
	if !first.GetReset_() || !slices.Equal(numbers(first), []int64{1, 2, 3, 4, 5}) {
		t.Fatalf("at first: %v", first)
	}
	if m := s.watch(r, after(first))(); m.GetReset_() || len(numbers(m)) != 0 || m.GetHead() != 5 {
		t.Errorf("up to date: %v", m)
	}
	s.log.add("t", 3)
	// From memory, and by a process that has just started.
	for name, r := range map[string]*replica{"the same": r, "another": s.serve(time.Millisecond)} {
		next := s.watch(r, after(first))
		var got []int64
		for len(got) < 3 {
			m := next()
			got = append(got, numbers(m)...)
			if m.GetReset_() {
				t.Errorf("%s starts again: %v", name, m)
			}
		}
		if !slices.Equal(got, []int64{6, 7, 8}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := r.Stats().Replays; got != 1 {
		t.Errorf("%d replays", got)
	}
}

func TestAReplicaThatHasNotReadTheNewestYetDoesSoForWhoKnowsIt(t *testing.T) {
	s := newStand(t)
	s.log.add("t", 5)
	behind := s.serve(time.Hour)
	s.watch(behind, &meshv1.WatchRequest{})()
	s.log.add("t", 3)
	known := s.watch(s.serve(time.Millisecond), &meshv1.WatchRequest{})()
	if m := s.watch(behind, after(known))(); m.GetReset_() || m.GetHead() != 8 {
		t.Errorf("got %v", m)
	}
}

func TestWhoMissedWhatHasExpiredStartsAgain(t *testing.T) {
	s := newStand(t)
	s.log.add("t", 5)
	first := s.watch(s.serve(time.Millisecond), &meshv1.WatchRequest{})()
	s.log.add("t", 5)
	s.log.forget(7)
	next := s.watch(s.serve(time.Millisecond), after(first))
	if m := next(); !m.GetReset_() || !slices.Equal(numbers(m), []int64{8, 9, 10}) || m.GetHead() != 10 {
		t.Errorf("got %v", m)
	}
	s.log.forget(10)
	if m := s.watch(s.serve(time.Millisecond), &meshv1.WatchRequest{})(); !m.GetReset_() || len(numbers(m)) != 0 || m.GetHead() != 10 {
		t.Errorf("all have expired: %v", m)
	}
}

func TestALogThatWasSetBackToAnOlderBackup(t *testing.T) {
	for _, tt := range []struct {
		name string
		// since is how many were made after the backup was restored.
		since int
		last  int64
	}{
		{name: "and has gone on a little", since: 2, last: 8},
		{name: "and has gone on to the same number", since: 4, last: 10},
		{name: "and has gone on past where it was", since: 9, last: 15},
	} {
		restore := func(s *stand) {
			s.log.setDown(true)
			s.log.setBack(6)
			s.log.add("b", tt.since)
			s.log.setDown(false)
		}
		t.Run(tt.name+", while it was served", func(t *testing.T) {
			s := newStand(t)
			s.log.add("a", 10)
			set := s.follow(s.serve(time.Millisecond), time.Minute)
			restore(s)
			meshtest.Await(t, "what was made since", has(set, "b", 7, tt.last))
			if !has(set, "a", 1, 10)() {
				t.Error("what was revoked before is let in")
			}
			s.log.add("c", 1)
			meshtest.Await(t, "what follows", has(set, "c", tt.last+1, tt.last+1))
		})
		t.Run(tt.name+", while nobody was there", func(t *testing.T) {
			s := newStand(t)
			s.log.add("a", 10)
			before := s.serve(time.Millisecond)
			first := s.watch(before, &meshv1.WatchRequest{})()
			before.stop()
			restore(s)
			if m := s.watch(s.serve(time.Millisecond), after(first))(); !m.GetReset_() || m.GetHead() != tt.last || int64(len(numbers(m))) != tt.last {
				t.Errorf("got %v", m)
			}
		})
	}
}

func TestALogThatNumbersAnewIsSentFromTheStart(t *testing.T) {
	s := newStand(t)
	s.log.add("a", 10)
	set := s.follow(s.serve(time.Millisecond), time.Minute)
	s.log.setDown(true)
	s.log.setBack(0)
	s.log.setEpoch("f")
	s.log.add("b", 12)
	s.log.setDown(false)
	meshtest.Await(t, "what the new one has", has(set, "b", 1, 12))
	if !has(set, "a", 1, 10)() || set.Stats().Resyncs != 2 {
		t.Errorf("%+v", set.Stats())
	}
}

func TestWhileTheLogCannotBeReadWatchersHearNothing(t *testing.T) {
	s := newStand(t)
	s.log.add("t", 1)
	set := s.follow(s.serve(5*time.Millisecond), 500*time.Millisecond)
	s.log.setDown(true)
	meshtest.Await(t, "staleness", set.Stale)
	s.log.setDown(false)
	s.log.add("t", 1)
	meshtest.Await(t, "what was made meanwhile", has(set, "t", 2, 2))
	meshtest.Await(t, "freshness", func() bool { return !set.Stale() })
}

// TestOneWhoDoesNotReadHoldsUpNobody writes more than the process keeps in memory, and than fits on the way to one who
// does not read.
func TestOneWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	s := newStand(t)
	r := s.serve(time.Millisecond)
	slow := s.watch(r, &meshv1.WatchRequest{})
	slow()
	set := s.follow(r, time.Minute)
	const all = 30_000
	for n := int64(500); n <= all; n += 500 {
		s.log.add("t", 500)
		meshtest.Await(t, "the others to get on", has(set, "t", n, n))
	}
	for got := int64(0); got < all; {
		m := slow()
		if m.GetReset_() {
			t.Fatal("from the start")
		}
		for _, n := range numbers(m) {
			if got++; n != got {
				t.Fatalf("%d came, want %d", n, got)
			}
		}
	}
	if got := r.Stats(); got.Slow == 0 || got.Replays != 2 || got.Watchers != 2 || got.Head != all {
		t.Errorf("got %+v", got)
	}
	if set.Len() != all {
		t.Errorf("%d entries", set.Len())
	}
}

// TestAReplayHoldsUpNoRevocation begins replays that nobody reads, and revokes.
func TestAReplayHoldsUpNoRevocation(t *testing.T) {
	s := newStand(t)
	s.log.add("t", 20_000)
	r := s.serve(time.Millisecond)
	set := s.follow(r, time.Minute)
	for range 5 {
		s.watch(r, &meshv1.WatchRequest{})()
	}
	s.log.add("t", 1)
	meshtest.Await(t, "the revocation", has(set, "t", 20_001, 20_001))
}

// BenchmarkReplay sends a million entries to a verifier that has just started, over mutual TLS.
func BenchmarkReplay(b *testing.B) {
	s := newStand(b)
	s.log.add("0123456789abcdefghi", 1_000_000)
	r := s.serve(time.Hour)
	for b.Loop() {
		if set := s.follow(r, time.Minute); set.Len() != 1_000_000 {
			b.Fatalf("%d entries", set.Len())
		}
	}
}
