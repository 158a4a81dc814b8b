package introspection

import (
	"sync"
	"time"
)

// memory holds values for moments, and no more of them than it may. When it is full, the expired go, and of the others as
// many as are needed for a quarter of the room: which ones does not matter, since all are moments old.
type memory[V any] struct {
	mu    sync.RWMutex
	of    map[digest]remembered[V]
	limit int
}

type remembered[V any] struct {
	value V
	until time.Time
}

func newMemory[V any](limit int) *memory[V] {
	return &memory[V]{of: map[digest]remembered[V]{}, limit: limit}
}

func (m *memory[V]) get(d digest, now time.Time) (V, bool) {
	m.mu.RLock()
	r, ok := m.of[d]
	m.mu.RUnlock()
	if !ok || !now.Before(r.until) {
		var none V
		return none, false
	}
	return r.value, true
}

// holds reports whether there is a value, which may have expired.
func (m *memory[V]) holds(d digest) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.of[d]
	return ok
}

func (m *memory[V]) put(d digest, value V, until, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.of[d]; !there && len(m.of) >= m.limit {
		m.makeRoom(now)
	}
	m.of[d] = remembered[V]{value, until}
}

// makeRoom costs as much as the map is large, once in as many puts as there is room then.
func (m *memory[V]) makeRoom(now time.Time) {
	for d, r := range m.of {
		if !now.Before(r.until) {
			delete(m.of, d)
		}
	}
	for d := range m.of {
		if len(m.of) < m.limit-m.limit/4 {
			return
		}
		delete(m.of, d)
	}
}
