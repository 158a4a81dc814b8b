package securitysystem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protojson"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/services/internal/outbox"
)

const (
	// feedPoll is how often to look for events. A read that blocks would be a little faster, but finds out only after many
	// seconds that its server has gone.
	feedPoll = 50 * time.Millisecond
	// feedBatch is how many events are read at a time, feedKept how many are kept for who comes back.
	feedBatch, feedKept = 256, 2048
	// feedPatience is how long the events may be out of reach before who watches is told.
	feedPatience = 2 * time.Second
)

// errFeedDown: changes cannot be followed now.
var errFeedDown = errors.New("changes cannot be followed now")

// feed follows the events of this service, whichever replica has made them, on behalf of all who watch. It keeps the last of
// them, so that its memory does not grow with who watches or how slowly.
type feed struct {
	redis  redis.UniversalClient
	stream string
	log    *slog.Logger
	now    func() time.Time

	mu sync.Mutex
	// at is the position of the newest event, and from that after which recent begins.
	at, from outbox.Position
	recent   []changed
	// read is when the stream was last read. Zero: never.
	read time.Time
	// more is closed when any of these changes in a way that somebody waits for.
	more chan struct{}
}

// changed is what happened to a system, as far as it matters to who watches.
type changed struct {
	at outbox.Position
	// system holds only the ids that rights are decided by.
	system System
}

func newFeed(client redis.UniversalClient, service string, log *slog.Logger, now func() time.Time) *feed {
	return &feed{redis: client, stream: outbox.Stream(service), log: log, now: now, more: make(chan struct{})}
}

// Run follows the stream until ctx ends.
func (f *feed) Run(ctx context.Context) error {
	tick := time.NewTicker(feedPoll)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		more, err := f.step(ctx)
		if (err != nil) != failing && ctx.Err() == nil {
			if failing = err != nil; failing {
				f.log.WarnContext(ctx, "changes cannot be followed", "stream", f.stream, "error", err)
			} else {
				f.log.InfoContext(ctx, "changes are followed again", "stream", f.stream)
			}
		}
		if more {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// step takes what is new. The first one only finds out where the stream ends.
func (f *feed) step(ctx context.Context) (more bool, err error) {
	f.mu.Lock()
	at, begun := f.at, !f.read.IsZero()
	f.mu.Unlock()
	if !begun {
		return f.begin(ctx)
	}
	answer, err := f.redis.XRead(ctx, &redis.XReadArgs{Streams: []string{f.stream, at.String()}, Count: feedBatch, Block: -1}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("read stream %s: %w", f.stream, err)
	}
	var messages []redis.XMessage
	if len(answer) > 0 {
		messages = answer[0].Messages
	}
	events := make([]changed, 0, len(messages))
	for _, message := range messages {
		e, err := changedBy(message)
		if err != nil {
			f.log.ErrorContext(ctx, "an event cannot be read", "stream", f.stream, "position", message.ID, "error", err)
		}
		if e.at == (outbox.Position{}) {
			return false, err
		}
		events = append(events, e)
	}
	f.take(events)
	return len(messages) == feedBatch, nil
}

func (f *feed) begin(ctx context.Context) (bool, error) {
	entries, err := f.redis.XRevRangeN(ctx, f.stream, "+", "-", 1).Result()
	if err != nil {
		return false, fmt.Errorf("read the end of stream %s: %w", f.stream, err)
	}
	var at outbox.Position
	if len(entries) > 0 {
		if at, err = outbox.ParsePosition(entries[0].ID); err != nil {
			return false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.from, f.read = at, at, f.now()
	f.wake()
	return true, nil
}

// take keeps events. After a gap, which is also where their source has started over, nothing before it can be gone on from.
func (f *feed) take(events []changed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = f.now()
	for _, e := range events {
		first := f.at == (outbox.Position{}) && e.at.Sequence == 1
		if !first && !e.at.Follows(f.at) {
			f.recent, f.from = nil, e.at
		} else {
			f.recent = append(f.recent, e)
		}
		f.at = e.at
	}
	if over := len(f.recent) - feedKept; over > 0 {
		f.from = f.recent[over-1].at
		f.recent = slices.Clone(f.recent[over:])
	}
	if len(events) > 0 {
		f.wake()
	}
}

// wake tells all who wait. The lock is held.
func (f *feed) wake() {
	close(f.more)
	f.more = make(chan struct{})
}

// look is what the feed knows after a position.
type look struct {
	// at is the newest position.
	at outbox.Position
	// events are those after the position asked for; unless whole, some are missing.
	events []changed
	whole  bool
	// more is closed when there is more to see.
	more <-chan struct{}
	// read is when the stream was last read: all of events are from before.
	read time.Time
}

// after returns what has happened since a position, or errFeedDown.
func (f *feed) after(p outbox.Position) (look, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := look{at: f.at, more: f.more, read: f.read}
	if f.read.IsZero() || f.now().Sub(f.read) > feedPatience {
		return l, errFeedDown
	}
	if p == f.at {
		l.whole = true
		return l, nil
	}
	first := 0
	if p != f.from {
		first = slices.IndexFunc(f.recent, func(e changed) bool { return e.at == p }) + 1
		if first == 0 {
			return l, nil
		}
	}
	// Those kept are never written over: what is handed out may be read without the lock.
	l.events, l.whole = f.recent[first:len(f.recent):len(f.recent)], true
	return l, nil
}

// changedBy reads an event of the stream. Its position is valid even where the rest is not.
func changedBy(message redis.XMessage) (changed, error) {
	envelope, at, err := outbox.Decode(message)
	e := changed{at: at}
	if err != nil {
		return e, err
	}
	var data securitysystemv1.SecuritySystemChanged
	if !strings.HasPrefix(envelope.Type, string(data.ProtoReflect().Descriptor().FullName())) {
		return e, nil
	}
	// Another version of this service may say more than is known here.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(envelope.Data, &data); err != nil {
		return e, fmt.Errorf("decode event %s: %w", envelope.ID, err)
	}
	e.system = System{ID: data.GetEvent().GetSecuritySystemId(), CustomerID: data.GetCustomerId(), LocationID: data.GetLocationId()}
	return e, nil
}
