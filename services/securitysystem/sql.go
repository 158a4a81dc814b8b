package securitysystem

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

//go:embed schema/*.sql
var schema embed.FS

// sqlStore is the [SystemStore], [PlaceStore] and [PanelStore] of the service's database.
type sqlStore struct {
	db    *sqldb.DB
	deeds *audit.Writer
}

func newSQLStore(db *sqldb.DB) sqlStore { return sqlStore{db, audit.NewWriter(db)} }

// tx makes a change, in turn where it is recorded who did it.
func (s sqlStore) tx(ctx context.Context, c Change, f func(tx sqldb.Tx) error) error {
	if _, deed := deeds[c.Event.Type]; deed {
		return s.deeds.Tx(ctx, f)
	}
	return s.db.Tx(ctx, f)
}

const systemColumns = `id, customer_id, location_id, location_name, state, mode, alarm, acknowledged, faults,
	panel_client_id, version, create_time, update_time, updated_by_id, updated_by_name, updated_by_client_id`

func (s sqlStore) Create(ctx context.Context, c Change) error {
	err := s.tx(ctx, c, func(tx sqldb.Tx) error {
		a := c.After
		if err := release(ctx, tx, a.LocationID, a.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO security_system (`+systemColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
			a.ID, a.CustomerID, a.LocationID, a.LocationName, a.State, a.Mode, a.Alarm, a.Acknowledged, joinFaults(a.Faults),
			orNull(a.PanelClientID), a.Version, sqldb.Micros(a.CreateTime), sqldb.Micros(a.UpdateTime),
			a.UpdatedBy.ID, a.UpdatedBy.Name, a.UpdatedBy.ClientID)
		if err != nil {
			return err
		}
		return record(ctx, tx, c)
	})
	if sqldb.IsUnique(err, "security_system_location_id_key") {
		return errOccupied
	}
	if err != nil {
		return fmt.Errorf("store security system: %w", err)
	}
	return nil
}

func (s sqlStore) Get(ctx context.Context, id string) (System, error) {
	return one(s.db.QueryRow(ctx, `SELECT `+systemColumns+` FROM security_system WHERE id = $1`, id))
}

func (s sqlStore) Apply(ctx context.Context, c Change) error {
	err := s.tx(ctx, c, func(tx sqldb.Tx) error {
		a := c.After
		n, err := tx.Exec(ctx, `
			UPDATE security_system SET state = $1, mode = $2, alarm = $3, acknowledged = $4, faults = $5, panel_client_id = $6,
				version = $7, update_time = $8, updated_by_id = $9, updated_by_name = $10, updated_by_client_id = $11
			WHERE id = $12 AND version = $13 AND state = $14`,
			a.State, a.Mode, a.Alarm, a.Acknowledged, joinFaults(a.Faults), orNull(a.PanelClientID),
			a.Version, sqldb.Micros(a.UpdateTime), a.UpdatedBy.ID, a.UpdatedBy.Name, a.UpdatedBy.ClientID,
			a.ID, c.Before.Version, c.Before.State)
		if err != nil {
			return err
		}
		if n == 0 {
			return errStale
		}
		return record(ctx, tx, c)
	})
	if sqldb.IsUnique(err, "security_system_event_actor_id_report_id_key") {
		return errRepeated
	}
	if err != nil {
		return fmt.Errorf("change security system: %w", err)
	}
	return nil
}

func (s sqlStore) Remove(ctx context.Context, c Change) error {
	err := s.tx(ctx, c, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `DELETE FROM security_system WHERE id = $1 AND version = $2 AND state = $3`,
			c.Before.ID, c.Before.Version, c.Before.State)
		if err != nil {
			return err
		}
		if n == 0 {
			return errStale
		}
		return record(ctx, tx, c)
	})
	if err != nil {
		return fmt.Errorf("remove security system: %w", err)
	}
	return nil
}

// record writes what every change leaves behind: its event, the same for others, credentials to be ended, and who did it if
// that was somebody.
func record(ctx context.Context, tx sqldb.Tx, c Change) error {
	if err := insertEvent(ctx, tx, c.Event); err != nil {
		return err
	}
	if old := c.Before.PanelClientID; old != "" && old != c.After.PanelClientID {
		if err := retire(ctx, tx, old, c.Event.Time); err != nil {
			return err
		}
	}
	published, err := publicEvent(c)
	if err != nil {
		return err
	}
	if err := outbox.Add(ctx, tx, published); err != nil {
		return err
	}
	entry, deed := deedOf(c)
	if !deed {
		return nil
	}
	return audit.Add(ctx, tx, entry) // last: it lets one writer pass at a time
}

// row is a row of systemColumns.
type row interface{ Scan(dest ...any) error }

func scanSystem(r row) (System, error) {
	var (
		s               System
		faults          string
		panel           sql.NullString
		created, update int64
	)
	err := r.Scan(&s.ID, &s.CustomerID, &s.LocationID, &s.LocationName, &s.State, &s.Mode, &s.Alarm, &s.Acknowledged, &faults,
		&panel, &s.Version, &created, &update, &s.UpdatedBy.ID, &s.UpdatedBy.Name, &s.UpdatedBy.ClientID)
	s.Faults, s.PanelClientID = splitFaults(faults), panel.String
	s.CreateTime, s.UpdateTime = sqldb.Time(created), sqldb.Time(update)
	return s, err
}

func one(r row) (System, error) {
	s, err := scanSystem(r)
	if errors.Is(err, sqldb.ErrNoRows) {
		return System{}, errNoSystem
	}
	if err != nil {
		return System{}, fmt.Errorf("read security system: %w", err)
	}
	return s, nil
}

func exists(r row) (bool, error) {
	var n int
	err := r.Scan(&n)
	if errors.Is(err, sqldb.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a row: %w", err)
	}
	return true, nil
}

func joinFaults(faults []Fault) string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = string(f)
	}
	return strings.Join(texts, ",")
}

func splitFaults(text string) []Fault {
	var faults []Fault
	for f := range strings.SplitSeq(text, ",") {
		if f != "" {
			faults = append(faults, Fault(f))
		}
	}
	return faults
}

func orNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func retire(ctx context.Context, q sqldb.Querier, clientID string, due time.Time) error {
	_, err := q.Exec(ctx, `
		INSERT INTO retired_panel (client_id, due_time, attempts) VALUES ($1, $2, 0) ON CONFLICT (client_id) DO NOTHING`,
		clientID, sqldb.Micros(due))
	if err != nil {
		return fmt.Errorf("retire panel: %w", err)
	}
	return nil
}
