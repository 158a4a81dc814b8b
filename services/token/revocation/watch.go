package revocation

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
)

// replaySize is how many entries one message of a replay has. A replay of any length takes the memory of one of them.
const replaySize = 2000

// Watch sends the log from where the caller left off, then everything that is added. Heartbeats are sent only while the
// log can be read: a caller that hears nothing knows that it may be missing something.
func (s *Service) Watch(req *meshv1.WatchRequest, stream grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	s.watching.Add(1)
	defer s.watching.Add(-1)
	w := watcher{Service: s, stream: stream}
	err := w.follow(stream.Context(), Position{Epoch: req.GetEpoch(), Number: req.GetAfter(), Made: instant(req.GetAfterTime())})
	if err != nil && stream.Context().Err() == nil && !w.broken {
		s.Logger.WarnContext(stream.Context(), "a watcher of revocations is sent away, as they cannot be read", "error", err)
		return mesh.Unavailable("the revocation log")
	}
	return err
}

// watcher is one stream.
type watcher struct {
	*Service
	stream grpc.ServerStreamingServer[meshv1.WatchResponse]
	// at is how far the log was sent, and turn of which log.
	at   Position
	turn int
	// broken tells that the stream is, not the log.
	broken bool
}

// follow sends what comes after a position, for ever.
func (w *watcher) follow(ctx context.Context, from Position) error {
	if err := w.begin(ctx, from); err != nil {
		return err
	}
	beat := time.NewTicker(w.Heartbeat)
	defer beat.Stop()
	for current := false; ; {
		v := w.tail.look(w.at.Number)
		var err error
		switch {
		case v.turn != w.turn:
			err = w.begin(ctx, w.at)
		case v.next != nil:
			err = w.deliver(v.next.message, v.next.last)
		case w.at.Number < v.at.Number:
			if current {
				w.slow.Add(1)
				current = false
			}
			err = w.backlog(ctx, v.at)
		default:
			current = true
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-v.changed:
			case <-beat.C:
				if v.readable {
					err = w.heartbeat(v.at)
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// begin takes up a log at a position in it, or from the start where that position is not known to be of this log.
func (w *watcher) begin(ctx context.Context, from Position) error {
	v, err := w.tail.read(ctx)
	if err != nil {
		return err
	}
	w.turn = v.turn
	known, err := w.knows(ctx, from, v.at)
	switch {
	case err != nil:
		return err
	case !known:
		return w.replay(ctx, v.at)
	}
	w.at = from
	if from.Number == v.at.Number {
		return w.heartbeat(v.at) // at once: it is complete
	}
	return nil
}

// knows tells whether from is a position of the log that ends at head. The number alone does not tell: a log that was set
// back to an older backup, and has gone on since, has another entry there.
func (w *watcher) knows(ctx context.Context, from, head Position) (bool, error) {
	if from.Number <= 0 || from.Made.IsZero() || from.Epoch != head.Epoch || from.Number > head.Number {
		return false, nil
	}
	entries, err := w.Store.Entries(ctx, from.Number-1, 1)
	if err != nil {
		return false, fmt.Errorf("reading the revocation log: %w", err)
	}
	return len(entries) == 1 && entries[0].Number == from.Number && entries[0].Made.Equal(from.Made), nil
}

// replay sends everything that is live, up to head. It ends with a message that has no entries unless the last entry is
// the head: that is how the reader learns that the numbers in between have expired, and that it is complete.
func (w *watcher) replay(ctx context.Context, head Position) error {
	w.replays.Add(1)
	w.at = Position{Epoch: head.Epoch}
	for first := true; ; first = false {
		entries, err := w.part(ctx, head.Number, replaySize)
		if err != nil {
			return err
		}
		at := head
		message := compose(head.Epoch, entries, head.Number)
		message.Reset_ = first
		if n := len(entries); n > 0 {
			at = Position{Epoch: head.Epoch, Number: entries[n-1].Number, Made: entries[n-1].Made}
		} else {
			message.LastTime = stamp(head.Made)
		}
		if err := w.deliver(message, at); err != nil || at.Number == head.Number {
			return err
		}
	}
}

// backlog sends a message of what is no longer in memory.
func (w *watcher) backlog(ctx context.Context, head Position) error {
	entries, err := w.part(ctx, head.Number, pageSize)
	if err != nil {
		return err
	}
	if !contiguous(entries, w.at.Number) {
		return w.replay(ctx, head) // what came next has expired
	}
	last := entries[len(entries)-1]
	return w.deliver(compose(w.at.Epoch, entries, head.Number), Position{Epoch: w.at.Epoch, Number: last.Number, Made: last.Made})
}

// part reads what follows the position, up to a number: what is newer is the tail's.
func (w *watcher) part(ctx context.Context, upTo int64, size int) ([]Entry, error) {
	select {
	case w.replaying <- struct{}{}:
		defer func() { <-w.replaying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	entries, err := w.Store.Entries(ctx, w.at.Number, size)
	if err != nil {
		return nil, fmt.Errorf("reading the revocation log: %w", err)
	}
	for len(entries) > 0 && entries[len(entries)-1].Number > upTo {
		entries = entries[:len(entries)-1]
	}
	return entries, nil
}

func (w *watcher) heartbeat(head Position) error {
	return w.deliver(&meshv1.WatchResponse{Epoch: head.Epoch, Head: head.Number, LastTime: stamp(head.Made)}, w.at)
}

// deliver sends a message, after which the watcher is at a position.
func (w *watcher) deliver(m *meshv1.WatchResponse, at Position) error {
	if err := w.stream.Send(m); err != nil {
		w.broken = true
		return err
	}
	w.at = at
	return nil
}

// instant and stamp are a time on the wire, where the zero time is none.
func instant(t *timestamppb.Timestamp) time.Time {
	if !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
