package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxBatch is how many reads one batch has at most.
const maxBatch = 128

// reads gathers what is to be read while a batch is under way into the next one. On a busy gateway most of a read's cost
// is the system calls around it, here and in Redis, and those are per batch.
type reads struct {
	mu      sync.Mutex
	waiting []*read
	running bool
}

// read is one read under way.
type read struct {
	key   Key
	value string
	err   error
	done  chan struct{}
}

// fetch returns the raw value at key.
func (v *Vault) fetch(ctx context.Context, key Key) (string, error) {
	mine := &read{key: key, done: make(chan struct{})}
	v.reads.mu.Lock()
	v.reads.waiting = append(v.reads.waiting, mine)
	if !v.reads.running {
		v.reads.running = true
		go v.drain()
	}
	v.reads.mu.Unlock()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// drain runs batches until nobody waits. Each ends in bounded time, whoever has given up waiting for it.
func (v *Vault) drain() {
	for {
		v.reads.mu.Lock()
		n := min(len(v.reads.waiting), maxBatch)
		if n == 0 {
			v.reads.running = false
			v.reads.mu.Unlock()
			return
		}
		batch := v.reads.waiting[:n:n]
		v.reads.waiting = v.reads.waiting[n:]
		v.reads.mu.Unlock()
		v.run(batch)
	}
}

func (v *Vault) run(batch []*read) {
	err := v.do(context.Background(), func(ctx context.Context) error {
		if len(batch) == 1 {
			batch[0].value, batch[0].err = v.redis.Get(ctx, string(batch[0].key)).Result()
			return ownFault(batch[0].err)
		}
		pipe := v.redis.Pipeline()
		answers := make([]*redis.StringCmd, len(batch))
		for i, r := range batch {
			answers[i] = pipe.Get(ctx, string(r.key))
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
		close(r.done)
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
