package vault

import (
	"sync"
	"time"
)

const (
	// failuresToOpen is how many operations in a row must fail before the breaker opens.
	failuresToOpen = 5
	// openFor is how long an open breaker refuses before it lets one operation try again.
	openFor = 250 * time.Millisecond
)

// breaker refuses at once while Redis is known to be away, so that requests do not pile up waiting for it. While open it
// lets through one operation at a time to find out.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	retryAt  time.Time
	probing  bool
}

// allow reports whether an operation may run. Each allowed one must be answered by record or release.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < failuresToOpen {
		return true
	}
	if b.probing || b.now().Before(b.retryAt) {
		return false
	}
	b.probing = true
	return true
}

// record notes how an operation ended, and reports whether this failure opened the breaker.
func (b *breaker) record(ok bool) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if ok {
		b.failures = 0
		return false
	}
	b.failures++
	b.retryAt = b.now().Add(openFor)
	return b.failures == failuresToOpen
}

// release ends an operation that told nothing.
func (b *breaker) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}
