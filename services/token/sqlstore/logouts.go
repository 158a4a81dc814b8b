package sqlstore

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/backchannel"
)

// VisitSession implements oauth.AccountStore. In one transaction, so that a session which ends at this moment either knows
// of the visit or refuses it.
func (s *Store) VisitSession(ctx context.Context, id, client string) error {
	lives := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO session_clients (session_id, client_id) SELECT id, $2 FROM sessions WHERE id = $1 AND ended_at = 0
			ON CONFLICT (session_id, client_id) DO UPDATE SET client_id = excluded.client_id`, id, client)
		lives = n == 1
		return err
	})
	if err != nil {
		return failed("recording where a session was opened", err)
	}
	if !lives {
		return account.ErrNotFound
	}
	return nil
}

// queueLogout notes, in the transaction that ends a session, which clients have to be told.
func queueLogout(ctx context.Context, tx sqldb.Tx, session string, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO logout_deliveries (session_id, client_id, user_id, attempts, due_at, created_at)
		SELECT sessions.id, clients.id, sessions.user_id, 0, CAST($2 AS BIGINT), CAST($2 AS BIGINT)
		FROM session_clients JOIN sessions ON sessions.id = session_clients.session_id JOIN clients ON clients.id = session_clients.client_id
		WHERE session_clients.session_id = $1 AND clients.backchannel_logout_uri <> '' AND clients.disabled_at = 0
		ON CONFLICT DO NOTHING`, session, sqldb.Micros(now))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM session_clients WHERE session_id = $1`, session)
	return err
}

// claimLogouts takes what is due, at most four of a client at once. A client of which a try is under way or has failed is
// left alone until that is over, so that one that does not answer keeps nobody else waiting.
const claimLogouts = `UPDATE logout_deliveries SET attempts = attempts + 1, due_at = $2
	WHERE due_at <= $1 AND (session_id, client_id) IN (
		SELECT session_id, client_id FROM (
			SELECT session_id, client_id, due_at, ROW_NUMBER() OVER (PARTITION BY client_id ORDER BY due_at, session_id) AS place
			FROM logout_deliveries WHERE due_at <= $1 AND NOT EXISTS (
				SELECT 1 FROM logout_deliveries AS tried
				WHERE tried.client_id = logout_deliveries.client_id AND tried.attempts > 0 AND tried.due_at > $1)) AS due
		WHERE place <= 4 ORDER BY due_at LIMIT $3)
	RETURNING session_id, client_id, user_id, attempts, created_at`

// ClaimLogouts implements backchannel.Store: one statement decides between replicas.
func (s *Store) ClaimLogouts(ctx context.Context, now, until time.Time, limit int) ([]backchannel.Delivery, error) {
	var due bool
	// Asked first, as on SQLite a statement that changes nothing still waits for those that do.
	if err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM logout_deliveries WHERE due_at <= $1)`, sqldb.Micros(now)).Scan(&due); err != nil {
		return nil, failed("looking for logouts to deliver", err)
	}
	if !due {
		return nil, nil
	}
	list, err := rowsOf(scanDelivery)(s.db.Query(ctx, claimLogouts, sqldb.Micros(now), sqldb.Micros(until), limit))
	if err != nil {
		return nil, failed("claiming logouts to deliver", err)
	}
	return list, nil
}

func scanDelivery(row scanner) (backchannel.Delivery, error) {
	var d backchannel.Delivery
	var created int64
	if err := row.Scan(&d.SessionID, &d.ClientID, &d.UserID, &d.Attempt, &created); err != nil {
		return backchannel.Delivery{}, err
	}
	d.Created = sqldb.Time(created)
	return d, nil
}

// LogoutDone implements backchannel.Store.
func (s *Store) LogoutDone(ctx context.Context, d backchannel.Delivery) error {
	_, err := s.db.Exec(ctx, `DELETE FROM logout_deliveries WHERE session_id = $1 AND client_id = $2 AND attempts = $3`,
		d.SessionID, d.ClientID, d.Attempt)
	if err != nil {
		return failed("removing a delivered logout", err)
	}
	return nil
}

// LogoutFailed implements backchannel.Store.
func (s *Store) LogoutFailed(ctx context.Context, d backchannel.Delivery, again time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE logout_deliveries SET due_at = $4 WHERE session_id = $1 AND client_id = $2 AND attempts = $3`,
		d.SessionID, d.ClientID, d.Attempt, sqldb.Micros(again))
	if err != nil {
		return failed("putting off a logout", err)
	}
	return nil
}
