package customer

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

//go:embed schema/*.sql
var schema embed.FS

// sqlStore is a [Store] in a database.
type sqlStore struct {
	records
	// writer runs all transactions: most record who did something.
	writer *audit.Writer
}

func newSQLStore(db *sqldb.DB) *sqlStore { return &sqlStore{records{db}, audit.NewWriter(db)} }

// Tx implements [Store].
func (s *sqlStore) Tx(ctx context.Context, f func(Records) error) error {
	var refusal error
	err := s.writer.Tx(ctx, func(tx sqldb.Tx) error {
		refusal = f(records{tx})
		return refusal
	})
	if err == nil || err == refusal { //nolint:errorlint // the very error of f is passed on as it is
		return err
	}
	return failed("change customers", err)
}

// records is [Records] over a database or one of its transactions.
type records struct{ q sqldb.Querier }

// exec runs a statement for one row, and returns whether there was one.
func (r records) exec(ctx context.Context, doing, query string, args ...any) (bool, error) {
	n, err := r.q.Exec(ctx, query, args...)
	if err != nil {
		return false, failed(doing, err)
	}
	return n > 0, nil
}

// add runs an INSERT.
func (r records) add(ctx context.Context, doing, query string, args ...any) error {
	_, err := r.exec(ctx, doing, query, args...)
	return err
}

// replace runs an UPDATE that asks for the version before.
func (r records) replace(ctx context.Context, doing, query string, args ...any) error {
	changed, err := r.exec(ctx, doing, query, args...)
	if err == nil && !changed {
		return errStale
	}
	return err
}

// remove runs a DELETE by id.
func (r records) remove(ctx context.Context, doing, query string, args ...any) error {
	removed, err := r.exec(ctx, doing, query, args...)
	if err == nil && !removed {
		return errAbsent
	}
	return err
}

// one runs a query for one row. scan gets the Scan of the row.
func one[T any](ctx context.Context, r records, doing string, scan func(func(...any) error) (T, error), query string, args ...any) (T, error) {
	value, err := scan(r.q.QueryRow(ctx, query, args...).Scan)
	if errors.Is(err, sqldb.ErrNoRows) {
		return value, errAbsent
	}
	if err != nil {
		return value, failed(doing, err)
	}
	return value, nil
}

// all runs a query for any number of rows.
func all[T any](ctx context.Context, r records, doing string, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := r.q.Query(ctx, query, args...)
	if err != nil {
		return nil, failed(doing, err)
	}
	defer rows.Close()
	var values []T
	for rows.Next() {
		value, err := scan(rows.Scan)
		if err != nil {
			return nil, failed(doing, err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		return nil, failed(doing, err)
	}
	return values, nil
}

// stamp are the columns of a Record, in the order of its arguments and destinations.
const stamp = `version, create_time, created_by, update_time, updated_by`

func (r Record) args() []any {
	return []any{r.Version, sqldb.Micros(r.CreateTime), r.CreatedBy, sqldb.Micros(r.UpdateTime), r.UpdatedBy}
}

// changed are the columns version, update_time, updated_by.
func (r Record) changed() []any {
	return []any{r.Version, sqldb.Micros(r.UpdateTime), r.UpdatedBy}
}

func (r *Record) dest() []any {
	return []any{&r.Version, micros{&r.CreateTime}, &r.CreatedBy, micros{&r.UpdateTime}, &r.UpdatedBy}
}

// micros scans a time.
type micros struct{ to *time.Time }

// Scan implements [sql.Scanner].
func (m micros) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("time is a %T", value)
	}
	*m.to = sqldb.Time(n)
	return nil
}

// text scans a string that may be NULL, for "".
type text struct{ to *string }

// Scan implements [sql.Scanner].
func (t text) Scan(value any) error {
	var s sql.NullString
	if err := s.Scan(value); err != nil {
		return err
	}
	*t.to = s.String
	return nil
}

// orNull stores "" as NULL.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// placeholders returns "$from, $from+1, ..." for n parameters.
func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}

// failed returns what a refused statement means: one of the store's own errors, a status where the database cannot be
// reached, or else a fault.
func failed(doing string, err error) error {
	switch {
	case sqldb.IsUnique(err):
		return errDuplicate
	case sqldb.IsForeignKey(err):
		return errInUse
	case sqldb.IsUnavailable(err):
		return &down{fmt.Errorf("%s: %w", doing, err), "the customer database"}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
