package securitysystem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

func (s sqlStore) Reserve(ctx context.Context, locationID, systemID string, now, until time.Time) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		if installed, err := installedAt(ctx, tx, locationID); err != nil || installed {
			return occupied(err)
		}
		n, err := tx.Exec(ctx, `
			INSERT INTO reservation (location_id, system_id, until_time) VALUES ($1, $2, $3)
			ON CONFLICT (location_id) DO UPDATE SET system_id = excluded.system_id, until_time = excluded.until_time
			WHERE reservation.until_time <= $4`,
			locationID, systemID, sqldb.Micros(until), sqldb.Micros(now))
		if err != nil || n == 0 {
			return occupied(err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reserve location: %w", err)
	}
	return nil
}

// occupied is err, or errOccupied where there is none.
func occupied(err error) error {
	if err == nil {
		return errOccupied
	}
	return err
}

func (s sqlStore) Release(ctx context.Context, locationID, systemID string) error {
	if err := release(ctx, s.db, locationID, systemID); err != nil && !errors.Is(err, errLapsed) {
		return err
	}
	return nil
}

// release ends a reservation, or returns errLapsed where it is not there.
func release(ctx context.Context, q sqldb.Querier, locationID, systemID string) error {
	n, err := q.Exec(ctx, `DELETE FROM reservation WHERE location_id = $1 AND system_id = $2`, locationID, systemID)
	if err != nil {
		return fmt.Errorf("end reservation: %w", err)
	}
	if n == 0 {
		return errLapsed
	}
	return nil
}

func (s sqlStore) Occupied(ctx context.Context, locationID string, now time.Time) (bool, error) {
	var is bool
	err := s.db.Tx(ctx, func(tx sqldb.Tx) (err error) {
		_, err = tx.Exec(ctx, `DELETE FROM reservation WHERE location_id = $1 AND until_time <= $2`, locationID, sqldb.Micros(now))
		if err != nil {
			return err
		}
		if is, err = installedAt(ctx, tx, locationID); err != nil || is {
			return err
		}
		is, err = exists(tx.QueryRow(ctx, `SELECT 1 FROM reservation WHERE location_id = $1`, locationID))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for a system at a location: %w", err)
	}
	return is, nil
}

func installedAt(ctx context.Context, q sqldb.Querier, locationID string) (bool, error) {
	return exists(q.QueryRow(ctx, `SELECT 1 FROM security_system WHERE location_id = $1`, locationID))
}
