package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// errLeaseLost ends the work of a relay that was slower than its lease: another one has taken over.
var errLeaseLost = errors.New("another relay took over")

// lease is the right to publish for a while, and where the stream ended when it was taken.
type lease struct {
	holder string
	until  time.Time
	last   Position
}

// ledger is what a relay asks of the database.
type ledger struct{ db *sqldb.DB }

// pending tells whether anything waits to be published. It is one look at an index, and writes nothing.
func (l ledger) pending(ctx context.Context) (bool, error) {
	var n int
	err := l.db.QueryRow(ctx, `SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT 1`).Scan(&n)
	if errors.Is(err, sqldb.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for unpublished events: %w", err)
	}
	return true, nil
}

// acquire takes or renews the lease for holder. It reports false while another relay has it.
func (l ledger) acquire(ctx context.Context, holder string, now, until time.Time) (lease, bool, error) {
	got := lease{holder: holder, until: until}
	err := l.db.QueryRow(ctx, `
		UPDATE outbox_relay SET holder = $1, lease_until = $2
		WHERE id = 1 AND (holder = $1 OR lease_until <= $3)
		RETURNING epoch, sequence`,
		holder, sqldb.Micros(until), sqldb.Micros(now)).Scan(&got.last.Epoch, &got.last.Sequence)
	if errors.Is(err, sqldb.ErrNoRows) {
		return lease{}, false, nil
	}
	if err != nil {
		return lease{}, false, fmt.Errorf("take the relay's lease: %w", err)
	}
	return got, true, nil
}

// release lets other relays publish at once, where holder has the lease.
func (l ledger) release(ctx context.Context, holder string) error {
	_, err := l.db.Exec(ctx, `UPDATE outbox_relay SET lease_until = 0 WHERE id = 1 AND holder = $1`, holder)
	if err != nil {
		return fmt.Errorf("release the relay's lease: %w", err)
	}
	return nil
}

// unpublished returns the first n events to publish. Ordered by version, they hold with every event all earlier ones of its
// subject that are committed but not published, whatever the replicas' clocks say. An earlier one that is not committed
// cannot be missing: the subject's versions are decided one transaction after the other.
func (l ledger) unpublished(ctx context.Context, n int) ([]placed, error) {
	return l.read(ctx, "read unpublished events", `WHERE published_at IS NULL ORDER BY version, id LIMIT $1`, n)
}

// publishedAfter returns the first n published events after a position in the stream.
func (l ledger) publishedAfter(ctx context.Context, p Position, n int) ([]placed, error) {
	return l.read(ctx, "read published events",
		`WHERE published_at IS NOT NULL AND (epoch, sequence) > ($1, $2) ORDER BY epoch, sequence LIMIT $3`,
		p.Epoch, p.Sequence, n)
}

// placed is an event and where it stands in the stream, or stood there before it was lost. Zero: nowhere yet.
type placed struct {
	Event
	at Position
}

func (l ledger) read(ctx context.Context, doing, which string, args ...any) ([]placed, error) {
	rows, err := l.db.Query(ctx, `SELECT id, type, subject, version, time, data, traceparent, epoch, sequence FROM outbox `+which, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer rows.Close()
	var events []placed
	for rows.Next() {
		var (
			e      placed
			micros int64
			data   string
		)
		err := rows.Scan(&e.ID, &e.Type, &e.Subject, &e.Version, &micros, &data, &e.Traceparent, &e.at.Epoch, &e.at.Sequence)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		e.Time, e.Data = sqldb.Time(micros), json.RawMessage(data)
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return events, nil
}

// settle records that the events with these ids stand in the stream one after the other, the last one at last. It changes
// nothing and returns errLeaseLost when another relay has published meanwhile.
func (l ledger) settle(ctx context.Context, held lease, last Position, ids []string, now time.Time) error {
	err := l.db.Tx(ctx, func(tx sqldb.Tx) error {
		if err := move(ctx, tx, held, last); err != nil || len(ids) == 0 {
			return err
		}
		args := []any{sqldb.Micros(now), last.Epoch, last.Sequence - int64(len(ids))}
		var order strings.Builder
		for i, id := range ids {
			args = append(args, id)
			fmt.Fprintf(&order, " WHEN $%d THEN %d", len(args), i+1)
		}
		_, err := tx.Exec(ctx, `
			UPDATE outbox SET published_at = $1, epoch = $2, sequence = CAST($3 AS BIGINT) + CASE id`+order.String()+` END
			WHERE id IN (`+placeholders(4, len(ids))+`)`, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark events as published: %w", err)
	}
	return nil
}

// move advances the stream's end from where the holder of the lease found it.
func move(ctx context.Context, tx sqldb.Tx, held lease, last Position) error {
	n, err := tx.Exec(ctx, `
		UPDATE outbox_relay SET epoch = $1, sequence = $2
		WHERE id = 1 AND holder = $3 AND epoch = $4 AND sequence = $5`,
		last.Epoch, last.Sequence, held.holder, held.last.Epoch, held.last.Sequence)
	if err == nil && n == 0 {
		return errLeaseLost
	}
	return err
}

// known counts how many of these events are in the outbox.
func (l ledger) known(ctx context.Context, ids []string) (int, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	var n int
	err := l.db.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE id IN (`+placeholders(1, len(ids))+`)`, args...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("look up published events: %w", err)
	}
	return n, nil
}

// purge deletes at most n events that were published before a time, and returns how many it deleted.
func (l ledger) purge(ctx context.Context, before time.Time, n int) (int64, error) {
	deleted, err := l.db.Exec(ctx, `
		DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE published_at < $1 ORDER BY published_at LIMIT $2)`,
		sqldb.Micros(before), n)
	if err != nil {
		return 0, fmt.Errorf("purge published events: %w", err)
	}
	return deleted, nil
}

// placeholders returns "$first, ..." for n parameters.
func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String()
}
