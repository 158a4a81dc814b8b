package sqlstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/revocation"
)

const keyColumns = `id, alg, status, sealed, created_at, activated_at, retired_at`

// Keys implements keys.Store.
func (s *Store) Keys(ctx context.Context) ([]keys.Record, error) {
	list, err := rowsOf(scanKey)(s.db.Query(ctx, `SELECT `+keyColumns+` FROM signing_keys ORDER BY created_at, id`))
	if err != nil {
		return nil, failed("reading the signing keys", err)
	}
	return list, nil
}

func scanKey(row scanner) (keys.Record, error) {
	var r keys.Record
	var sealed string
	var created, activated, retired int64
	if err := row.Scan(&r.ID, &r.Alg, &r.Status, &sealed, &created, &activated, &retired); err != nil {
		return keys.Record{}, err
	}
	var err error
	if r.Sealed, err = base64.StdEncoding.DecodeString(sealed); err != nil {
		return keys.Record{}, fmt.Errorf("reading signing key %s: %w", r.ID, err)
	}
	r.Created, r.Activated, r.Retired = sqldb.Time(created), sqldb.Time(activated), sqldb.Time(retired)
	return r, nil
}

// AddKey implements keys.Store: the unique indexes on next and active keys decide.
func (s *Store) AddKey(ctx context.Context, r keys.Record) error {
	if err := addKey(ctx, s.db, r); err != nil {
		return failed("storing a signing key", err)
	}
	return nil
}

func addKey(ctx context.Context, to sqldb.Querier, r keys.Record) error {
	_, err := to.Exec(ctx, `INSERT INTO signing_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		r.ID, string(r.Alg), string(r.Status), sealed(r.Sealed), sqldb.Micros(r.Created), sqldb.Micros(r.Activated), sqldb.Micros(r.Retired))
	return err
}

func sealed(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// errTaken rolls a transaction back that came too late.
var errTaken = errors.New("taken by somebody else")

// RotateKeys implements keys.Store: who retires the active key has the turn.
func (s *Store) RotateKeys(ctx context.Context, turns []keys.Turn, now time.Time) (bool, error) {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		for _, t := range turns {
			retired, err := tx.Exec(ctx, `UPDATE signing_keys SET status = 'retired', retired_at = $2 WHERE id = $1 AND status = 'active'`,
				t.From, sqldb.Micros(now))
			if err != nil {
				return err
			}
			activated, err := tx.Exec(ctx, `UPDATE signing_keys SET status = 'active', activated_at = $2 WHERE id = $1 AND status = 'next'`,
				t.To, sqldb.Micros(now))
			if err != nil {
				return err
			}
			if retired != 1 || activated != 1 {
				return errTaken
			}
		}
		for _, t := range turns {
			e := audit.Entry{Time: now, Action: "key.rotate", Target: t.To, Details: map[string]string{"alg": string(t.Alg), "retired": t.From}}
			if err := audit.Add(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errTaken) {
		return false, nil
	}
	if err != nil {
		return false, failed("rotating signing keys", err)
	}
	return true, nil
}

// RevokeKey implements keys.Store.
func (s *Store) RevokeKey(ctx context.Context, id string, spare keys.Record, now, until time.Time) error {
	ended := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE signing_keys SET status = 'revoked', sealed = '', retired_at = $2 WHERE id = $1 AND status <> 'revoked'`,
			id, sqldb.Micros(now))
		if ended = n == 1; err != nil || !ended {
			return err
		}
		if err := replaceKey(ctx, tx, spare, now); err != nil {
			return err
		}
		if err := addEntry(ctx, tx, revocation.Entry{Kind: revocation.Key, Value: id, Expires: until}, now); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: "key.revoke", Target: id, Details: map[string]string{"alg": string(spare.Alg)}})
	})
	if err != nil {
		return failed("revoking a signing key", err)
	}
	if ended {
		s.revoked(revocation.Key)
	}
	return nil
}

// replaceKey fills what a key of the spare's algorithm has left open: the next one becomes active, the spare what is
// missing then.
func replaceKey(ctx context.Context, tx sqldb.Tx, spare keys.Record, now time.Time) error {
	var n int64
	err := tx.QueryRow(ctx, `SELECT count(*) FROM signing_keys WHERE alg = $1 AND status = 'active'`, string(spare.Alg)).Scan(&n)
	if err != nil {
		return err
	}
	if n == 0 {
		n, err = tx.Exec(ctx, `UPDATE signing_keys SET status = 'active', activated_at = $2 WHERE alg = $1 AND status = 'next'`,
			string(spare.Alg), sqldb.Micros(now))
		if err != nil {
			return err
		}
	}
	if n == 0 {
		spare.Status, spare.Activated = keys.Active, now
	}
	return addKey(ctx, tx, spare)
}

// ResealKey implements keys.Store.
func (s *Store) ResealKey(ctx context.Context, id string, old, renewed []byte) error {
	_, err := s.db.Exec(ctx, `UPDATE signing_keys SET sealed = $3 WHERE id = $1 AND sealed = $2`, id, sealed(old), sealed(renewed))
	if err != nil {
		return failed("sealing a signing key anew", err)
	}
	return nil
}

// PurgeKeys implements keys.Store.
func (s *Store) PurgeKeys(ctx context.Context, before time.Time) error {
	_, err := s.db.Exec(ctx, `DELETE FROM signing_keys WHERE retired_at <> 0 AND retired_at < $1`, sqldb.Micros(before))
	if err != nil {
		return failed("purging signing keys", err)
	}
	return nil
}
