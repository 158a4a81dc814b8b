package sqlstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/realguardio/realguardio/services/token/revocation"
)

const (
	// mostTogether bounds one transaction.
	mostTogether = 500
	// togetherLimit bounds how long it may take, whoever of those who wait goes away.
	togetherLimit = 10 * time.Second
)

// together commits revocations that are asked for at once in one transaction: to make a commit durable takes longer than
// all the rest, and all of them need the one counter. Nobody waits for company: who comes while nothing is being
// committed commits alone, and those who come meanwhile are the next.
type together struct {
	// turn is held by the one that commits.
	turn chan struct{}

	mu      sync.Mutex
	waiting []*asked
}

// asked is one revocation that somebody waits for.
type asked struct {
	entry revocation.Entry
	now   time.Time
	// done is closed when err is what came of it.
	done chan struct{}
	err  error
}

func newTogether() *together { return &together{turn: make(chan struct{}, 1)} }

// do returns when e has been committed, by this caller or another one. Who gives up because ctx has ended does not know
// whether it was.
func (t *together) do(ctx context.Context, e revocation.Entry, now time.Time, commit func(context.Context, []revocation.Entry, time.Time) error) error {
	a := &asked{entry: e, now: now, done: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, a)
	t.mu.Unlock()
	for {
		select {
		case <-a.done:
			return a.err
		case <-ctx.Done():
			t.leave(a)
			return ctx.Err()
		case t.turn <- struct{}{}:
			t.commitNext(ctx, commit)
			<-t.turn
		}
	}
}

// commitNext commits for those who wait now. It is called by the one whose turn it is, and does not end with its ctx.
func (t *together) commitNext(ctx context.Context, commit func(context.Context, []revocation.Entry, time.Time) error) {
	t.mu.Lock()
	n := min(len(t.waiting), mostTogether)
	next := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	t.mu.Unlock()
	if n == 0 {
		return
	}
	entries := make([]revocation.Entry, n)
	for i, a := range next {
		entries[i] = a.entry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), togetherLimit)
	defer cancel()
	err := commit(ctx, entries, next[0].now)
	for _, a := range next {
		a.err = err
		close(a.done)
	}
}

func (t *together) leave(a *asked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, a); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
}
