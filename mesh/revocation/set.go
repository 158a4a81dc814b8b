// Package revocation holds which tokens ended before their time, and keeps that current by a feed from the part that
// ends them.
//
// It does not decide what a stale set closes: that is the guard's, in package mesh, by the rule of each method.
package revocation

import (
	"errors"
	"hash/maphash"
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
	// MaxEntries bounds the memory of the set, at 21 to 43 bytes an entry, and as much again for a moment while it grows or
	// forgets. Default: 2000000, which is 64 MB when full: a thousand revocations a second of tokens that live half an hour.
	MaxEntries int
	// Logger is told when the feed breaks and when it is back. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// ErrFull says that a set holds as many live entries as it may. It becomes stale, and stays so until there is room and
// its feed has begun again, because what it does not hold it cannot refuse.
var ErrFull = errors.New("revocation: the set is full")

// Set is the revocations known here. It is safe for concurrent use; asking takes no lock.
type Set struct {
	cfg  Config
	seed maphash.Seed
	// all are the values of which every token has ended, epochs the subjects of which those below an epoch have. The two
	// are apart because for one subject either may expire before the other.
	all    [kinds]column
	epochs column
	size   atomic.Int64
	// madeRoom is when what had expired was last forgotten because the set was full.
	madeRoom time.Time
	// writing is held to change any of those.
	writing sync.Mutex
	// heard is when the set was last known to be complete, in nanoseconds of the Unix epoch; 0: never.
	heard  atomic.Int64
	forgot atomic.Int64
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
		cfg.MaxEntries = 2_000_000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Set{cfg: cfg, seed: maphash.MakeSeed(), epochs: column{epochs: true}, watchers: map[ref]map[*watcher]struct{}{}}
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
	case s.clientEnded(&id, now):
		return mesh.ClientEnded
	case s.ends(Subject, id.Subject, now) || s.epochs.current.Load() != nil && id.Subject != "" && s.epochs.ends(s.hash(id.Subject), id.Epoch, now):
		return mesh.SubjectEnded
	case s.tokenEnded(&id, now):
		return mesh.TokenEnded
	}
	return ""
}

// clientEnded tells whether the token's client has ended, or one that got it in exchange for another.
func (s *Set) clientEnded(id *mesh.Identity, now int64) bool {
	for _, actor := range id.Actors {
		if s.ends(Client, actor, now) {
			return true
		}
	}
	return s.ends(Client, id.ClientID, now)
}

// tokenEnded tells whether the token has ended alone, or with what it came of.
func (s *Set) tokenEnded(id *mesh.Identity, now int64) bool {
	for _, kind := range []Kind{Token, Session, Grant, Key} {
		if s.ends(kind, claim(id, kind), now) {
			return true
		}
	}
	for _, origin := range id.DerivedFrom {
		if s.ends(Token, origin, now) {
			return true
		}
	}
	for _, key := range id.DerivedKeys {
		if s.ends(Key, key, now) {
			return true
		}
	}
	return false
}

// ends tells whether every token of a value has ended. A kind of which nothing is revoked costs nothing.
func (s *Set) ends(kind Kind, value string, now int64) bool {
	c := &s.all[kind]
	return value != "" && c.current.Load() != nil && c.ends(s.hash(value), 0, now)
}

// hash is what a value is held as; never 0.
func (s *Set) hash(value string) uint64 { return max(1, maphash.String(s.seed, value)) }

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

// Len returns the number of entries, those included that have expired and are not forgotten yet.
func (s *Set) Len() int { return int(s.size.Load()) }

// Add adds entries, and tells those who watch a token that they end. Adding one again changes nothing. On [ErrFull] all
// that there was room for were added.
func (s *Set) Add(entries ...Entry) error {
	added, full := make([]ref, 0, len(entries)), false
	s.writing.Lock()
	for _, e := range entries {
		if e.Kind < 0 || e.Kind >= kinds || e.Value == "" {
			continue
		}
		switch now := s.cfg.Now(); {
		case !e.Expires.IsZero() && !e.Expires.After(now):
		case s.add(e, now):
			added = append(added, ref{e.Kind, e.Value})
		default:
			full = true
		}
	}
	s.writing.Unlock()
	s.tell(added)
	if full {
		return ErrFull
	}
	return nil
}

// add reports whether there was room. The lock is held.
func (s *Set) add(e Entry, now time.Time) bool {
	c, hash, until := &s.all[e.Kind], s.hash(e.Value), int64(never)
	if e.BelowEpoch > 0 && e.Kind == Subject {
		c = &s.epochs
	}
	if !e.Expires.IsZero() {
		until = e.Expires.UnixNano()
	}
	if c.extend(hash, until, e.BelowEpoch) {
		return true
	}
	if !s.room(1, now) {
		return false
	}
	gone := c.put(hash, until, e.BelowEpoch, now)
	s.size.Add(int64(1 - gone))
	return true
}

// room tells whether n more may be held, and forgets what has expired if that is what it takes. To forget goes through the
// whole table: a set that is full, and from which one entry expires as the next comes in, does so once a second, and may
// hold a sixty-fourth more meanwhile. The lock is held.
func (s *Set) room(n int, now time.Time) bool {
	spare := s.cfg.MaxEntries / 64
	if s.Len()+n > s.cfg.MaxEntries && (spare == 0 || now.Sub(s.madeRoom).Abs() >= time.Second) {
		s.expire(now)
		s.madeRoom = now
	}
	return s.Len()+n <= s.cfg.MaxEntries+spare
}

// roomy tells whether a tenth is free again, so that it is worth while to ask for what did not fit.
func (s *Set) roomy() bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	tenth := max(1, s.cfg.MaxEntries/10)
	return s.room(tenth, s.cfg.Now()) && s.Len()+tenth <= s.cfg.MaxEntries
}

// Complete says that at this moment nothing is revoked that the set does not hold.
func (s *Set) Complete() {
	now := s.cfg.Now()
	s.heard.Store(now.UnixNano())
	if last := s.forgot.Load(); now.UnixNano()-last > int64(time.Minute) && s.forgot.CompareAndSwap(last, now.UnixNano()) {
		s.writing.Lock()
		defer s.writing.Unlock()
		s.expire(now)
	}
}

// expire drops what has expired. The lock is held.
func (s *Set) expire(now time.Time) {
	gone := s.epochs.forget(now)
	for kind := range s.all {
		gone += s.all[kind].forget(now)
	}
	s.size.Add(-int64(gone))
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

// refs are all claims by which a token can be ended: its own, and those of the tokens that it was exchanged from and of who
// exchanged them.
func refs(id *mesh.Identity) []ref {
	var all []ref
	for kind := range kinds {
		if value := claim(id, kind); value != "" {
			all = append(all, ref{kind, value})
		}
	}
	for _, actor := range id.Actors {
		all = append(all, ref{Client, actor})
	}
	for _, origin := range id.DerivedFrom {
		all = append(all, ref{Token, origin})
	}
	for _, key := range id.DerivedKeys {
		all = append(all, ref{Key, key})
	}
	return all
}
