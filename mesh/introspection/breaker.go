package introspection

import (
	"sync"
	"time"
)

const (
	// failuresToOpen is how many questions in a row must fail before nobody asks for a while.
	failuresToOpen = 3
	// openFor is that while. Then one question finds out.
	openFor = time.Second
)

// breaker lets calls fail at once while the issuer is known to be away, so that they do not pile up waiting for it.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	retryAt  time.Time
	probing  bool
}

// open reports whether nobody asks now.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= failuresToOpen && b.now().Before(b.retryAt)
}

// allow reports whether the issuer may be asked. Each question is followed by record.
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

// record notes whether there was an answer, and reports whether this failure is the one that opened the breaker.
func (b *breaker) record(answered bool) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if answered {
		b.failures = 0
		return false
	}
	b.failures++
	b.retryAt = b.now().Add(openFor)
	return b.failures == failuresToOpen
}
