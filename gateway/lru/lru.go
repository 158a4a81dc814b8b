// Package lru is a map that forgets what was used longest ago, so that strangers cannot make it grow.
package lru

import (
	"container/list"
	"sync"
)

// Map holds at most a fixed number of entries. It is safe for concurrent use.
type Map[K comparable, V any] struct {
	capacity int

	mu      sync.Mutex
	order   *list.List // of *entry, most recently used first
	entries map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns an empty map for at most capacity entries, at least one.
func New[K comparable, V any](capacity int) *Map[K, V] {
	return &Map[K, V]{capacity: max(capacity, 1), order: list.New(), entries: map[K]*list.Element{}}
}

// Get returns the value of key.
func (m *Map[K, V]) Get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		m.order.MoveToFront(e)
		return e.Value.(*entry[K, V]).value, true
	}
	var none V
	return none, false
}

// GetOr returns the value of key, made by create if there is none yet.
func (m *Map[K, V]) GetOr(key K, create func() V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		m.order.MoveToFront(e)
		return e.Value.(*entry[K, V]).value
	}
	value := create()
	m.add(key, value)
	return value
}

// Put sets the value of key.
func (m *Map[K, V]) Put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		e.Value.(*entry[K, V]).value = value
		m.order.MoveToFront(e)
		return
	}
	m.add(key, value)
}

// Delete removes key.
func (m *Map[K, V]) Delete(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		m.order.Remove(e)
		delete(m.entries, key)
	}
}

func (m *Map[K, V]) add(key K, value V) {
	m.entries[key] = m.order.PushFront(&entry[K, V]{key, value})
	if m.order.Len() > m.capacity {
		oldest := m.order.Back()
		m.order.Remove(oldest)
		delete(m.entries, oldest.Value.(*entry[K, V]).key)
	}
}
