// Package usage remembers when keys were last used, to the minute. A use costs a look into a map; the database hears of
// it in the background. What was not stored when the process is killed is lost: a minute at most.
package usage

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Store keeps the times.
type Store interface {
	// KeysUsed says that the keys were used at a time, unless a later one is known.
	KeysUsed(ctx context.Context, ids []string, at time.Time) error
}

// Config says what a Recorder works with. Everything is required unless it has a default.
type Config struct {
	Store Store
	// Every is how often uses are stored. Default: a minute.
	Every  time.Duration
	Logger *slog.Logger
	Now    func() time.Time
}

// Recorder is safe for concurrent use.
type Recorder struct {
	Config
	mu sync.Mutex
	// seen is the minute of the last use of each key since uses were stored last.
	seen map[string]time.Time
}

// precision is what a time of use is cut to.
const precision = time.Minute

// storing bounds how long uses are stored at the end.
const storing = 5 * time.Second

// New returns a Recorder.
func New(cfg Config) *Recorder {
	if cfg.Every <= 0 {
		cfg.Every = precision
	}
	return &Recorder{Config: cfg, seen: map[string]time.Time{}}
}

// Used remembers that a key, of which there is one, was used now.
func (r *Recorder) Used(id string) {
	at := r.Now().Truncate(precision)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[id] = at
}

// Run stores uses until ctx ends, and then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storing)
			defer cancel()
			r.store(ending)
			return nil
		case <-tick.C:
			r.store(ctx)
		}
	}
}

// store is one statement for every minute in which a key was last used, and so mostly one.
func (r *Recorder) store(ctx context.Context) {
	r.mu.Lock()
	seen := r.seen
	r.seen = map[string]time.Time{}
	r.mu.Unlock()
	byMinute := map[time.Time][]string{}
	for id, at := range seen {
		byMinute[at] = append(byMinute[at], id)
	}
	for at, ids := range byMinute {
		if err := r.Store.KeysUsed(ctx, ids, at); err != nil {
			r.Logger.WarnContext(ctx, "when keys were last used could not be stored and will be tried again", "keys", len(ids), "error", err)
			r.putBack(ids, at)
		}
	}
}

func (r *Recorder) putBack(ids []string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if at.After(r.seen[id]) {
			r.seen[id] = at
		}
	}
}
