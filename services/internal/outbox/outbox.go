// Package outbox publishes what a service changed: an event is written in the transaction of the change ([Add]) and later
// carried to a Redis stream by a [Relay], so that neither exists without the other. The table is the truth, the stream a
// copy that may be lost.
//
// An event reaches the stream at least once, in the order of its subject's versions; events of different subjects have no
// order among each other. Consumers keep their position and deduplicate by event id. What an event means is left to the
// services; it may tell of its actor, but never carries a credential.
package outbox

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

//go:embed schema/*.sql
var schema embed.FS

// Migrate makes the outbox's tables in the database of a service, beside the service's own.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := sqldb.MigrateShared(ctx, db, "outbox", schema); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// Event is something that happened to one subject.
type Event struct {
	// ID is unique for ever; consumers deduplicate by it.
	ID string
	// Type is the kind of event, such as "realguardio.customer.v1.GrantRemoved".
	Type string
	// Subject is the id of the aggregate it happened to.
	Subject string
	// Version is the subject's version after the event: greater than in every earlier event of the subject, and
	// decided by the same transaction, so that the order of versions is the order of commits. A second event with the
	// same subject and version is refused.
	Version int64
	Time    time.Time
	// Data is a JSON value.
	Data json.RawMessage
	// Traceparent is where in a trace the change was made, "" for nowhere. Add sets it.
	Traceparent string
}

// Add writes e to the outbox as part of tx, with the place in a trace where ctx stands. Once that has committed, [Relay.Nudge] saves the wait for the next poll.
func Add(ctx context.Context, tx sqldb.Tx, e Event) error {
	switch {
	case e.ID == "", e.Type == "", e.Subject == "", e.Version <= 0, e.Time.IsZero():
		return errors.New("add event to outbox: id, type, subject, version and time are required")
	case !json.Valid(e.Data):
		return errors.New("add event to outbox: data is not JSON")
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO outbox (id, type, subject, version, time, data, traceparent) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		e.ID, e.Type, e.Subject, e.Version, sqldb.Micros(e.Time), string(e.Data), mesh.Traceparent(ctx))
	if err != nil {
		return fmt.Errorf("add event to outbox: %w", err)
	}
	return nil
}
