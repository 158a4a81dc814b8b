package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
)

const sessionColumns = `id, user_id, auth_time, expires_at, user_epoch, ended_at, methods, address, user_agent`

// OpenSession stores a new login session, found again by the hash of its cookie.
func (s *Store) OpenSession(ctx context.Context, session account.Session, cookieHash string) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO sessions (`+sessionColumns+`, cookie_hash) VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9)`,
			session.ID, session.UserID, sqldb.Micros(session.AuthTime), sqldb.Micros(session.Expires), session.UserEpoch,
			join(session.Methods), session.Address, session.UserAgent, cookieHash)
		if err != nil {
			return err
		}
		return audit.Add(ctx, tx, login(&session))
	})
	if err != nil {
		return failed("storing a session", err)
	}
	return nil
}

// RenewSession gives a live session that its person signed in to again a new cookie, and with it a new end. It is
// account.ErrNotFound when the session is over.
func (s *Store) RenewSession(ctx context.Context, session account.Session, cookieHash string) error {
	over := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sessions SET cookie_hash = $2, auth_time = $3, expires_at = $4, user_epoch = $5, methods = $6,
				address = $7, user_agent = $8
			WHERE id = $1 AND ended_at = 0`,
			session.ID, cookieHash, sqldb.Micros(session.AuthTime), sqldb.Micros(session.Expires), session.UserEpoch, join(session.Methods),
			session.Address, session.UserAgent)
		if over = n == 0; err != nil || over {
			return err
		}
		return audit.Add(ctx, tx, login(&session))
	})
	if err != nil {
		return failed("renewing a session", err)
	}
	if over {
		return account.ErrNotFound
	}
	return nil
}

// login is the entry about who has signed in.
func login(session *account.Session) audit.Entry {
	return audit.Entry{Time: session.AuthTime, Actor: session.UserID, ClientID: session.ClientID, Action: "login", Target: session.ID,
		Address: session.Address, Details: map[string]string{"methods": join(session.Methods)}}
}

// Session returns a login session, ended or not, or account.ErrNotFound.
func (s *Store) Session(ctx context.Context, id string) (account.Session, error) {
	if !storable(id) {
		return account.Session{}, account.ErrNotFound
	}
	return scanSession(s.db.QueryRow(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1`, id))
}

// SessionByCookie is Session by the hash of the cookie.
func (s *Store) SessionByCookie(ctx context.Context, cookieHash string) (account.Session, error) {
	return scanSession(s.db.QueryRow(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE cookie_hash = $1`, cookieHash))
}

func scanSession(row scanner) (account.Session, error) {
	var session account.Session
	var methods string
	var auth, expires, ended int64
	err := row.Scan(&session.ID, &session.UserID, &auth, &expires, &session.UserEpoch, &ended, &methods, &session.Address, &session.UserAgent)
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
		var user string
		err := tx.QueryRow(ctx, `UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at = 0 RETURNING user_id`, id, sqldb.Micros(now)).Scan(&user)
		if ended = err == nil; errors.Is(err, sqldb.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		grants, err = revokeGrants(ctx, tx, `session_id`, id, now)
		if err != nil {
			return err
		}
		if err := sessionsEnded(ctx, tx, []string{id}, now, until); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: person(ctx, user), Action: "session.end", Target: id,
			Details: map[string]string{"of": user}})
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
		if err := queueLogout(ctx, tx, id, now); err != nil {
			return err
		}
		if err := addEntry(ctx, tx, revocation.Entry{Kind: revocation.Session, Value: id, Expires: until}, now); err != nil {
			return err
		}
	}
	return nil
}

// UserSessions lists at most limit live login sessions of a person, the newest first.
func (s *Store) UserSessions(ctx context.Context, user string, now time.Time, limit int) ([]account.Session, error) {
	list, err := rowsOf(scanSession)(s.db.Query(ctx, `SELECT `+sessionColumns+` FROM sessions
		WHERE user_id = $1 AND ended_at = 0 AND expires_at > $2
			AND user_epoch = (SELECT epoch FROM users WHERE users.id = sessions.user_id)
		ORDER BY auth_time DESC, id DESC LIMIT $3`, user, sqldb.Micros(now), limit))
	if err != nil {
		return nil, failed("listing sessions", err)
	}
	return list, nil
}

// SessionClients lists the clients that hold something of each live login session of a person, by session.
func (s *Store) SessionClients(ctx context.Context, user string) (map[string][]string, error) {
	rows, err := s.db.Query(ctx, `SELECT DISTINCT session_id, client_id FROM grants
		WHERE user_id = $1 AND session_id <> '' AND revoked_at = 0 ORDER BY session_id, client_id`, user)
	if err != nil {
		return nil, failed("listing the applications of sessions", err)
	}
	defer rows.Close()
	clients := map[string][]string{}
	for rows.Next() {
		var session, client string
		if err := rows.Scan(&session, &client); err != nil {
			return nil, failed("listing the applications of sessions", err)
		}
		clients[session] = append(clients[session], client)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("listing the applications of sessions", err)
	}
	return clients, nil
}
