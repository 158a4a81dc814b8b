package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsUnique tells whether err is a refused duplicate: of any unique constraint, or of one of those named. A constraint
// has the name that PostgreSQL gives it unless told otherwise, on both engines: table_column_column_key, or table_pkey.
// Partial unique indexes are to be named in the same way.
func IsUnique(err error, constraints ...string) bool {
	name, ok := violatedUnique(err)
	return ok && (len(constraints) == 0 || slices.Contains(constraints, name))
}

// IsForeignKey tells whether err is a refused reference: to a row that is not there, or from one that still is.
func IsForeignKey(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "23503"
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && lite.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}

// IsUnavailable tells whether err means that the database cannot be reached or cannot work now, so that trying again
// later may help.
func IsUnavailable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !isConnect(err) {
		return false
	}
	if errors.Is(err, errContended) || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Connection exceptions, lack of resources, shut down or starting up.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P")
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
			return true
		}
		return false
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok || isConnect(err)
}

// isConnect tells whether err is about making a connection, which has a time limit of its own.
func isConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// violatedUnique returns the name of the unique constraint that err is about.
func violatedUnique(err error) (string, bool) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.ConstraintName, pg.Code == "23505"
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return "", false
	}
	switch lite.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		table, _, _ := strings.Cut(sqliteSubject(lite), ".")
		return table + "_pkey", true
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return uniqueName(sqliteSubject(lite)), true
	}
	return "", false
}

// sqliteSubject reads the only place where SQLite says which constraint it was, the text
// "constraint failed: UNIQUE constraint failed: locations.customer_id, locations.name (2067)".
func sqliteSubject(err *sqlite.Error) string {
	const before = "constraint failed: "
	text := err.Error()
	if i := strings.LastIndex(text, before); i >= 0 {
		text = text[i+len(before):]
	}
	subject, _, _ := strings.Cut(text, " (")
	return subject
}

// uniqueName turns what SQLite says, "index 'name'" for an index over expressions and else the columns, into the name.
func uniqueName(subject string) string {
	if name, ok := strings.CutPrefix(subject, "index '"); ok {
		return strings.TrimSuffix(name, "'")
	}
	var parts []string
	for column := range strings.SplitSeq(subject, ", ") {
		table, name, _ := strings.Cut(column, ".")
		if parts == nil {
			parts = append(parts, table)
		}
		parts = append(parts, name)
	}
	return strings.Join(append(parts, "key"), "_")
}

// lineError is an error whose text is one line.
type lineError struct{ error }

func (e lineError) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e lineError) Unwrap() error { return e.error }

func oneLine(err error) error { return lineError{err} }
