// Package sqlstore keeps in SQL what must not be lost: accounts, login sessions, clients, grants, consents, signing keys
// and the revocation log. What may be lost with Redis is in redisstore; what any of it means is decided elsewhere.
//
// Every method is atomic, and durable when it returns. A database that cannot be reached is oauth.ErrUnavailable.
package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/revocation"
)

//go:embed schema/*.sql
var schema embed.FS

// Store is safe for concurrent use.
type Store struct {
	db *sqldb.DB
	// revoked is called after a revocation was committed.
	revoked func(revocation.Kind)
	// together is for revocations that are not part of another change.
	together *together
}

// New returns a Store on a migrated database. revoked is called after every committed revocation and must not block.
func New(db *sqldb.DB, revoked func(revocation.Kind)) *Store {
	return &Store{db: db, revoked: revoked, together: newTogether()}
}

// Migrate brings the database to today's schema.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := sqldb.Migrate(ctx, db, "token", schema); err != nil {
		return fmt.Errorf("migrating the token database: %w", err)
	}
	_, err := db.Exec(ctx, `INSERT INTO revocation_head (id, epoch, head) VALUES (1, $1, 0) ON CONFLICT (id) DO NOTHING`, rand.Text())
	if err != nil {
		return fmt.Errorf("starting the revocation log: %w", err)
	}
	return audit.Migrate(ctx, db)
}

// Purge forgets what expired before a time.
func (s *Store) Purge(ctx context.Context, before time.Time) error {
	for _, expired := range []string{
		`DELETE FROM revocations WHERE expires_at < $1`,
		`DELETE FROM grants WHERE expires_at < $1`,
		`DELETE FROM tickets WHERE expires_at < $1`,
		// Grants outlive the login that they were given in, and ask whether it was ended.
		`DELETE FROM sessions WHERE expires_at < $1 AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.session_id = sessions.id)`,
	} {
		if _, err := s.db.Exec(ctx, expired, sqldb.Micros(before)); err != nil {
			return failed("purging", err)
		}
	}
	_, err := s.db.Exec(ctx, `DELETE FROM letters WHERE given_up AND created_at < $1`, sqldb.Micros(before.Add(-keepLetters)))
	if err != nil {
		return failed("purging", err)
	}
	_, err = s.db.Exec(ctx, `DELETE FROM session_clients WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = session_clients.session_id)`)
	if err != nil {
		return failed("purging", err)
	}
	return nil
}

// keepLetters is for how long operators can see which letters were given up.
const keepLetters = 14 * 24 * time.Hour

// failed wraps what a statement failed with.
func failed(doing string, err error) error {
	if sqldb.IsUnavailable(err) {
		return fmt.Errorf("%s: %w: %w", doing, oauth.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Record writes an entry about something that changed nothing here.
func (s *Store) Record(ctx context.Context, e audit.Entry) error {
	if err := audit.AddAll(ctx, s.db, []audit.Entry{e}); err != nil {
		return failed("recording", err)
	}
	return nil
}

// person is the actor of what is not an RPC, whose caller is: somebody in a browser.
func person(ctx context.Context, user string) string {
	if _, called := mesh.FromContext(ctx); called {
		return ""
	}
	return user
}

// storable tells whether a column can have this value. PostgreSQL refuses to be asked for any other; nothing has it.
func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func join(list []string) string { return strings.Join(list, " ") }

func split(list string) []string { return strings.Fields(list) }

// scanner is a row, or rows.
type scanner interface{ Scan(...any) error }

// rowsOf reads all rows of a query, one by one with read: rowsOf(read)(db.Query(...)).
func rowsOf[T any](read func(scanner) (T, error)) func(*sql.Rows, error) ([]T, error) {
	return func(rows *sql.Rows, err error) ([]T, error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var all []T
		for rows.Next() {
			one, err := read(rows)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		return all, rows.Err()
	}
}
