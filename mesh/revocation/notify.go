package revocation

import "github.com/realguardio/realguardio/mesh"

// ref is a claim's value, as a key.
type ref struct {
	kind  Kind
	value string
}

// watcher waits for one token to end.
type watcher struct {
	id mesh.Identity
	f  func()
}

// Notify calls f once, in a goroutine of its own, as soon as id is revoked; at once where it is already. After stop has
// returned, f is not started any more. It costs an entry in a map for each claim of the token.
func (s *Set) Notify(id mesh.Identity, f func()) (stop func()) {
	w := &watcher{id: id, f: f}
	s.watching.Lock()
	for _, at := range refs(&id) {
		if s.watchers[at] == nil {
			s.watchers[at] = map[*watcher]struct{}{}
		}
		s.watchers[at][w] = struct{}{}
	}
	s.watching.Unlock()
	// Asked after the watching began: whatever is added from now on will find the watcher.
	if s.Revoked(id) {
		s.fire(w)
	}
	return func() { s.forget(w) }
}

// tell fires those who watch a token with one of these claims, where it is revoked now.
func (s *Set) tell(added []ref) {
	var concerned []*watcher
	s.watching.Lock()
	if len(s.watchers) > 0 {
		for _, at := range added {
			for w := range s.watchers[at] {
				concerned = append(concerned, w)
			}
		}
	}
	s.watching.Unlock()
	for _, w := range concerned {
		if s.Revoked(w.id) {
			s.fire(w)
		}
	}
}

func (s *Set) fire(w *watcher) {
	s.watching.Lock()
	defer s.watching.Unlock()
	if s.drop(w) {
		go w.f()
	}
}

func (s *Set) forget(w *watcher) {
	s.watching.Lock()
	defer s.watching.Unlock()
	s.drop(w)
}

// drop removes w and reports whether it was there. The lock is held.
func (s *Set) drop(w *watcher) bool {
	found := false
	for _, at := range refs(&w.id) {
		of := s.watchers[at]
		if _, ok := of[w]; !ok {
			continue
		}
		found = true
		delete(of, w)
		if len(of) == 0 {
			delete(s.watchers, at)
		}
	}
	return found
}
