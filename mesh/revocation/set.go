// Package revocation holds which tokens ended before their time, and keeps that current by a feed from the part that
// ends them.
//
// It does not decide what a stale set closes: that is the guard's, in package mesh, by the rule of each method.
package revocation

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// Kind names the claim that a revocation speaks of.
type Kind int

const (
	// Token ends one token ("jti").
	Token Kind = iota
	// Session ends every token of a login session ("sid").
	Session
	// Grant ends every token of one grant ("gid").
	Grant
	// Subject ends every token of a subject ("sub") that is older than an epoch.
	Subject
	// Client ends every token of a client ("client_id").
	Client
	// Key ends every token signed by a key ("kid").
	Key

	kinds
)

// Entry ends every token whose claim Kind is Value.
type Entry struct {
	Kind  Kind
	Value string
	// BelowEpoch is for subjects: only tokens of a lower epoch are ended. 0 ends all.
	BelowEpoch int64
	// Expires is when the last token that this could concern has expired. Zero: never.
	Expires time.Time
}

// Config says how a [Set] judges itself.
type Config struct {
	// MaxSilence is how long the set may go without a message before it is stale. Default: 15 seconds.
	MaxSilence time.Duration
	// MaxEntries bounds the memory of the set, at about 200 bytes an entry. Default: 500000.
	MaxEntries int
	// Logger is told when the feed breaks and when it is back. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// ErrFull says that a set holds as many live entries as it may. It stays stale until there is room, because what it
// does not hold it cannot refuse.
var ErrFull = errors.New("revocation: the set is full")

// Set is the revocations known here. It is safe for concurrent use; asking takes no lock while nothing is revoked.
type Set struct {
	cfg   Config
	marks [kinds]marks
	size  atomic.Int64
	// heard is when the set was last known to be complete, in nanoseconds of the Unix epoch; 0: never.
	heard  atomic.Int64
	purged atomic.Int64
	// lag and resyncs are told by the feed.
	lag     atomic.Int64
	resyncs atomic.Uint64

	watching sync.Mutex
	watchers map[ref]map[*watcher]struct{}
}

var _ mesh.Revocations = (*Set)(nil)

// NewSet makes a set, empty and stale until its feed has caught up.
func NewSet(cfg Config) *Set {
	if cfg.MaxSilence == 0 {
		cfg.MaxSilence = 15 * time.Second
	}
	if cfg.MaxEntries == 0 {
		cfg.MaxEntries = 500_000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Set{cfg: cfg, watchers: map[ref]map[*watcher]struct{}{}}
	for kind := range s.marks {
		s.marks[kind].of = map[string]mark{}
	}
	return s
}

// Revoked reports whether the token behind id has ended.
func (s *Set) Revoked(id mesh.Identity) bool { return s.Ending(id) != "" }

// Ending implements [mesh.Endings].
func (s *Set) Ending(id mesh.Identity) mesh.Ending {
	if s.size.Load() == 0 {
		return ""
	}
	now := s.cfg.Now().UnixNano()
	switch {
	case s.marks[Client].ends(id.ClientID, id.Epoch, now):
		return mesh.ClientEnded
	case s.marks[Subject].ends(id.Subject, id.Epoch, now):
		return mesh.SubjectEnded
	case s.tokenEnded(&id, now):
		return mesh.TokenEnded
	}
	return ""
}

// tokenEnded tells whether the token has ended alone, or with what it came of.
func (s *Set) tokenEnded(id *mesh.Identity, now int64) bool {
	for _, kind := range []Kind{Token, Session, Grant, Key} {
		if s.marks[kind].ends(claim(id, kind), id.Epoch, now) {
			return true
		}
	}
	for _, origin := range id.DerivedFrom {
		if s.marks[Token].ends(origin, id.Epoch, now) {
			return true
		}
	}
	for _, key := range id.DerivedKeys {
		if s.marks[Key].ends(key, id.Epoch, now) {
			return true
		}
	}
	return false
}

// Stale reports whether the set has not been known to be complete for MaxSilence, or ever.
func (s *Set) Stale() bool { return s.Age() > s.cfg.MaxSilence }

// Age is how long ago the set was last known to be complete. Before the first time it is longer than any MaxSilence.
func (s *Set) Age() time.Duration {
	heard := s.heard.Load()
	if heard == 0 {
		return 1<<63 - 1
	}
	return time.Duration(s.cfg.Now().UnixNano() - heard)
}

// Len returns the number of entries, those included that have expired and were not cleared away yet.
func (s *Set) Len() int { return int(s.size.Load()) }

// Add adds entries, and tells those who watch a token that they end. Adding one again changes nothing. On [ErrFull] some
// of them were not added.
func (s *Set) Add(entries ...Entry) error {
	now := s.cfg.Now()
	for _, e := range entries {
		if e.Kind < 0 || e.Kind >= kinds || e.Value == "" || !e.Expires.IsZero() && !e.Expires.After(now) {
			continue
		}
		if s.Len() >= s.cfg.MaxEntries {
			s.purge(now)
		}
		if s.Len() >= s.cfg.MaxEntries && !s.marks[e.Kind].has(e.Value) {
			return ErrFull
		}
		if s.marks[e.Kind].add(e) {
			s.size.Add(1)
		}
		s.tell(ref{e.Kind, e.Value})
	}
	return nil
}

// Complete says that at this moment nothing is revoked that the set does not hold.
func (s *Set) Complete() {
	now := s.cfg.Now()
	s.heard.Store(now.UnixNano())
	if last := s.purged.Load(); now.UnixNano()-last > int64(time.Minute) && s.purged.CompareAndSwap(last, now.UnixNano()) {
		s.purge(now)
	}
}

func (s *Set) purge(now time.Time) {
	for kind := range s.marks {
		s.size.Add(-int64(s.marks[kind].purge(now.UnixNano())))
	}
}

// claim returns the value of the claim that kind speaks of, or "".
func claim(id *mesh.Identity, kind Kind) string {
	switch kind {
	case Token:
		return id.TokenID
	case Session:
		return id.SessionID
	case Grant:
		return id.GrantID
	case Subject:
		return id.Subject
	case Client:
		return id.ClientID
	case Key:
		return id.KeyID
	default:
		return ""
	}
}

// refs are all claims by which a token can be ended: its own, and those of the tokens that it was exchanged from.
func refs(id *mesh.Identity) []ref {
	var all []ref
	for kind := range kinds {
		if value := claim(id, kind); value != "" {
			all = append(all, ref{kind, value})
		}
	}
	for _, origin := range id.DerivedFrom {
		all = append(all, ref{Token, origin})
	}
	for _, key := range id.DerivedKeys {
		all = append(all, ref{Key, key})
	}
	return all
}

// marks are the entries of one kind by value.
type marks struct {
	mu sync.RWMutex
	of map[string]mark
	n  atomic.Int64
}

// mark is when the revocations of one value expire, in nanoseconds of the Unix epoch: that of all its tokens, and that
// of those below an epoch. The two are apart because the first may expire before the second.
type mark struct {
	all          int64
	below, until int64
}

func (m *marks) ends(value string, epoch, now int64) bool {
	if value == "" || m.n.Load() == 0 {
		return false
	}
	m.mu.RLock()
	k, ok := m.of[value]
	m.mu.RUnlock()
	return ok && (now < k.all || now < k.until && epoch < k.below)
}

func (m *marks) has(value string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.of[value]
	return ok
}

// add reports whether value had no mark before.
func (m *marks) add(e Entry) bool {
	expires := int64(1<<63 - 1)
	if !e.Expires.IsZero() {
		expires = e.Expires.UnixNano()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k, had := m.of[e.Value]
	if e.BelowEpoch > 0 {
		k.below, k.until = max(k.below, e.BelowEpoch), max(k.until, expires)
	} else {
		k.all = max(k.all, expires)
	}
	m.of[e.Value] = k
	m.n.Store(int64(len(m.of)))
	return !had
}

func (m *marks) purge(now int64) (gone int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for value, k := range m.of {
		if k.all <= now && k.until <= now {
			delete(m.of, value)
			gone++
		}
	}
	m.n.Store(int64(len(m.of)))
	return gone
}
