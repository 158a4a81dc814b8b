package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// claim records that the database is that of the service owner, or refuses when it is another's. The services number
// their migrations alike: without it a second one would take the tables of the first for its own.
func claim(ctx context.Context, db *DB, owner string) error {
	err := CheckOwner(ctx, db, owner)
	if !errors.Is(err, errUnclaimed) {
		return err
	}
	const table = `CREATE TABLE IF NOT EXISTS schema_owner (id BIGINT PRIMARY KEY CHECK (id = 1), owner TEXT NOT NULL)`
	// Two replicas may start together. PostgreSQL then lets one of them make the table and tells the other, in one of
	// several ways, that it could not; by then the table is there.
	_, failed := db.Exec(ctx, table)
	_, err = db.Exec(ctx, `INSERT INTO schema_owner (id, owner) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, owner)
	if missingTable(err) {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("record whose schema it is: %w", db.explained(err))
	}
	return CheckOwner(ctx, db, owner)
}

// errUnclaimed is a database that was never migrated.
var errUnclaimed = errors.New("it was never migrated")

// CheckOwner tells whether db was made by [Migrate] for the service owner. It writes nothing.
func CheckOwner(ctx context.Context, db *DB, owner string) error {
	var found string
	err := db.write.QueryRowContext(ctx, `SELECT owner FROM schema_owner`).Scan(&found)
	switch {
	case errors.Is(err, ErrNoRows) || missingTable(err):
		return errUnclaimed
	case err != nil:
		return fmt.Errorf("read whose schema it is: %w", db.explained(err))
	case found != owner:
		return fmt.Errorf("this %s belongs to the %s service; give %s one of its own%s", db.engine.unit(), found, owner, db.engine.ownHint(owner))
	}
	return nil
}

// missingTable tells whether err is a statement about a table that is not there.
func missingTable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "42P01"
	}
	// SQLite has no code for it.
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && strings.Contains(lite.Error(), "no such table")
}

// explained says what a role lacks where PostgreSQL refuses it: without rights in the schema, PostgreSQL behaves as if
// there was none.
func (db *DB) explained(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.Code != "42501" && pg.Code != "3F000" {
		return oneLine(err)
	}
	where := "the schema"
	if db.schema != "" {
		where = "the schema " + db.schema
	}
	return fmt.Errorf("the role of the URL lacks rights in %s (GRANT USAGE, CREATE ON SCHEMA, and the tables in it): %w", where, oneLine(err))
}
