package securitysystem

import (
	"context"
	"fmt"
	"math"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

const eventColumns = `system_id, version, id, type, time, actor_id, actor_name, actor_client_id, state, mode, alarm, faults,
	detail, report_id`

func insertEvent(ctx context.Context, tx sqldb.Tx, e Event) error {
	_, err := tx.Exec(ctx, `INSERT INTO security_system_event (`+eventColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		e.SystemID, e.Version, e.ID, e.Type, sqldb.Micros(e.Time), e.Actor.ID, e.Actor.Name, e.Actor.ClientID,
		e.State, e.Mode, e.Alarm, joinFaults(e.Faults), e.Detail, e.ReportID)
	if err != nil {
		return fmt.Errorf("store event: %w", err)
	}
	return nil
}

func (s sqlStore) Events(ctx context.Context, systemID string, before int64, n int) ([]Event, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	rows, err := s.db.Query(ctx, `SELECT `+eventColumns+` FROM security_system_event
		WHERE system_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3`, systemID, before, n)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	defer rows.Close()
	var events []Event
	for rows.Next() {
		var (
			e      Event
			micros int64
			faults string
		)
		if err := rows.Scan(&e.SystemID, &e.Version, &e.ID, &e.Type, &micros, &e.Actor.ID, &e.Actor.Name, &e.Actor.ClientID,
			&e.State, &e.Mode, &e.Alarm, &faults, &e.Detail, &e.ReportID); err != nil {
			return nil, fmt.Errorf("list events: %w", err)
		}
		e.Time, e.Faults = sqldb.Time(micros), splitFaults(faults)
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return events, nil
}
