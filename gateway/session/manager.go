package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/realguardio/realguardio/gateway/lru"
	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/mesh"
)

var (
	// ErrNone says that there is no such session, or none any more.
	ErrNone = errors.New("session: none")
	// ErrUnavailable says that the session could not be read, or its access token not be renewed, for now. The session
	// is kept.
	ErrUnavailable = errors.New("session: unavailable")
	// ErrEnded is what a [Refresher] returns when the provider will never renew these tokens again.
	ErrEnded = errors.New("session: ended by the identity provider")
)

// Refresher gets new tokens from the identity provider.
type Refresher interface {
	// Refresh returns [ErrEnded] when the refresh token is no longer good; any other error is passing.
	Refresh(ctx context.Context, refreshToken string) (Tokens, error)
	// Revoke ends the refresh token and what it stands for.
	Revoke(ctx context.Context, refreshToken string) error
}

// Revocations tells which identities ended before their time.
type Revocations interface {
	Revoked(mesh.Identity) bool
}

// Config of a [Manager].
type Config struct {
	// Vault, Refresher and Revocations are required.
	Vault       *vault.Vault
	Refresher   Refresher
	Revocations Revocations
	// IdleFor is how long a session lives without use. Default: 2 hours.
	IdleFor time.Duration
	// LiveFor is how long a session lives at most. Default: 12 hours.
	LiveFor time.Duration
	// RefreshBefore is the life left at which an access token is renewed. Default: 30 seconds.
	RefreshBefore time.Duration
	// RefreshTimeout bounds one renewal. Default: 10 seconds.
	RefreshTimeout time.Duration
	Now            func() time.Time
	Logger         *slog.Logger
}

// Manager begins, finds, renews and ends sessions. It is safe for concurrent use, also with other replicas.
type Manager struct {
	cfg       Config
	refreshes singleflight.Group
	count     counters
	opened    *lru.Map[ID, opened]
}

// opened is a session that was unsealed before. While Redis still holds it, it need not be again.
type opened struct {
	sealed  vault.Sealed
	session *Session
}

// maxOpened is how many of them are kept, at about 6 KB each.
const maxOpened = 2048

// New checks cfg and returns a manager.
func New(cfg Config) (*Manager, error) {
	switch {
	case cfg.Vault == nil:
		return nil, errors.New("session: Vault is required")
	case cfg.Refresher == nil:
		return nil, errors.New("session: Refresher is required")
	case cfg.Revocations == nil:
		return nil, errors.New("session: Revocations is required")
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&cfg.IdleFor, 2 * time.Hour}, {&cfg.LiveFor, 12 * time.Hour},
		{&cfg.RefreshBefore, 30 * time.Second}, {&cfg.RefreshTimeout, 10 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, opened: lru.New[ID, opened](maxOpened)}, nil
}

// Begin starts a session under a new id. A session that the browser had before is not touched: the caller ends it.
func (m *Manager) Begin(ctx context.Context, tokens Tokens) (ID, *Session, error) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	id := ID(base64.RawURLEncoding.EncodeToString(secret[:]))
	now := m.cfg.Now()
	s := &Session{Begun: now, Until: now.Add(m.cfg.LiveFor)}
	s.Idle = now.Add(m.cfg.IdleFor)
	s.set(tokens)
	plain, err := s.encode()
	if err != nil {
		return "", nil, fmt.Errorf("encoding a session: %w", err)
	}
	if err := m.cfg.Vault.Put(ctx, key(id), plain, s.Expires().Sub(now)); err != nil {
		return "", nil, translate(err)
	}
	for _, index := range indexes(s.Person.Subject, s.Claims.SessionID) {
		if err := m.cfg.Vault.Index(ctx, index, key(id), m.cfg.LiveFor); err != nil {
			return "", nil, translate(err)
		}
	}
	m.count.begun.Add(1)
	return id, s, nil
}

// Find returns the session with an access token that may be used now. It costs one Redis read, unless the token is about
// to end. It returns [ErrNone] or [ErrUnavailable]. The session is shared: it must not be changed.
func (m *Manager) Find(ctx context.Context, id ID) (*Session, error) {
	if !wellFormed(id) {
		return nil, ErrNone
	}
	s, sealed, err := m.read(ctx, id)
	if err != nil {
		return nil, err
	}
	now := m.cfg.Now()
	if s.Expiry.Sub(now) < m.cfg.RefreshBefore || m.cfg.Revocations.Revoked(s.tokenIdentity()) {
		return m.renewed(ctx, id, s)
	}
	if s.Idle.Sub(now) < m.cfg.IdleFor-m.cfg.IdleFor/16 {
		return m.touch(ctx, id, s, sealed, now)
	}
	return s, nil
}

// End removes the session and returns what it was, so that the caller can tell the provider. It returns [ErrNone] when
// there is none.
func (m *Manager) End(ctx context.Context, id ID) (*Session, error) {
	if !wellFormed(id) {
		return nil, ErrNone
	}
	plain, err := m.cfg.Vault.Take(ctx, key(id))
	if err != nil {
		return nil, translate(err)
	}
	m.count.ended.Add(1)
	s, err := decode(plain)
	if err != nil {
		return nil, ErrNone
	}
	return s, nil
}

// EndAll removes every session of a login session at the provider or, where sid is empty, of a person.
func (m *Manager) EndAll(ctx context.Context, subject, sid string) error {
	index := indexes(subject, sid)
	if len(index) == 0 {
		return nil
	}
	keys, err := m.cfg.Vault.Indexed(ctx, index[0])
	if err != nil {
		return translate(err)
	}
	for _, k := range keys {
		removed, err := m.cfg.Vault.Delete(ctx, k)
		if err != nil {
			return translate(err)
		}
		if removed {
			m.count.ended.Add(1)
		}
	}
	return nil
}

// indexes are where a session can be found without its id, the narrowest first.
func indexes(subject, sid string) []vault.Key {
	var all []vault.Key
	if sid != "" {
		all = append(all, vault.KeyOf("sid", sid))
	}
	if subject != "" {
		all = append(all, vault.KeyOf("sub", subject))
	}
	return all
}

// read returns the session if it lives: neither limit passed, not revoked as a whole.
func (m *Manager) read(ctx context.Context, id ID) (*Session, vault.Sealed, error) {
	s, sealed, err := m.fetch(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if !m.cfg.Now().Before(s.Expires()) {
		return nil, "", ErrNone
	}
	if m.cfg.Revocations.Revoked(s.identity()) {
		m.forget(ctx, id)
		return nil, "", ErrNone
	}
	return s, sealed, nil
}

// fetch reads and unseals a session, or recalls it when Redis still holds what was unsealed before.
func (m *Manager) fetch(ctx context.Context, id ID) (*Session, vault.Sealed, error) {
	if o, ok := m.opened.Get(id); ok {
		same, err := m.cfg.Vault.Holds(ctx, key(id), o.sealed)
		if err != nil {
			m.opened.Delete(id)
			return nil, "", translate(err)
		}
		if same {
			return o.session, o.sealed, nil
		}
	}
	sealed, err := m.cfg.Vault.Read(ctx, key(id))
	if err != nil {
		m.opened.Delete(id)
		return nil, "", translate(err)
	}
	s, err := m.open(id, sealed)
	if err != nil {
		return nil, "", ErrNone
	}
	return s, sealed, nil
}

// open unseals a session and remembers it.
func (m *Manager) open(id ID, sealed vault.Sealed) (*Session, error) {
	plain, err := m.cfg.Vault.Open(key(id), sealed)
	if err != nil {
		return nil, translate(err)
	}
	s, err := decode(plain)
	if err != nil {
		return nil, fmt.Errorf("decoding a session: %w", err)
	}
	m.opened.Put(id, opened{sealed, s})
	return s, nil
}

// touch moves the idle limit. Losing to another writer is fine: that one has just used the session too.
func (m *Manager) touch(ctx context.Context, id ID, s *Session, was vault.Sealed, now time.Time) (*Session, error) {
	touched := *s
	touched.Idle = now.Add(m.cfg.IdleFor)
	_, err := m.write(ctx, id, &touched, was)
	if err != nil && !errors.Is(err, vault.ErrChanged) {
		return nil, translate(err)
	}
	return &touched, nil
}

func (m *Manager) write(ctx context.Context, id ID, s *Session, was vault.Sealed) (vault.Sealed, error) {
	plain, err := s.encode()
	if err != nil {
		return "", fmt.Errorf("encoding a session: %w", err)
	}
	return m.cfg.Vault.Swap(ctx, key(id), was, plain, s.Expires().Sub(m.cfg.Now()))
}

// forget removes a session that is over. Failing is harmless: whoever reads it next finds it over too.
func (m *Manager) forget(ctx context.Context, id ID) {
	switch removed, err := m.cfg.Vault.Delete(ctx, key(id)); {
	case err != nil:
		m.cfg.Logger.WarnContext(ctx, "a session that is over could not be removed", "error", err)
	case removed:
		m.count.ended.Add(1)
	}
}

func key(id ID) vault.Key { return vault.KeyOf("session", string(id)) }

// wellFormed spares Redis the ids that were never ours.
func wellFormed(id ID) bool {
	if len(id) != 43 { // 32 bytes
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// translate says a vault's error in this package's words.
func translate(err error) error {
	switch {
	case errors.Is(err, vault.ErrNone):
		return ErrNone
	case errors.Is(err, vault.ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return err
	}
}
