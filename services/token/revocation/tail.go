package revocation

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
)

const (
	// pageSize is how many entries one message of what is new has at most.
	pageSize = 500
	// window is how many entries are kept in memory for those who watch; who is further behind reads the database.
	window = 10_000
)

// tail is the newest part of the log, read once for all who watch.
type tail struct {
	store Store
	// reading is held to read the store, one at a time.
	reading chan struct{}

	mu sync.Mutex
	// at is how far the log was read.
	at Position
	// turn counts how often the log turned out to be another than the one that was read so far.
	turn int
	// pages follow each other without a hole, the last ends at at.
	pages []*page
	held  int
	// readable tells whether the last try to read went well.
	readable bool
	// changed is closed and replaced whenever something of the above is.
	changed chan struct{}
}

func newTail(store Store) *tail {
	return &tail{store: store, reading: make(chan struct{}, 1), changed: make(chan struct{})}
}

// page is one message of what is new, for all. It does not change.
type page struct {
	after   int64
	last    Position
	entries int
	message *meshv1.WatchResponse
}

// encoded returns a message that is written as m is, and holds it as the bytes it is written in: each stream would encode
// it anew otherwise, which is most of what a watcher costs.
func encoded(m *meshv1.WatchResponse) *meshv1.WatchResponse {
	raw, err := proto.Marshal(m)
	if err != nil {
		return m // whoever sends it will say why
	}
	out := &meshv1.WatchResponse{}
	out.ProtoReflect().SetUnknown(raw)
	return out
}

// view is the tail as one watcher finds it.
type view struct {
	at       Position
	turn     int
	readable bool
	changed  <-chan struct{}
	// next is what follows the watcher's position. It is nil for one that is up to date, and for one that is behind what
	// is kept.
	next *page
}

// end is how far the log was read.
func (t *tail) end() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

// look returns the tail as a watcher at a position finds it.
func (t *tail) look(position int64) view {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := view{at: t.at, turn: t.turn, readable: t.readable, changed: t.changed}
	for i := len(t.pages) - 1; i >= 0 && t.pages[i].after >= position; i-- {
		if t.pages[i].after == position {
			v.next = t.pages[i]
		}
	}
	return v
}

// read reads what is new, and returns the tail as it is then.
func (t *tail) read(ctx context.Context) (view, error) {
	select {
	case t.reading <- struct{}{}:
		defer func() { <-t.reading }()
	case <-ctx.Done():
		return view{}, ctx.Err()
	}
	err := t.advance(ctx)
	t.mu.Lock()
	if t.readable = err == nil; err != nil {
		t.announce()
	}
	t.mu.Unlock()
	return t.look(t.end().Number), err
}

// advance is for one at a time.
func (t *tail) advance(ctx context.Context) error {
	head, err := t.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("reading the head of the revocation log: %w", err)
	}
	at := t.end()
	if head.Epoch != at.Epoch || head.Number < at.Number || head.Number == at.Number && differ(head, at) {
		t.restart(head)
		return nil
	}
	for at.Number < head.Number {
		// From the last that is known on, to see that it is still the same.
		entries, err := t.store.Entries(ctx, at.Number-1, pageSize+1)
		if err != nil {
			return fmt.Errorf("reading the revocation log: %w", err)
		}
		if len(entries) > 0 && entries[0].Number == at.Number {
			if differ(Position{Made: entries[0].Made}, at) {
				t.restart(head)
				return nil
			}
			entries = entries[1:]
		}
		if !contiguous(entries, at.Number) {
			t.restart(head)
			return nil
		}
		t.append(entries, head)
		at = t.end()
	}
	return nil
}

// differ tells whether two entries of one number are not the same, as far as both are known.
func differ(a, b Position) bool { return !a.Made.IsZero() && !b.Made.IsZero() && !a.Made.Equal(b.Made) }

// contiguous tells whether entries follow position without a hole.
func contiguous(entries []Entry, position int64) bool {
	return len(entries) > 0 && entries[len(entries)-1].Number == position+int64(len(entries))
}

// restart begins at head. Each watcher then finds out for itself what it knows of this log.
func (t *tail) restart(head Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.pages, t.held = head, nil, 0
	t.turn++
	t.announce()
}

func (t *tail) append(entries []Entry, head Position) {
	last := entries[len(entries)-1]
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &page{after: t.at.Number, last: Position{Epoch: t.at.Epoch, Number: last.Number, Made: last.Made}, entries: len(entries)}
	p.message = encoded(compose(t.at.Epoch, entries, max(head.Number, last.Number)))
	t.pages, t.at = append(t.pages, p), p.last
	for t.held += p.entries; t.held > window; t.pages = t.pages[1:] {
		t.held -= t.pages[0].entries
	}
	t.readable = true
	t.announce()
}

// announce wakes whoever looked before. The lock is held.
func (t *tail) announce() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// compose makes the message with entries of a log that ends at head.
func compose(epoch string, entries []Entry, head int64) *meshv1.WatchResponse {
	m := &meshv1.WatchResponse{Epoch: epoch, Head: head, Revocations: make([]*meshv1.Revocation, len(entries))}
	for i, e := range entries {
		m.Revocations[i] = &meshv1.Revocation{
			Number:     e.Number,
			Kind:       meshv1.RevocationKind(e.Kind),
			Value:      e.Value,
			BelowEpoch: e.BelowEpoch,
			ExpireTime: timestamppb.New(e.Expires),
		}
		m.LastTime = timestamppb.New(e.Made)
	}
	return m
}
