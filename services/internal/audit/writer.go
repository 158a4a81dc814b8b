package audit

import (
	"context"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Writer runs those transactions of a process that add entries, one after the other. Of two at once that number an entry
// PostgreSQL undoes one, and many at once would undo each other until some gave up. Those of another process still can,
// and are run again, as any transaction is.
type Writer struct {
	db   *sqldb.DB
	turn chan struct{}
}

// NewWriter returns the writer of a process for a database.
func NewWriter(db *sqldb.DB) *Writer { return &Writer{db, make(chan struct{}, 1)} }

// Tx is that of the database, when it is its turn. What adds no entry need not wait for one.
func (w *Writer) Tx(ctx context.Context, f func(tx sqldb.Tx) error) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.turn }()
	return w.db.Tx(ctx, f)
}
