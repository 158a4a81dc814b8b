package securitysystem

import (
	"context"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

func (s sqlStore) SystemOf(ctx context.Context, clientID string) (System, error) {
	return one(s.db.QueryRow(ctx, `SELECT `+systemColumns+` FROM security_system WHERE panel_client_id = $1`, clientID))
}

func (s sqlStore) Acted(ctx context.Context, clientID, reportID string) (bool, error) {
	return exists(s.db.QueryRow(ctx, `
		SELECT 1 FROM security_system_event WHERE actor_id = $1 AND report_id = $2 AND report_id <> ''`, clientID, reportID))
}

func (s sqlStore) Retire(ctx context.Context, clientID string, due time.Time) error {
	return retire(ctx, s.db, clientID, due)
}

func (s sqlStore) Retired(ctx context.Context, due time.Time, n int) ([]RetiredPanel, error) {
	rows, err := s.db.Query(ctx, `
		SELECT client_id, attempts FROM retired_panel WHERE due_time <= $1 ORDER BY due_time LIMIT $2`, sqldb.Micros(due), n)
	if err != nil {
		return nil, fmt.Errorf("list retired panels: %w", err)
	}
	defer rows.Close()
	var panels []RetiredPanel
	for rows.Next() {
		var p RetiredPanel
		if err := rows.Scan(&p.ClientID, &p.Attempts); err != nil {
			return nil, fmt.Errorf("list retired panels: %w", err)
		}
		panels = append(panels, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list retired panels: %w", err)
	}
	return panels, nil
}

func (s sqlStore) Ended(ctx context.Context, clientID string) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM retired_panel WHERE client_id = $1`, clientID); err != nil {
		return fmt.Errorf("forget retired panel: %w", err)
	}
	return nil
}

func (s sqlStore) Postpone(ctx context.Context, clientID string, due time.Time) error {
	_, err := s.db.Exec(ctx, `
		UPDATE retired_panel SET due_time = $1, attempts = attempts + 1 WHERE client_id = $2`, sqldb.Micros(due), clientID)
	if err != nil {
		return fmt.Errorf("postpone retired panel: %w", err)
	}
	return nil
}
