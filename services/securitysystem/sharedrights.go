package securitysystem

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// sharedRights asks for the rights of who watches once for all of their streams, however many there are.
type sharedRights struct {
	source RightsSource
	now    func() time.Time

	mu sync.Mutex
	// of has an entry for each caller with a stream.
	of map[string]*watcher
}

// watcher is a caller who watches, by some streams.
type watcher struct {
	*sharedRights
	name    string
	streams int
	last    rightsAt
	flight  *rightsFlight
}

// rightsAt are rights, and when they began to be asked for: they hold what was changed before.
type rightsAt struct {
	rights Rights
	digest digest
	begun  time.Time
}

// rightsFlight is a question under way.
type rightsFlight struct {
	begun  time.Time
	done   chan struct{}
	answer rightsAt
	err    error
}

func newSharedRights(source RightsSource, now func() time.Time) *sharedRights {
	return &sharedRights{source: source, now: now, of: map[string]*watcher{}}
}

// enter is called for each stream of a caller, and leave when it ends.
func (s *sharedRights) enter(caller mesh.Identity) *watcher {
	// Everything of a caller that rights are decided by. Who has another role in another token is another caller.
	roles := slices.Sorted(slices.Values(caller.Roles))
	name := fmt.Sprintf("%q %q %q %q %q", caller.Kind, caller.Issuer, caller.Subject, caller.ClientID, strings.Join(roles, "\x00"))
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.of[name]
	if w == nil {
		w = &watcher{sharedRights: s, name: name}
		s.of[name] = w
	}
	w.streams++
	return w
}

func (w *watcher) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams--; w.streams == 0 {
		delete(w.of, w.name)
	}
}

// since returns the caller's rights as of a time or later, by the call that ctx belongs to or another one of theirs.
func (w *watcher) since(ctx context.Context, caller mesh.Identity, t time.Time) (rightsAt, error) {
	w.mu.Lock()
	if !w.last.begun.Before(t) {
		defer w.mu.Unlock()
		return w.last, nil
	}
	if f := w.flight; f != nil && !f.begun.Before(t) {
		w.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return rightsAt{}, ctx.Err()
		}
		if f.err == nil {
			return f.answer, nil
		}
		// That may have been the fault of the other call, whose token had ended, or who has gone.
		return w.ask(ctx, caller, w.now())
	}
	f := &rightsFlight{begun: w.now(), done: make(chan struct{})}
	w.flight = f
	w.mu.Unlock()
	defer close(f.done)
	f.answer, f.err = w.ask(ctx, caller, f.begun)
	return f.answer, f.err
}

func (w *watcher) ask(ctx context.Context, caller mesh.Identity, begun time.Time) (rightsAt, error) {
	rights, err := w.source.RightsOf(ctx, caller)
	if err != nil {
		return rightsAt{}, err
	}
	answer := rightsAt{rights, rights.Digest(), begun}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last.begun.Before(begun) {
		w.last = answer
	}
	return answer, nil
}
