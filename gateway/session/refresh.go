package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/realguardio/realguardio/gateway/vault"
)

// renewed returns the session with a new access token. However many requests ask, in however many replicas, the provider
// is called once: callers in this process share one flight, and replicas share a lock.
//
// It runs apart from the request that started it: a browser that goes away between the provider's answer and our write
// would else lose the only valid refresh token.
func (m *Manager) renewed(ctx context.Context, id ID, seen *Session) (*Session, error) {
	done := m.refreshes.DoChan(string(id), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.RefreshTimeout)
		defer cancel()
		return m.renew(ctx, id, seen)
	})
	patience := time.NewTimer(m.patience(seen))
	defer patience.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
		return m.unrenewed(seen, ErrUnavailable)
	case r := <-done:
		if r.Err != nil {
			return m.unrenewed(seen, r.Err)
		}
		return r.Val.(*Session), nil
	}
}

// patience is how long a request waits for a renewal: as long as it may take when there is nothing to go on with, else
// no longer than a person would not notice.
func (m *Manager) patience(seen *Session) time.Duration {
	if m.usable(seen) {
		return time.Second
	}
	return m.cfg.RefreshTimeout
}

func (m *Manager) usable(s *Session) bool {
	return m.cfg.Now().Before(s.Expiry) && !m.cfg.Revocations.Revoked(s.tokenIdentity())
}

// unrenewed decides what a failed renewal means: a token that still lives is used on.
func (m *Manager) unrenewed(seen *Session, err error) (*Session, error) {
	switch {
	case errors.Is(err, ErrNone):
		return nil, ErrNone
	case m.usable(seen):
		return seen, nil
	case errors.Is(err, ErrUnavailable):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// renew takes the lock, reads again, and asks the provider if nobody else has meanwhile. Waiting for the holder of the
// lock, it looks again until the holder is done or ctx ends.
func (m *Manager) renew(ctx context.Context, id ID, seen *Session) (*Session, error) {
	for {
		release, held, err := m.cfg.Vault.TryLock(ctx, key(id))
		if err != nil {
			return nil, translate(err)
		}
		if held {
			defer release()
			break
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("%w: waiting for another replica: %w", ErrUnavailable, err)
		}
		if s, _, err := m.read(ctx, id); err != nil || s.Refresh != seen.Refresh || s.Access != seen.Access {
			return s, err
		}
	}
	s, sealed, err := m.read(ctx, id)
	if err != nil || s.Access != seen.Access {
		return s, err
	}
	if s.Refresh == "" {
		return nil, m.over(ctx, id, s)
	}
	tokens, err := m.cfg.Refresher.Refresh(ctx, s.Refresh)
	if errors.Is(err, ErrEnded) {
		return nil, m.over(ctx, id, s)
	}
	if err != nil {
		m.count.renewalFailures.Add(1)
		m.cfg.Logger.WarnContext(ctx, "an access token could not be renewed; the session is kept", "error", err)
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	m.count.renewals.Add(1)
	return m.adopt(ctx, id, s, sealed, tokens)
}

// over ends a session that the provider ended, unless another replica has new tokens for it after all. An access token
// that still lives does not save it: the provider has said no.
func (m *Manager) over(ctx context.Context, id ID, was *Session) error {
	if s, _, err := m.read(ctx, id); err == nil && s.Refresh != was.Refresh {
		return fmt.Errorf("%w: renewed elsewhere", ErrUnavailable)
	}
	m.forget(ctx, id)
	return ErrNone
}

// adopt writes new tokens into the session. A write between our reading and now is kept and written over again, unless
// it ended the session (the new tokens then end too) or brought tokens of its own.
func (m *Manager) adopt(ctx context.Context, id ID, s *Session, sealed vault.Sealed, tokens Tokens) (*Session, error) {
	used := s.Refresh
	for {
		renewed := *s
		renewed.set(tokens)
		renewed.Idle = m.cfg.Now().Add(m.cfg.IdleFor)
		_, err := m.write(ctx, id, &renewed, sealed)
		if err == nil {
			return &renewed, nil
		}
		if !errors.Is(err, vault.ErrChanged) {
			return nil, translate(err)
		}
		s, sealed, err = m.read(ctx, id)
		if errors.Is(err, ErrNone) {
			if err := m.cfg.Refresher.Revoke(ctx, tokens.Refresh); err != nil {
				m.cfg.Logger.WarnContext(ctx, "tokens of an ended session could not be revoked", "error", err)
			}
			return nil, ErrNone
		}
		if err != nil || s.Refresh != used {
			return s, err
		}
	}
}

// pause waits a moment before looking again, not in step with others who wait.
func pause(ctx context.Context) error {
	timer := time.NewTimer(20*time.Millisecond + rand.N(20*time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
