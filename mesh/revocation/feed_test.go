package revocation_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// log is a RevocationService whose every message the test decides.
type log struct {
	meshv1.UnsafeRevocationServiceServer
	// watched has each request; what the test sends on answers goes out, and closing it ends the stream.
	watched chan *meshv1.WatchRequest

	mu      sync.Mutex
	answers chan *meshv1.WatchResponse
}

func (l *log) Watch(req *meshv1.WatchRequest, stream grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	answers := make(chan *meshv1.WatchResponse)
	l.mu.Lock()
	l.answers = answers
	l.mu.Unlock()
	l.watched <- req
	for {
		select {
		case m, ok := <-answers:
			if !ok {
				return mesh.Unavailable("the log")
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// send sends on the latest stream, which may have ended and be replaced while it waits.
func (l *log) send(m *meshv1.WatchResponse) {
	for {
		l.mu.Lock()
		answers := l.answers
		l.mu.Unlock()
		select {
		case answers <- m:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.answers)
}

// follow starts a feed of a part "customer" that follows l over mutual TLS with its own token.
func follow(t *testing.T, cfg revocation.Config) (*log, *revocation.Set, *revocation.Feed) {
	t.Helper()
	l := &log{watched: make(chan *meshv1.WatchRequest, 10)}
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "token"}, func(r grpc.ServiceRegistrar) { meshv1.RegisterRevocationServiceServer(r, l) })
	cfg.Logger = meshtest.Logger(t)
	set := revocation.NewSet(cfg)
	feed := revocation.NewFeed(srv.Connect(t, "customer", mesh.AsService(iss.Source(t, "customer"))), set)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return l, set, feed
}

func message(epoch string, head int64, numbers ...int64) *meshv1.WatchResponse {
	m := &meshv1.WatchResponse{Epoch: epoch, Head: head}
	for _, n := range numbers {
		m.Revocations = append(m.Revocations, &meshv1.Revocation{
			Number: n, Kind: meshv1.RevocationKind_REVOCATION_KIND_TOKEN, Value: fmt.Sprint("t", n),
			ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
		})
	}
	return m
}

func reset(m *meshv1.WatchResponse) *meshv1.WatchResponse {
	m.Reset_ = true
	return m
}

func revoked(s *revocation.Set, n int64) func() bool {
	return func() bool { return s.Revoked(mesh.Identity{TokenID: fmt.Sprint("t", n)}) }
}

// asked waits for the next request and demands that it asks for what comes after a number.
func asked(t *testing.T, l *log, epoch string, after int64) {
	t.Helper()
	select {
	case got := <-l.watched:
		if got.GetAfter() != after || got.GetEpoch() != epoch {
			t.Fatalf("asked for what comes after %d of %q, want %d of %q", got.GetAfter(), got.GetEpoch(), after, epoch)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody asks")
	}
}

func TestAFeedCatchesUpAndGoesOn(t *testing.T) {
	l, set, feed := follow(t, revocation.Config{})
	asked(t, l, "", 0)
	l.send(reset(message("e", 7, 2, 5)))
	meshtest.Await(t, "the first part of the replay", revoked(set, 5))
	if !set.Stale() {
		t.Error("fresh in the middle of the replay")
	}
	l.send(message("e", 7, 7))
	<-feed.Synced()
	if set.Stale() || !revoked(set, 7)() || revoked(set, 6)() {
		t.Errorf("stale %v", set.Stale())
	}
	l.send(message("e", 10, 8, 9))
	l.send(message("e", 10, 10))
	meshtest.Await(t, "a new one", revoked(set, 10))
	// A break: it comes back from where it was.
	l.end()
	asked(t, l, "e", 10)
	l.send(message("e", 11, 11))
	meshtest.Await(t, "one made meanwhile", revoked(set, 11))
	if !revoked(set, 2)() {
		t.Error("an old one is forgotten")
	}
}

func TestAnEmptyLogIsComplete(t *testing.T) {
	l, set, feed := follow(t, revocation.Config{})
	asked(t, l, "", 0)
	l.send(reset(message("e", 0)))
	<-feed.Synced()
	if set.Stale() || set.Len() != 0 {
		t.Errorf("stale %v, %d entries", set.Stale(), set.Len())
	}
	l.send(message("e", 1, 1))
	meshtest.Await(t, "the first", revoked(set, 1))
}

func TestALogWhoseLastEntriesHaveExpiredIsComplete(t *testing.T) {
	l, set, feed := follow(t, revocation.Config{})
	asked(t, l, "", 0)
	l.send(reset(message("e", 9, 3)))
	l.send(message("e", 9))
	<-feed.Synced()
	l.send(message("e", 10, 10))
	meshtest.Await(t, "the next", revoked(set, 10))
}

func TestWhatDoesNotFollowIsAskedForAgainFromTheStart(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  *meshv1.WatchResponse
	}{
		{name: "a number is left out", bad: message("e", 7, 7)},
		{name: "a number comes twice", bad: message("e", 5, 5)},
		{name: "the head is ahead and nothing is sent", bad: message("e", 8)},
		{name: "the head is behind", bad: message("e", 3)},
		{name: "the numbering is another", bad: message("other", 6, 6)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, set, feed := follow(t, revocation.Config{})
			asked(t, l, "", 0)
			l.send(reset(message("e", 5, 4, 5)))
			<-feed.Synced()
			l.send(tt.bad)
			asked(t, l, "", 0)
			if !revoked(set, 4)() || !revoked(set, 5)() {
				t.Error("what was revoked is let in until the replay names it again")
			}
			l.send(reset(message("new", 2, 1, 2)))
			meshtest.Await(t, "the replay", revoked(set, 2))
			l.send(message("new", 3, 3))
			meshtest.Await(t, "what follows", revoked(set, 3))
		})
	}
}

func TestTheLogMayStartOverOnTheSameStream(t *testing.T) {
	l, set, feed := follow(t, revocation.Config{})
	asked(t, l, "", 0)
	l.send(reset(message("e", 5, 5)))
	<-feed.Synced()
	l.send(reset(message("f", 3, 1)))
	l.send(message("f", 3, 3))
	l.send(message("f", 4, 4))
	meshtest.Await(t, "what follows", revoked(set, 4))
	if len(l.watched) != 0 {
		t.Error("it was asked again")
	}
}

func TestASilentFeedIsLeft(t *testing.T) {
	l, set, feed := follow(t, revocation.Config{MaxSilence: 250 * time.Millisecond})
	asked(t, l, "", 0)
	l.send(reset(message("e", 1, 1)))
	<-feed.Synced()
	asked(t, l, "e", 1)
	meshtest.Await(t, "staleness", set.Stale)
	l.send(message("e", 1))
	meshtest.Await(t, "freshness", func() bool { return !set.Stale() })
}

func TestAFullSetIsStaleUntilThereIsRoomAndAllHasComeAgain(t *testing.T) {
	c := &moving{}
	l, set, _ := follow(t, revocation.Config{MaxEntries: 2, Now: c.now})
	asked(t, l, "", 0)
	l.send(reset(message("e", 3, 1, 2, 3)))
	l.send(message("e", 4, 4))
	meshtest.Await(t, "what there was room for", revoked(set, 2))
	l.send(message("e", 4))
	if !set.Stale() || revoked(set, 3)() || revoked(set, 4)() || set.Len() != 2 {
		t.Errorf("stale %v, with %d entries", set.Stale(), set.Len())
	}
	c.offset.Store(int64(2 * time.Hour)) // all of them have expired
	l.send(message("e", 4))
	asked(t, l, "", 0)
	again := reset(message("e", 4, 4))
	again.Revocations[0].ExpireTime = timestamppb.New(c.now().Add(time.Hour))
	l.send(again)
	meshtest.Await(t, "freshness", func() bool { return !set.Stale() })
	if !revoked(set, 4)() {
		t.Error("what did not fit is missing")
	}
	if got := set.Stats(); got.Resyncs != 2 || got.Entries != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestTheLagIsFromTheMakingToTheSet(t *testing.T) {
	c := &moving{}
	l, set, feed := follow(t, revocation.Config{Now: c.now})
	asked(t, l, "", 0)
	old := reset(message("e", 1, 1))
	old.LastTime = timestamppb.New(c.now().Add(-time.Hour))
	l.send(old)
	<-feed.Synced()
	if lag := set.Stats().Lag; lag != 0 {
		t.Errorf("a replay counts: %v", lag)
	}
	m := message("e", 2, 2)
	m.LastTime = timestamppb.New(c.now().Add(-time.Minute))
	l.send(m)
	meshtest.Await(t, "the next", revoked(set, 2))
	if lag := set.Stats().Lag; lag < time.Minute || lag > 2*time.Minute {
		t.Errorf("a minute old: %v", lag)
	}
	// It comes back by what it heard: the number, and when the entry there was made.
	l.end()
	if got := <-l.watched; !got.GetAfterTime().AsTime().Equal(m.GetLastTime().AsTime()) {
		t.Errorf("asked with %v", got)
	}
}

// moving is the time of day and an offset.
type moving struct{ offset atomic.Int64 }

func (m *moving) now() time.Time { return time.Now().Add(time.Duration(m.offset.Load())) }

func TestEveryKindIsUnderstood(t *testing.T) {
	l, set, _ := follow(t, revocation.Config{})
	asked(t, l, "", 0)
	m := &meshv1.WatchResponse{Epoch: "e", Reset_: true, Head: 7}
	for i, kind := range []meshv1.RevocationKind{1, 2, 3, 4, 5, 6, 99} {
		m.Revocations = append(m.Revocations, &meshv1.Revocation{Number: int64(i + 1), Kind: kind, Value: fmt.Sprint("v", int(kind)), BelowEpoch: 5})
	}
	l.send(m)
	meshtest.Await(t, "freshness", func() bool { return !set.Stale() })
	for name, id := range map[string]mesh.Identity{
		"token": {TokenID: "v1"}, "session": {SessionID: "v2"}, "grant": {GrantID: "v3"}, "subject": {Subject: "v4", Epoch: 4},
		"client": {ClientID: "v5"}, "key": {KeyID: "v6"},
	} {
		if !set.Revoked(id) {
			t.Errorf("%s is not revoked", name)
		}
	}
	if set.Revoked(mesh.Identity{Subject: "v4", Epoch: 5}) || set.Len() != 6 {
		t.Errorf("too much is revoked: %d entries", set.Len())
	}
}
