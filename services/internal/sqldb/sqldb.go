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
	"errors"
	"fmt"
	"strings"
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
	// forWrite and forRead keep the statements of the two pools prepared.
	forWrite, forRead *statements
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
// The path of an SQLite file is taken as it stands, without escapes. A missing file is made, readable by this user alone;
// so is a missing schema. PostgreSQL takes the parameters of libpq, and pool_max_conns (default 16). Errors are one line
// that names the database, never its password.
func Open(ctx context.Context, url string) (*DB, error) {
	var (
		db  *DB
		err error
	)
	switch scheme, path, _ := strings.Cut(url, "://"); scheme {
	case "sqlite":
		db, err = openSQLite(ctx, path)
	case "postgres", "postgresql":
		db, err = openPostgres(ctx, url)
	default:
		// The URL itself may hold a password.
		err = errors.New("database URL must begin with sqlite:// or postgres://")
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
		return fmt.Errorf("reach database: %w", oneLine(err))
	}
	return nil
}

// Exec implements [Querier].
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	span := db.engine.system().span(ctx, query)
	n, err := db.exec(ctx, query, args)
	span.End(err)
	return n, err
}

func (db *DB) exec(ctx context.Context, query string, args []any) (int64, error) {
	if stmt := db.forWrite.prepare(ctx, query); stmt != nil {
		return affected(stmt.ExecContext(ctx, args...))
	}
	return affected(db.write.ExecContext(ctx, query, args...))
}

// Query implements [Querier].
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	span := db.engine.system().span(ctx, query)
	rows, err := db.query(ctx, query, args)
	span.End(err)
	return rows, err
}

func (db *DB) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	pool, statements := db.route(query)
	if stmt := statements.prepare(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return pool.QueryContext(ctx, query, args...)
}

// QueryRow implements [Querier].
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	span := db.engine.system().span(ctx, query)
	pool, statements := db.route(query)
	if stmt := statements.prepare(ctx, query); stmt != nil {
		return ended(span, stmt.QueryRowContext(ctx, args...))
	}
	return ended(span, pool.QueryRowContext(ctx, query, args...))
}

// route returns the connections that query has to run on. Wrongly taken for a read, a statement fails; it cannot write.
func (db *DB) route(query string) (*sql.DB, *statements) {
	if writes(query) {
		return db.write, db.forWrite
	}
	return db.read, db.forRead
}

// affected returns how many rows a statement changed.
func affected(result sql.Result, err error) (int64, error) {
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
