package dpop

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Memory is [Replays] of one process. It is for a server that has no replicas, and for tests.
type Memory struct {
	limit int
	now   func() time.Time

	mu   sync.Mutex
	size int
	// slots hold keys by the minute in which they end, so that what has ended goes at once.
	slots map[int64]map[string]struct{}
}

var _ Replays = (*Memory)(nil)

// ErrFull says that more proofs are remembered than there is room for. None is forgotten before its time.
var ErrFull = errors.New("dpop: there is no room to remember more proofs")

// NewMemory makes room for as many proofs as limit, about 150 bytes each. now tells the time.
func NewMemory(limit int, now func() time.Time) *Memory {
	return &Memory{limit: limit, now: now, slots: map[int64]map[string]struct{}{}}
}

// Use implements [Replays].
func (m *Memory) Use(_ context.Context, key string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now().Unix() / 60
	for at, slot := range m.slots {
		if at < now {
			m.size -= len(slot)
			delete(m.slots, at)
			continue
		}
		if _, used := slot[key]; used {
			return false, nil
		}
	}
	if m.size >= m.limit {
		return false, ErrFull
	}
	at := until.Unix() / 60
	if m.slots[at] == nil {
		m.slots[at] = map[string]struct{}{}
	}
	m.slots[at][key] = struct{}{}
	m.size++
	return true, nil
}
