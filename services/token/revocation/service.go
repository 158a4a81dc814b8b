package revocation

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
)

// batch bounds one message.
const batch = 500

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
	// silence. Default: 3 seconds.
	Heartbeat time.Duration
	// Poll is how soon a revocation made by another replica is seen when its nudge was lost. Default: a second.
	Poll time.Duration
}

// Service implements RevocationService. It is safe for concurrent use.
type Service struct {
	meshv1.UnsafeRevocationServiceServer
	Config

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever the log may have grown
	outward chan struct{} // asks Run to nudge the others
}

// NewService returns a Service; its Run must run beside it.
func NewService(cfg Config) *Service {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 3*time.Second)
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	return &Service{Config: cfg, changed: make(chan struct{}), outward: make(chan struct{}, 1)}
}

// Register adds the service to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) { meshv1.RegisterRevocationServiceServer(r, s) }

// Notify says that an entry has been committed here. It does not block.
func (s *Service) Notify() {
	s.wake()
	select {
	case s.outward <- struct{}{}:
	default: // one is on its way and will be sent after this
	}
}

func (s *Service) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Service) change() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Run passes nudges on and looks for what other replicas wrote, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.await(ctx) })
	tasks.Go(func() { s.nudge(ctx) })
	tasks.Go(func() { s.poll(ctx) })
	tasks.Wait()
	return nil
}

func (s *Service) await(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.Nudges.Await(ctx, s.wake); err != nil && ctx.Err() == nil {
			s.Logger.DebugContext(ctx, "revocation nudges are cut off; polling", "error", err)
		}
		pause(ctx, s.Poll)
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
		}
	}
}

func (s *Service) poll(ctx context.Context) {
	var seen int64
	for pause(ctx, s.Poll) {
		_, head, err := s.Store.Head(ctx)
		if err == nil && head != seen {
			seen = head
			s.wake()
		}
	}
}

// pause waits and reports whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Watch sends the log from where the caller left off, then everything that is added. Heartbeats are sent only while the
// log can be read: a caller that hears nothing knows that it may be missing something.
func (s *Service) Watch(req *meshv1.WatchRequest, stream grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	ctx := stream.Context()
	w := watcher{Service: s, send: stream.Send, epoch: req.GetEpoch(), position: req.GetAfter()}
	if err := w.catchUp(ctx); err != nil {
		s.Logger.WarnContext(ctx, "revocations cannot be read", "error", err)
		return mesh.Unavailable("the revocation log")
	}
	for {
		changed := s.change()
		// Read after the channel was taken, so that nothing falls in between.
		switch err := w.follow(ctx); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && w.broken:
			return err
		case err != nil:
			s.Logger.WarnContext(ctx, "revocations cannot be read; watchers hear nothing until they can", "error", err)
		}
		timer := time.NewTimer(s.Heartbeat)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
			w.due = true
		}
		timer.Stop()
	}
}

// watcher is one stream.
type watcher struct {
	*Service
	send     func(*meshv1.WatchResponse) error
	epoch    string
	position int64 // the highest number sent
	due      bool  // a heartbeat is
	broken   bool  // the stream is, not the log
}

// catchUp answers the request: what came after the position if that is known without a hole, or else everything.
func (w *watcher) catchUp(ctx context.Context) error {
	epoch, head, err := w.Store.Head(ctx)
	if err != nil {
		return err
	}
	if w.position > 0 && w.epoch == epoch && w.position <= head {
		w.due = true
		return nil // follow sends the rest, and finds holes
	}
	return w.reset(ctx, epoch, head)
}

// reset sends everything that is live, up to head. It ends with a message that has no entries unless the last entry is
// the head: that is how the reader learns that the numbers in between have expired.
func (w *watcher) reset(ctx context.Context, epoch string, head int64) error {
	w.epoch, w.position = epoch, 0
	for first := true; ; first = false {
		entries, err := w.Store.Entries(ctx, w.position, batch)
		if err != nil {
			return fmt.Errorf("reading the revocation log: %w", err)
		}
		if len(entries) > 0 {
			w.position = entries[len(entries)-1].Number
		}
		message := w.message(entries, max(head, w.position))
		message.Reset_ = first
		if err := w.deliver(message); err != nil {
			return err
		}
		if len(entries) == 0 || len(entries) < batch && w.position >= head {
			w.position, w.due = max(w.position, head), false
			return nil
		}
	}
}

// follow sends what is new, and a heartbeat if one is due.
func (w *watcher) follow(ctx context.Context) error {
	for {
		epoch, head, err := w.Store.Head(ctx)
		if err != nil {
			return fmt.Errorf("reading the head of the revocation log: %w", err)
		}
		if epoch != w.epoch || head < w.position {
			return w.reset(ctx, epoch, head)
		}
		if head == w.position && !w.due {
			return nil
		}
		var entries []Entry
		if head > w.position {
			if entries, err = w.Store.Entries(ctx, w.position, batch); err != nil {
				return fmt.Errorf("reading the revocation log: %w", err)
			}
			if !contiguous(entries, w.position) {
				return w.reset(ctx, epoch, head)
			}
			w.position = entries[len(entries)-1].Number
		}
		w.due = false
		if err := w.deliver(w.message(entries, max(head, w.position))); err != nil {
			return err
		}
	}
}

// contiguous tells whether entries follow position without a hole.
func contiguous(entries []Entry, position int64) bool {
	return len(entries) > 0 && entries[len(entries)-1].Number == position+int64(len(entries))
}

func (w *watcher) deliver(m *meshv1.WatchResponse) error {
	if err := w.send(m); err != nil {
		w.broken = true
		return err
	}
	return nil
}

func (w *watcher) message(entries []Entry, head int64) *meshv1.WatchResponse {
	m := &meshv1.WatchResponse{Epoch: w.epoch, Head: head}
	for _, e := range entries {
		m.Revocations = append(m.Revocations, &meshv1.Revocation{
			Number:     e.Number,
			Kind:       meshv1.RevocationKind(e.Kind),
			Value:      e.Value,
			BelowEpoch: e.BelowEpoch,
			ExpireTime: timestamppb.New(e.Expires),
		})
	}
	return m
}
