// Package sqldb runs one SQL text on SQLite and on PostgreSQL: it opens the database a URL names, migrates it, runs
// statements and transactions, and classifies their errors. It is the only package that knows there are two engines.
//
// What to store, and in which words to ask for it, is left to the services. Their SQL keeps to what both engines share:
// $1 parameters, TEXT, BIGINT and BOOLEAN columns, RETURNING, ON CONFLICT, row values; times are BIGINT microseconds
// (see [Micros]).
package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"time"
)

// ErrNoRows is what Scan of a row returns when the statement selected none.
var ErrNoRows = sql.ErrNoRows

// Querier runs statements; a [DB] each on its own, a [Tx] all of them or none.
type Querier interface {
	// Exec runs a statement and returns how many rows it inserted, updated or deleted.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Query runs a statement that returns rows. The caller closes them.
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRow runs a statement of which the first row matters. Its Scan returns [ErrNoRows] when there is none.
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is a database of one service. It is safe for concurrent use.
type DB struct {
	engine engine
	// write runs everything that may change something.
	write *sql.DB
	// read runs queries outside of transactions. On PostgreSQL it is write; on SQLite it is a pool of connections that
	// cannot write, so that readers never wait for the one writer.
	read *sql.DB
	// schema is the PostgreSQL schema the URL named, or "".
	schema string
	// retries admits one retrying transaction at a time: see Tx.
	retries chan struct{}
}

// Open opens the database that url names, and makes sure that it answers:
//
//	sqlite:///absolute/path/file.db
//	postgres://user:password@host:5432/database?schema=customer
//
// A missing SQLite file is made, readable by this user alone; so is a missing schema. PostgreSQL takes the parameters of
// libpq, and pool_max_conns (default 16). Errors are one line that names the database, never its password.
func Open(ctx context.Context, rawURL string) (*DB, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's error would repeat the URL, with its password.
		return nil, fmt.Errorf("database URL is malformed")
	}
	var db *DB
	switch u.Scheme {
	case "sqlite":
		db, err = openSQLite(ctx, u)
	case "postgres", "postgresql":
		db, err = openPostgres(ctx, u)
	default:
		return nil, fmt.Errorf("database URL has scheme %q, want sqlite or postgres", u.Scheme)
	}
	if err != nil {
		return nil, err
	}
	db.retries = make(chan struct{}, 1)
	return db, nil
}

// Close waits for running statements and closes all connections.
func (db *DB) Close() error {
	err := db.write.Close()
	if db.read != db.write {
		if readErr := db.read.Close(); err == nil {
			err = readErr
		}
	}
	return err
}

// Ping tells whether the database answers now.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.read.PingContext(ctx); err != nil {
		return fmt.Errorf("reach database: %w", err)
	}
	return nil
}

// Exec implements [Querier].
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return exec(ctx, db.write, query, args)
}

// Query implements [Querier].
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return db.pool(query).QueryContext(ctx, query, args...)
}

// QueryRow implements [Querier].
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return db.pool(query).QueryRowContext(ctx, query, args...)
}

// pool returns the connections that query has to run on. Wrongly taken for a read, a statement fails; it cannot write.
func (db *DB) pool(query string) *sql.DB {
	if writes(query) {
		return db.write
	}
	return db.read
}

// execer is what sql.DB and sql.Tx share.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func exec(ctx context.Context, e execer, query string, args []any) (int64, error) {
	result, err := e.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Micros is how a time is stored: microseconds since 1970 in UTC. The zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the inverse of [Micros].
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
