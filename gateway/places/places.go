// Package places bounds how many calls are open at a time, in all and of each caller, so that nobody takes the connections
// that all share for themselves.
package places

import "sync"

// Places is safe for concurrent use.
type Places struct {
	most, mostEach int

	mu    sync.Mutex
	taken int
	each  map[string]int
}

// New returns places for most calls at a time, of which one caller may have mostEach.
func New(most, mostEach int) *Places {
	return &Places{most: most, mostEach: mostEach, each: map[string]int{}}
}

// Take reports whether there is a place for a caller; leave gives it back, and is called once.
func (p *Places) Take(caller string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most || p.each[caller] >= p.mostEach {
		return nil, false
	}
	p.taken++
	p.each[caller]++
	return func() { p.leave(caller) }, true
}

// Taken is how many are taken now.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

func (p *Places) leave(caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.each[caller]--; p.each[caller] == 0 {
		delete(p.each, caller)
	}
}
