package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// addEntry writes a revocation in the transaction of what caused it. The counter row is held until that commits, so a
// number is visible only when all lower ones are.
func addEntry(ctx context.Context, tx sqldb.Tx, e revocation.Entry, now time.Time) error {
	return addEntries(ctx, tx, []revocation.Entry{e}, now)
}

func addEntries(ctx context.Context, tx sqldb.Tx, entries []revocation.Entry, now time.Time) error {
	var head int64
	if err := tx.QueryRow(ctx, `UPDATE revocation_head SET head = head + $1 WHERE id = 1 RETURNING head`, len(entries)).Scan(&head); err != nil {
		return err
	}
	for i, e := range entries {
		_, err := tx.Exec(ctx, `INSERT INTO revocations (number, kind, value, below_epoch, expires_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6)`,
			head-int64(len(entries)-1-i), int64(e.Kind), e.Value, e.BelowEpoch, sqldb.Micros(e.Expires), sqldb.Micros(now))
		if err != nil {
			return err
		}
	}
	return nil
}

// Revoke implements oauth.RevocationLog. Revoking the same twice writes it once.
func (s *Store) Revoke(ctx context.Context, e revocation.Entry, now time.Time) error {
	if err := s.together.do(ctx, e, now, s.revokeAll); err != nil {
		return failed("writing a revocation", err)
	}
	return nil
}

// revokeAll writes those of entries that are new in one transaction.
func (s *Store) revokeAll(ctx context.Context, entries []revocation.Entry, now time.Time) error {
	var added []revocation.Entry
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		added = nil
		for _, e := range entries {
			var n int64
			err := tx.QueryRow(ctx, `SELECT count(*) FROM revocations WHERE value = $1 AND kind = $2 AND below_epoch = $3`,
				e.Value, int64(e.Kind), e.BelowEpoch).Scan(&n)
			if err != nil {
				return err
			}
			if n == 0 && !slices.ContainsFunc(added, e.Same) {
				added = append(added, e)
			}
		}
		if len(added) == 0 {
			return nil
		}
		return addEntries(ctx, tx, added, now)
	})
	if err != nil {
		return err
	}
	for _, e := range added {
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
func (s *Store) Head(ctx context.Context) (revocation.Position, error) {
	var at revocation.Position
	var made sql.NullInt64
	err := s.db.QueryRow(ctx, `SELECT epoch, head, created_at FROM revocation_head LEFT JOIN revocations ON number = head
		WHERE id = 1`).Scan(&at.Epoch, &at.Number, &made)
	if err != nil {
		return revocation.Position{}, failed("reading the revocation log", err)
	}
	at.Made = sqldb.Time(made.Int64)
	return at, nil
}

// Entries implements revocation.Store.
func (s *Store) Entries(ctx context.Context, after int64, limit int) ([]revocation.Entry, error) {
	list, err := rowsOf(scanEntry)(s.db.Query(ctx, `SELECT number, kind, value, below_epoch, expires_at, created_at FROM revocations
		WHERE number > $1 ORDER BY number LIMIT $2`, after, limit))
	if err != nil {
		return nil, failed("reading the revocation log", err)
	}
	return list, nil
}

func scanEntry(row scanner) (revocation.Entry, error) {
	var e revocation.Entry
	var expires, made int64
	if err := row.Scan(&e.Number, &e.Kind, &e.Value, &e.BelowEpoch, &expires, &made); err != nil {
		return revocation.Entry{}, err
	}
	e.Expires, e.Made = sqldb.Time(expires), sqldb.Time(made)
	return e, nil
}
