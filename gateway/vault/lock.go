package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	unlock = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)
	renew  = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`)
)

// TryLock takes the lock of key if nobody holds it. The lock is renewed, three times a lease, until release is called, so
// that slow work under it does not lose it; whoever does lose it is stopped by [Vault.Swap].
func (v *Vault) TryLock(ctx context.Context, key Key) (release func(), held bool, err error) {
	name, owner := string(key)+":lock", rand.Text()
	err = v.do(ctx, func(ctx context.Context) error {
		return v.redis.SetArgs(ctx, name, owner, redis.SetArgs{Mode: "NX", TTL: v.lease}).Err()
	})
	if errors.Is(err, ErrNone) { // NX found somebody's lock
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	ctx = context.WithoutCancel(ctx)
	stop, renewing := make(chan struct{}), sync.WaitGroup{}
	renewing.Go(func() { v.renewLock(ctx, name, owner, stop) })
	return func() {
		close(stop)
		renewing.Wait()
		_ = v.do(ctx, func(ctx context.Context) error { return unlock.Run(ctx, v.redis, []string{name}, owner).Err() })
	}, true, nil
}

// renewLock extends the lease until stop.
func (v *Vault) renewLock(ctx context.Context, name, owner string, stop <-chan struct{}) {
	tick := time.NewTicker(v.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			_ = v.do(ctx, func(ctx context.Context) error {
				return renew.Run(ctx, v.redis, []string{name}, owner, v.lease.Milliseconds()).Err()
			})
		}
	}
}
