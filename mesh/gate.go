package mesh

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// gate lets a number in at a time, and a number wait in order. Entering and leaving takes no lock while nobody waits.
type gate struct {
	limit  int64
	inside atomic.Int64

	queue    int
	patience time.Duration
	waiting  atomic.Int64
	mu       sync.Mutex
	line     list.List // of chan struct{}, closed when the place of one who left is handed over
}

func newGate(limit, queue int, patience time.Duration) *gate {
	return &gate{limit: int64(limit), queue: queue, patience: patience}
}

// enter reports whether there is room, now or soon. Who is let in calls leave.
func (g *gate) enter(ctx context.Context) bool { return g.try() || g.queue > 0 && g.wait(ctx) }

func (g *gate) try() bool {
	for {
		n := g.inside.Load()
		if n >= g.limit {
			return false
		}
		if g.inside.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *gate) wait(ctx context.Context) bool {
	turn := make(chan struct{})
	g.mu.Lock()
	if g.line.Len() >= g.queue {
		g.mu.Unlock()
		return false
	}
	place := g.line.PushBack(turn)
	g.waiting.Add(1)
	g.mu.Unlock()
	// Who left before that did not see this one wait.
	if g.try() {
		if !g.stepOut(place, turn) {
			g.leave() // two places were got
		}
		return true
	}
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return !g.stepOut(place, turn)
}

// stepOut leaves the line, and reports whether that came before the turn did.
func (g *gate) stepOut(place *list.Element, turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn:
		return false
	default:
	}
	g.line.Remove(place)
	g.waiting.Add(-1)
	return true
}

// leave hands the place to the first who waits, or gives it up.
func (g *gate) leave() {
	for !g.hand() {
		g.inside.Add(-1)
		// Somebody may have begun to wait before that, and seen no place.
		if g.waiting.Load() == 0 || !g.try() {
			return
		}
	}
}

func (g *gate) hand() bool {
	if g.waiting.Load() == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	first := g.line.Front()
	if first == nil {
		return false
	}
	close(g.line.Remove(first).(chan struct{}))
	g.waiting.Add(-1)
	return true
}
