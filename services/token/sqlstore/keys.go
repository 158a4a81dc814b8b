package sqlstore

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/keys"
)

// Keys implements keys.Store.
func (s *Store) Keys(ctx context.Context) ([]keys.Record, error) {
	rows, err := s.db.Query(ctx, `SELECT id, alg, status, sealed, created_at FROM signing_keys ORDER BY created_at, id`)
	if err != nil {
		return nil, failed("reading the signing keys", err)
	}
	defer rows.Close()
	var records []keys.Record
	for rows.Next() {
		var r keys.Record
		var sealed string
		var created int64
		if err := rows.Scan(&r.ID, &r.Alg, &r.Status, &sealed, &created); err != nil {
			return nil, failed("reading the signing keys", err)
		}
		if r.Sealed, err = base64.StdEncoding.DecodeString(sealed); err != nil {
			return nil, fmt.Errorf("reading signing key %s: %w", r.ID, err)
		}
		r.Created = sqldb.Time(created)
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("reading the signing keys", err)
	}
	return records, nil
}

// AddKey implements keys.Store: the unique index on active keys decides.
func (s *Store) AddKey(ctx context.Context, r keys.Record) error {
	_, err := s.db.Exec(ctx, `INSERT INTO signing_keys (id, alg, status, sealed, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`,
		r.ID, string(r.Alg), string(r.Status), base64.StdEncoding.EncodeToString(r.Sealed), sqldb.Micros(r.Created))
	if err != nil {
		return failed("storing a signing key", err)
	}
	return nil
}
