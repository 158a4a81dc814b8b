package notification

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

const deliveryColumns = `id, event_id, user_id, channel, name, address, subject, state, attempts, create_time, sent_time`

func (s sqlStore) ClaimDeliveries(ctx context.Context, now, until time.Time, n int) ([]Claim, error) {
	deliveries, err := s.deliveries(ctx, `
		UPDATE delivery SET due_time = $1, attempts = attempts + 1
		WHERE id IN (SELECT id FROM delivery WHERE state = 'PENDING' AND due_time <= $2 ORDER BY due_time LIMIT $3)
			AND state = 'PENDING' AND due_time <= $2
		RETURNING `+deliveryColumns, sqldb.Micros(until), sqldb.Micros(now), n)
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	claims := make([]Claim, 0, len(deliveries))
	for _, d := range deliveries {
		notice, err := s.notice(ctx, d.EventID)
		if err != nil {
			return nil, err
		}
		claims = append(claims, Claim{Delivery: d, Notice: notice})
	}
	return claims, nil
}

func (s sqlStore) notice(ctx context.Context, eventID string) (Notice, error) {
	var (
		n      Notice
		micros int64
	)
	err := s.db.QueryRow(ctx, `SELECT `+noticeColumns+` FROM notice WHERE event_id = $1`, eventID).Scan(n.fields(&micros)...)
	if err != nil {
		return Notice{}, fmt.Errorf("read notice: %w", err)
	}
	n.Time = sqldb.Time(micros)
	return n, nil
}

func (s sqlStore) Finish(ctx context.Context, id string, state State, at time.Time, failure string) error {
	var sent int64
	if state == Sent {
		sent = sqldb.Micros(at)
	}
	_, err := s.db.Exec(ctx, `
		UPDATE delivery SET state = $1, sent_time = $2, failure = $3 WHERE id = $4 AND state = 'PENDING'`,
		state, sent, failure, id)
	if err != nil {
		return fmt.Errorf("finish delivery: %w", err)
	}
	return nil
}

func (s sqlStore) PostponeDelivery(ctx context.Context, id string, due time.Time, failure string) error {
	_, err := s.db.Exec(ctx, `
		UPDATE delivery SET due_time = $1, failure = $2 WHERE id = $3 AND state = 'PENDING'`,
		sqldb.Micros(due), failure, id)
	if err != nil {
		return fmt.Errorf("postpone delivery: %w", err)
	}
	return nil
}

func (s sqlStore) DeliveriesTo(ctx context.Context, userID, before string, n int) ([]Delivery, error) {
	query, args := `SELECT `+deliveryColumns+` FROM delivery WHERE user_id = $1`, []any{userID, n}
	if before != "" {
		query, args = query+` AND id < $3`, append(args, before)
	}
	deliveries, err := s.deliveries(ctx, query+` ORDER BY id DESC LIMIT $2`, args...)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return deliveries, nil
}

func (s sqlStore) deliveries(ctx context.Context, query string, args ...any) (list []Delivery, err error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			d             Delivery
			created, sent int64
		)
		if err := rows.Scan(&d.ID, &d.EventID, &d.UserID, &d.Channel, &d.Name, &d.Address, &d.Subject, &d.State, &d.Attempts,
			&created, &sent); err != nil {
			return nil, err
		}
		d.CreateTime, d.SentTime = sqldb.Time(created), sqldb.Time(sent)
		list = append(list, d)
	}
	return list, rows.Err()
}
