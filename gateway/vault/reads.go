package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxBatch is how many reads one batch has at most.
const maxBatch = 128

// reads gathers what is to be read while a batch is under way into the next one. On a busy gateway most of a read's cost
// is the system calls around it, here and in Redis, and those are per batch. There is no goroutine for it: whoever comes
// first reads for all who wait, and then hands that duty to the first who has come meanwhile.
type reads struct {
	mu      sync.Mutex
	waiting []*read
	running bool
}

// read is one read under way.
type read struct {
	key Key
	// head asks for the first headSize bytes only.
	head  bool
	value string
	err   error
	// answered is set before turn is closed; where it is not, it is this read's turn to read for all.
	answered bool
	turn     chan struct{}
}

// ask sends a read.
func (r *read) ask(ctx context.Context, to redis.Cmdable) *redis.StringCmd {
	if r.head {
		return to.GetRange(ctx, string(r.key), 0, headSize-1)
	}
	return to.Get(ctx, string(r.key))
}

// fetch returns the raw value that mine asks for.
func (v *Vault) fetch(ctx context.Context, mine *read) (string, error) {
	mine.turn = make(chan struct{})
	if !v.reads.join(mine) {
		select {
		case <-mine.turn:
		case <-ctx.Done():
			v.reads.leave(mine)
			return "", ctx.Err()
		}
		if mine.answered {
			return mine.value, mine.err
		}
	}
	v.run(v.reads.take(), mine)
	v.reads.handOver()
	return mine.value, mine.err
}

// join reports whether it is m's turn at once.
func (r *reads) join(m *read) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, m)
	first := !r.running
	r.running = true
	return first
}

// take returns the next batch. Whose turn it is has waited longest, and so is in it.
func (r *reads) take() []*read {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.waiting), maxBatch)
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
}

// handOver gives the turn to who has waited longest.
func (r *reads) handOver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.waiting, r.running = nil, false
		return
	}
	close(r.waiting[0].turn)
}

// leave gives up waiting, and the turn if it has come just now.
func (r *reads) leave(m *read) {
	r.mu.Lock()
	i := slices.Index(r.waiting, m)
	if i >= 0 {
		r.waiting = slices.Concat(r.waiting[:i], r.waiting[i+1:])
	}
	r.mu.Unlock()
	select {
	case <-m.turn:
		if i >= 0 {
			r.handOver()
		}
	default:
	}
}

// run reads a batch, in bounded time whoever has given up waiting for it, and answers all but leader.
func (v *Vault) run(batch []*read, leader *read) {
	err := v.do(context.Background(), func(ctx context.Context) error {
		if len(batch) == 1 {
			batch[0].value, batch[0].err = batch[0].ask(ctx, v.redis).Result()
			return ownFault(batch[0].err)
		}
		pipe := v.redis.Pipeline()
		answers := make([]*redis.StringCmd, len(batch))
		for i, r := range batch {
			answers[i] = r.ask(ctx, pipe)
		}
		_, err := pipe.Exec(ctx)
		for i, r := range batch {
			r.value, r.err = answers[i].Result()
		}
		return ownFault(err)
	})
	for _, r := range batch {
		switch {
		case err != nil:
			r.err = err
		case errors.Is(r.err, redis.Nil):
			r.err = ErrNone
		case r.err != nil:
			r.err = fmt.Errorf("%w: %w", ErrUnavailable, r.err)
		}
		if r != leader {
			r.answered = true
			close(r.turn)
		}
	}
}

// ownFault drops an error that Redis answered with: it concerns one read, and Redis is there.
func ownFault(err error) error {
	var answered redis.Error
	if errors.As(err, &answered) {
		return nil
	}
	return err
}
