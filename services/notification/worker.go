package notification

import (
	"context"
	"log/slog"
	"time"
)

// worker does one kind of background work over and over.
type worker struct {
	name string
	// step does some of the work, and tells whether there may be more of it now.
	step func(ctx context.Context) (more bool, err error)
	// poll is how often to look for work that nobody told of.
	poll time.Duration
	wake chan struct{}
	log  *slog.Logger
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Nudge tells that there is work. It never blocks.
func (w *worker) Nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, and then returns nil. After a failure it pauses, longer each time; it reports the first failure
// of a row and its end.
func (w *worker) Run(ctx context.Context) error {
	failures, pause := 0, firstPause
	for ctx.Err() == nil {
		more, err := w.step(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if failures++; failures == 1 {
				w.log.WarnContext(ctx, "background work fails", "work", w.name, "error", err)
			}
			w.wait(ctx, pause, nil)
			pause = min(2*pause, longestPause)
		default:
			if failures > 0 {
				w.log.InfoContext(ctx, "background work goes on", "work", w.name, "failures", failures)
			}
			failures, pause = 0, firstPause
			if !more {
				w.wait(ctx, w.poll, w.wake)
			}
		}
	}
	return nil
}

// recordTime is how long writing down what was done may take once the service was told to end.
const recordTime = 5 * time.Second

// recording is ctx for what must be known after ctx has ended: that work was claimed, and what has become of it. Otherwise
// it would lie idle until its lease runs out.
func recording(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), recordTime)
}

func (w *worker) wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
