package sqldb

import (
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// engine is what differs between the two databases once they are open.
type engine interface {
	system() system
	dialect() goose.Dialect
	txOptions() *sql.TxOptions
	// retryable tells whether a transaction that failed with err may succeed when it is run again.
	retryable(err error) bool
	// unit is what one service has for itself, and ownHint how its URL names it.
	unit() string
	ownHint(service string) string
}

type sqliteEngine struct{}

func (sqliteEngine) system() system { return "sqlite" }

func (sqliteEngine) dialect() goose.Dialect { return goose.DialectSQLite3 }

// Transactions of SQLite are serializable anyway: there is one writer.
func (sqliteEngine) txOptions() *sql.TxOptions { return nil }

func (sqliteEngine) retryable(err error) bool {
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && lite.Code()&0xff == sqlite3.SQLITE_BUSY
}

func (sqliteEngine) unit() string { return "file" }

func (sqliteEngine) ownHint(string) string { return "" }

type postgresEngine struct{}

func (postgresEngine) system() system { return "postgresql" }

func (postgresEngine) dialect() goose.Dialect { return goose.DialectPostgres }

func (postgresEngine) txOptions() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelSerializable}
}

// retryable knows serialization_failure and deadlock_detected.
func (postgresEngine) retryable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}

func (postgresEngine) unit() string { return "schema" }

func (postgresEngine) ownHint(service string) string { return ": ?schema=" + service }
