package sqlstore

import (
	"context"
	"strconv"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// addEntry writes a revocation in the transaction of what caused it. The counter row is held until that commits, so a
// number is visible only when all lower ones are.
func addEntry(ctx context.Context, tx sqldb.Tx, e revocation.Entry, now time.Time) error {
	var number int64
	if err := tx.QueryRow(ctx, `UPDATE revocation_head SET head = head + 1 WHERE id = 1 RETURNING head`).Scan(&number); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO revocations (number, kind, value, below_epoch, expires_at, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		number, int64(e.Kind), e.Value, e.BelowEpoch, sqldb.Micros(e.Expires), sqldb.Micros(now))
	return err
}

// Revoke implements oauth.RevocationLog. Revoking the same twice writes it once.
func (s *Store) Revoke(ctx context.Context, e revocation.Entry, now time.Time) error {
	added := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM revocations WHERE value = $1 AND kind = $2 AND below_epoch = $3`,
			e.Value, int64(e.Kind), e.BelowEpoch).Scan(&n)
		if added = n == 0; err != nil || !added {
			return err
		}
		return addEntry(ctx, tx, e, now)
	})
	if err != nil {
		return failed("writing a revocation", err)
	}
	if added {
		s.revoked(e.Kind)
	}
	return nil
}

// Revoked implements oauth.RevocationLog.
func (s *Store) Revoked(ctx context.Context, entries []revocation.Entry) (bool, error) {
	query, args := `SELECT count(*) FROM revocations WHERE`, []any{}
	for i, e := range entries {
		if i > 0 {
			query += ` OR`
		}
		query += ` (value = $` + strconv.Itoa(3*i+1) + ` AND kind = $` + strconv.Itoa(3*i+2) + ` AND (below_epoch = 0 OR below_epoch > $` + strconv.Itoa(3*i+3) + `))`
		args = append(args, e.Value, int64(e.Kind), e.BelowEpoch)
	}
	var n int64
	if err := s.db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return false, failed("reading revocations", err)
	}
	return n > 0, nil
}

// Head implements revocation.Store.
func (s *Store) Head(ctx context.Context) (epoch string, head int64, err error) {
	if err := s.db.QueryRow(ctx, `SELECT epoch, head FROM revocation_head WHERE id = 1`).Scan(&epoch, &head); err != nil {
		return "", 0, failed("reading the revocation log", err)
	}
	return epoch, head, nil
}

// Entries implements revocation.Store.
func (s *Store) Entries(ctx context.Context, after int64, limit int) ([]revocation.Entry, error) {
	list, err := rowsOf(scanEntry)(s.db.Query(ctx, `SELECT number, kind, value, below_epoch, expires_at FROM revocations
		WHERE number > $1 ORDER BY number LIMIT $2`, after, limit))
	if err != nil {
		return nil, failed("reading the revocation log", err)
	}
	return list, nil
}

func scanEntry(row scanner) (revocation.Entry, error) {
	var e revocation.Entry
	var expires int64
	if err := row.Scan(&e.Number, &e.Kind, &e.Value, &e.BelowEpoch, &expires); err != nil {
		return revocation.Entry{}, err
	}
	e.Expires = sqldb.Time(expires)
	return e, nil
}
