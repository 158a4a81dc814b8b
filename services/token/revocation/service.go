package revocation

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
)

// Nudges tells the other replicas that there is something new. They may get lost.
type Nudges interface {
	Nudge(ctx context.Context) error
	// Await calls nudged for every nudge until ctx ends or the connection does.
	Await(ctx context.Context, nudged func()) error
}

// Config says what a Service works with. What has no default is required.
type Config struct {
	Store  Store
	Nudges Nudges
	Logger *slog.Logger
	// Heartbeat is how often a watcher hears that there is nothing new. It must be well under what verifiers take for
	// silence. Default: a second.
	Heartbeat time.Duration
	// Poll is how soon a revocation made by another replica is seen when its nudge was lost. Default: a quarter second.
	Poll time.Duration
	// Gather is the shortest time between two messages to a watcher, so that a storm of revocations costs each of them a
	// hundred messages a second and not one for each. The first after a pause does not wait. Default: 10 milliseconds.
	Gather time.Duration
}

// Service implements RevocationService. It is safe for concurrent use.
type Service struct {
	meshv1.UnsafeRevocationServiceServer
	Config
	tail *tail
	// grown asks Run to read the log, outward to nudge the others.
	grown, outward chan struct{}
	// replaying is held while a part of a replay is read, so that the watchers of a log that starts over leave the
	// database to others.
	replaying chan struct{}

	watching      atomic.Int64
	replays, slow atomic.Uint64
}

// NewService returns a Service; its Run must run beside it.
func NewService(cfg Config) *Service {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, time.Second)
	cfg.Poll = cmp.Or(cfg.Poll, 250*time.Millisecond)
	cfg.Gather = cmp.Or(cfg.Gather, 10*time.Millisecond)
	return &Service{
		Config: cfg, tail: newTail(cfg.Store),
		grown: make(chan struct{}, 1), outward: make(chan struct{}, 1), replaying: make(chan struct{}, 2),
	}
}

// Register adds the service to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) { meshv1.RegisterRevocationServiceServer(r, s) }

// Notify says that an entry has been committed here. It does not block.
func (s *Service) Notify() {
	s.wake()
	ask(s.outward)
}

func (s *Service) wake() { ask(s.grown) }

// ask leaves a wish where one that is not yet fulfilled is enough.
func ask(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats is what a [Service] does.
type Stats struct {
	// Watchers are connected now.
	Watchers int
	// Head is the highest number that was read.
	Head int64
	// Replays is how often the log was sent from the start.
	Replays uint64
	// Slow is how often a watcher was so far behind that it had to be served from the database.
	Slow uint64
}

// Stats reads the counters.
func (s *Service) Stats() Stats {
	return Stats{Watchers: int(s.watching.Load()), Head: s.tail.end().Number, Replays: s.replays.Load(), Slow: s.slow.Load()}
}

// Run reads what is added to the log, here and by other replicas, and passes nudges on, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.read(ctx) })
	tasks.Go(func() { s.await(ctx) })
	tasks.Go(func() { s.nudge(ctx) })
	tasks.Wait()
	return nil
}

// readLimit bounds one reading of the log. While one hangs, watchers are told nothing.
const readLimit = 2 * time.Second

func (s *Service) read(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, readLimit)
		_, err := s.tail.read(limited)
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			s.Logger.WarnContext(ctx, "revocations cannot be read; watchers hear nothing until they can", "error", err)
		}
		failing = err != nil
		pause(ctx, s.Gather, nil)
		pause(ctx, s.Poll, s.grown)
	}
}

func (s *Service) await(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.Nudges.Await(ctx, s.wake); err != nil && ctx.Err() == nil {
			s.Logger.DebugContext(ctx, "revocation nudges are cut off; polling", "error", err)
		}
		pause(ctx, s.Poll, nil)
	}
}

func (s *Service) nudge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.outward:
			if err := s.Nudges.Nudge(ctx); err != nil && ctx.Err() == nil {
				s.Logger.DebugContext(ctx, "revocation nudge not sent; others poll", "error", err)
			}
			pause(ctx, s.Gather, nil)
		}
	}
}

// pause waits for d, for a wish, or for the end of ctx.
func pause(ctx context.Context, d time.Duration, wish <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wish:
	}
}
