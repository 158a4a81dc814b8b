package token_test

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token"
)

// keyring is the signing keys of this test process: making an RSA key takes longer than most tests.
type keyring struct {
	once sync.Once
	rows [][]any
}

// lend stores the keys in a database that has none.
func (k *keyring) lend(t *testing.T, db *sqldb.DB) {
	t.Helper()
	k.once.Do(func() { k.make(t) })
	err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
		for _, row := range k.rows {
			if _, err := tx.Exec(t.Context(), `INSERT INTO signing_keys (id, alg, status, sealed, created_at, activated_at) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT DO NOTHING`, row...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (k *keyring) make(t *testing.T) {
	t.Helper()
	s := &server{t: t, url: "http://localhost", db: databases.SQLite(t), clock: &clock{}, logs: &logs{},
		redis: redis.NewClient(&redis.Options{Addr: "localhost:1"})}
	defer s.redis.Close()
	if err := token.Migrate(t.Context(), s.db); err != nil {
		t.Fatal(err)
	}
	if _, err := token.New(s.config()); err != nil {
		t.Fatal(err)
	}
	rows, err := s.db.Query(t.Context(), `SELECT id, alg, status, sealed, created_at, activated_at FROM signing_keys`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, alg, status, sealed string
		var created, activated int64
		if err := rows.Scan(&id, &alg, &status, &sealed, &created, &activated); err != nil {
			t.Fatal(err)
		}
		k.rows = append(k.rows, []any{id, alg, status, sealed, created, activated})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
