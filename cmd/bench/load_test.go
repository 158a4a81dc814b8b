package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// throughput keeps concurrency calls in flight for a while and returns how many ended per second. The first error ends
// it: a benchmark of refusals is worth nothing.
func throughput(ctx context.Context, concurrency int, d time.Duration, call func(ctx context.Context, n int) error) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	var workers sync.WaitGroup
	start := time.Now()
	for w := range concurrency {
		workers.Go(func() {
			for n := w; time.Since(start) < d && ctx.Err() == nil; n += concurrency {
				if err := call(ctx, n); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}
