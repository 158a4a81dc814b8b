package notification

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

//go:embed schema/*.sql
var schema embed.FS

// sqlStore is the [NoticeStore] and [DeliveryStore] of the service's database.
type sqlStore struct{ db *sqldb.DB }

const noticeColumns = `event_id, kind, time, location_id, location_name, alarm, mode, detail, actor_id, actor_name, traceparent, attempts`

func (s sqlStore) Position(ctx context.Context, stream string) (outbox.Position, error) {
	var p outbox.Position
	err := s.db.QueryRow(ctx, `SELECT epoch, sequence FROM stream_position WHERE stream = $1`, stream).
		Scan(&p.Epoch, &p.Sequence)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return outbox.Position{}, fmt.Errorf("read position in stream: %w", err)
	}
	return p, nil
}

func (s sqlStore) Take(ctx context.Context, stream string, to outbox.Position, notices []Notice, due time.Time) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		for _, n := range notices {
			_, err := tx.Exec(ctx, `
				INSERT INTO notice (event_id, kind, time, location_id, location_name, alarm, mode, detail, actor_id, actor_name,
					traceparent, settled, attempts, due_time)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, FALSE, 0, $12) ON CONFLICT (event_id) DO NOTHING`,
				n.EventID, n.Kind, sqldb.Micros(n.Time), n.LocationID, n.LocationName, n.Alarm, n.Mode, n.Detail,
				n.ActorID, n.ActorName, n.Traceparent, sqldb.Micros(due))
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO stream_position (stream, epoch, sequence) VALUES ($1, $2, $3)
			ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence
			WHERE (stream_position.epoch, stream_position.sequence) < (excluded.epoch, excluded.sequence)`,
			stream, to.Epoch, to.Sequence)
		return err
	})
	if err != nil {
		return fmt.Errorf("take events: %w", err)
	}
	return nil
}

// ClaimNotices and ClaimDeliveries are one conditional statement each. Of several replicas that select the same rows, the
// second finds them no longer due: the condition outside is decided on the row as it then is.
func (s sqlStore) ClaimNotices(ctx context.Context, now, until time.Time, n int) ([]Notice, error) {
	rows, err := s.db.Query(ctx, `
		UPDATE notice SET due_time = $1, attempts = attempts + 1
		WHERE event_id IN (SELECT event_id FROM notice WHERE NOT settled AND due_time <= $2 ORDER BY due_time LIMIT $3)
			AND NOT settled AND due_time <= $2
		RETURNING `+noticeColumns, sqldb.Micros(until), sqldb.Micros(now), n)
	if err != nil {
		return nil, fmt.Errorf("claim notices: %w", err)
	}
	defer rows.Close()
	var notices []Notice
	for rows.Next() {
		var (
			notice Notice
			micros int64
		)
		if err := rows.Scan(notice.fields(&micros)...); err != nil {
			return nil, fmt.Errorf("claim notices: %w", err)
		}
		notice.Time = sqldb.Time(micros)
		notices = append(notices, notice)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("claim notices: %w", err)
	}
	return notices, nil
}

// fields are where to scan noticeColumns to.
func (n *Notice) fields(micros *int64) []any {
	return []any{&n.EventID, &n.Kind, micros, &n.LocationID, &n.LocationName, &n.Alarm, &n.Mode, &n.Detail,
		&n.ActorID, &n.ActorName, &n.Traceparent, &n.Attempts}
}

func (s sqlStore) Settle(ctx context.Context, eventID string, deliveries []Delivery) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		for _, d := range deliveries {
			_, err := tx.Exec(ctx, `
				INSERT INTO delivery (id, event_id, user_id, channel, name, address, subject, state, attempts, due_time,
					create_time, sent_time, failure)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, 0, '') ON CONFLICT (event_id, user_id, channel) DO NOTHING`,
				d.ID, eventID, d.UserID, d.Channel, d.Name, d.Address, d.Subject, Pending, sqldb.Micros(d.CreateTime),
				sqldb.Micros(d.CreateTime))
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE notice SET settled = TRUE WHERE event_id = $1`, eventID)
		return err
	})
	if err != nil {
		return fmt.Errorf("settle notice: %w", err)
	}
	return nil
}

func (s sqlStore) PostponeNotice(ctx context.Context, eventID string, due time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE notice SET due_time = $1 WHERE event_id = $2 AND NOT settled`, sqldb.Micros(due), eventID)
	if err != nil {
		return fmt.Errorf("postpone notice: %w", err)
	}
	return nil
}

func (s sqlStore) Purge(ctx context.Context, before time.Time, n int) (int64, error) {
	deleted, err := s.db.Exec(ctx, `
		DELETE FROM notice WHERE event_id IN (
			SELECT event_id FROM notice WHERE time < $1 AND settled
				AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event_id = notice.event_id AND state = $2)
			ORDER BY time LIMIT $3)`, sqldb.Micros(before), Pending, n)
	if err != nil {
		return 0, fmt.Errorf("purge notices: %w", err)
	}
	return deleted, nil
}
