package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
)

const sessionColumns = `id, user_id, auth_time, expires_at, user_epoch, ended_at, methods`

// OpenSession stores a new login session, found again by the hash of its cookie.
func (s *Store) OpenSession(ctx context.Context, session account.Session, cookieHash string) error {
	_, err := s.db.Exec(ctx, `INSERT INTO sessions (`+sessionColumns+`, cookie_hash) VALUES ($1, $2, $3, $4, $5, 0, $6, $7)`,
		session.ID, session.UserID, sqldb.Micros(session.AuthTime), sqldb.Micros(session.Expires), session.UserEpoch,
		join(session.Methods), cookieHash)
	if err != nil {
		return failed("storing a session", err)
	}
	return nil
}

// RenewSession gives a live session that its person signed in to again a new cookie, and with it a new end. It is
// account.ErrNotFound when the session is over.
func (s *Store) RenewSession(ctx context.Context, session account.Session, cookieHash string) error {
	n, err := s.db.Exec(ctx, `UPDATE sessions SET cookie_hash = $2, auth_time = $3, expires_at = $4, user_epoch = $5, methods = $6
		WHERE id = $1 AND ended_at = 0`,
		session.ID, cookieHash, sqldb.Micros(session.AuthTime), sqldb.Micros(session.Expires), session.UserEpoch, join(session.Methods))
	if err != nil {
		return failed("renewing a session", err)
	}
	if n == 0 {
		return account.ErrNotFound
	}
	return nil
}

// Session returns a login session, ended or not, or account.ErrNotFound.
func (s *Store) Session(ctx context.Context, id string) (account.Session, error) {
	return scanSession(s.db.QueryRow(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1`, id))
}

// SessionByCookie is Session by the hash of the cookie.
func (s *Store) SessionByCookie(ctx context.Context, cookieHash string) (account.Session, error) {
	return scanSession(s.db.QueryRow(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE cookie_hash = $1`, cookieHash))
}

func scanSession(row *sql.Row) (account.Session, error) {
	var session account.Session
	var methods string
	var auth, expires, ended int64
	err := row.Scan(&session.ID, &session.UserID, &auth, &expires, &session.UserEpoch, &ended, &methods)
	if errors.Is(err, sqldb.ErrNoRows) {
		return account.Session{}, account.ErrNotFound
	}
	if err != nil {
		return account.Session{}, failed("reading a session", err)
	}
	session.Methods = split(methods)
	session.AuthTime, session.Expires, session.Ended = sqldb.Time(auth), sqldb.Time(expires), sqldb.Time(ended)
	return session, nil
}

// EndSession implements oauth.AccountStore.
func (s *Store) EndSession(ctx context.Context, id string, now, until time.Time) (grants []string, err error) {
	ended := false
	err = s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at = 0`, id, sqldb.Micros(now))
		if ended = n == 1; err != nil || !ended {
			return err
		}
		grants, err = revokeGrants(ctx, tx, `session_id`, id, now)
		if err != nil {
			return err
		}
		return sessionsEnded(ctx, tx, []string{id}, now, until)
	})
	if err != nil {
		return nil, failed("ending a session", err)
	}
	if ended {
		s.revoked(revocation.Session)
	}
	return grants, nil
}

// sessionsEnded writes down, in the transaction that ends them, that login sessions are over.
func sessionsEnded(ctx context.Context, tx sqldb.Tx, ids []string, now, until time.Time) error {
	for _, id := range ids {
		if err := addEntry(ctx, tx, revocation.Entry{Kind: revocation.Session, Value: id, Expires: until}, now); err != nil {
			return err
		}
	}
	return nil
}
