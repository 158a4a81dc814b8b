package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxAttempts bounds how often a transaction that lost a race starts over.
const maxAttempts = 12

// Tx is a running transaction. It is used by one goroutine, inside the function it was given to.
type Tx struct {
	tx   *sql.Tx
	kept *statements
	// missed are texts to prepare after the transaction: on SQLite it holds the one connection that could do so now.
	missed *[]string
	system system
}

// Tx runs f in a transaction that is serializable on both engines: it behaves as if no other ran meanwhile. It commits
// when f returns nil and rolls back otherwise.
//
// A transaction that lost a race is run again, so f may run several times and must change nothing but the database;
// results that it leaves in variables are those of the last run. f uses tx alone: on SQLite a write through the DB from
// within f would wait for f itself.
func (db *DB) Tx(ctx context.Context, f func(tx Tx) error) error {
	span := db.engine.system().transaction(ctx)
	err := db.run(ctx, f)
	span.End(err)
	return err
}

func (db *DB) run(ctx context.Context, f func(tx Tx) error) error {
	err := db.attempt(ctx, f)
	if err == nil || !db.engine.retryable(err) {
		return err
	}
	// Transactions that lost run again one by one: they would otherwise go on failing each other for as long as a hot
	// row has many writers.
	select {
	case db.retries <- struct{}{}:
		defer func() { <-db.retries }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for n := range maxAttempts {
		if err = db.attempt(ctx, f); err == nil || !db.engine.retryable(err) {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errContended, err)
}

func (db *DB) attempt(ctx context.Context, f func(Tx) error) error {
	tx, err := db.write.BeginTx(ctx, db.engine.txOptions())
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer func() {
		// After a commit this does nothing; after an error, or a panic in f, it undoes all.
		_ = tx.Rollback()
	}()
	var missed []string
	if err := f(Tx{tx, db.forWrite, &missed, db.engine.system()}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	for _, query := range missed {
		db.forWrite.prepare(ctx, query)
	}
	return nil
}

// pause waits 1 to 2 ms after the first attempt and twice as long after each further one, at most a quarter second.
func pause(ctx context.Context, attempt int) error {
	limit := min(time.Millisecond<<attempt, 125*time.Millisecond)
	timer := time.NewTimer(limit + rand.N(limit))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Exec implements [Querier].
func (t Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	span := t.system.span(ctx, query)
	n, err := t.exec(ctx, query, args)
	span.End(err)
	return n, err
}

func (t Tx) exec(ctx context.Context, query string, args []any) (int64, error) {
	if stmt := t.prepared(ctx, query); stmt != nil {
		return affected(stmt.ExecContext(ctx, args...))
	}
	return affected(t.tx.ExecContext(ctx, query, args...))
}

// Query implements [Querier]. Its statement is not a kept one: the same text may run again while these rows are open.
func (t Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	span := t.system.span(ctx, query)
	rows, err := t.tx.QueryContext(ctx, query, args...)
	span.End(err)
	return rows, err
}

// QueryRow implements [Querier].
func (t Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	span := t.system.span(ctx, query)
	if stmt := t.prepared(ctx, query); stmt != nil {
		return ended(span, stmt.QueryRowContext(ctx, args...))
	}
	return ended(span, t.tx.QueryRowContext(ctx, query, args...))
}

// prepared returns the kept statement of that text for this transaction, or nil.
func (t Tx) prepared(ctx context.Context, query string) *sql.Stmt {
	stmt := t.kept.kept(query)
	if stmt == nil {
		if t.kept != nil {
			*t.missed = append(*t.missed, query)
		}
		return nil
	}
	return t.tx.StmtContext(ctx, stmt)
}

// errContended is what a transaction fails with that lost every race it was in.
var errContended = errors.New("the database is too busy")
