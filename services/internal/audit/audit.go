// Package audit records who did what to what, when, and what came of it: an entry is written in the transaction of the
// change ([Add]), so that neither exists without the other. Entries are numbered in commit order without gaps, and each
// carries a hash over itself and the one before it, so that one that is changed or taken out later shows ([Verify]).
//
// What is worth an entry is left to the services. The log takes the writers of a service one after the other: Add is for
// what people and operators do, as the last statement of its transaction, and not for what programs do all day.
package audit

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

//go:embed schema/*.sql
var schema embed.FS

// Migrate makes the log's tables in the database of a service, beside the service's own.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := sqldb.MigrateShared(ctx, db, "audit", schema); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// OK is the result of what was done.
const OK = "ok"

// Entry says who did what. Its texts may come from outside: what no column can hold is replaced, and what is too long is
// cut off.
type Entry struct {
	// Number is the position in the log, from 1. Add assigns it.
	Number int64
	// Time is kept to the microsecond. Required.
	Time time.Time
	// Actor is the subject that did it; empty for nobody in particular. Default: the caller of the RPC.
	Actor string
	// ClientID is the client that it was done through. Default: that of the RPC's caller, where Actor is too.
	ClientID string
	// Actors acted for Actor, the last of them first, as its token says that was exchanged. Via are the workloads that the
	// request came through, the last of them first, which is proven by its certificate; see [mesh.Via]. The two need not be the
	// same. Default: those of the RPC's caller, where Actor is too.
	Actors []string
	Via    []string
	// Action is what was done, such as "user.disable". Required.
	Action string
	// Target is what it was done to, by its id.
	Target string
	// Result is why it was not done. Default: OK.
	Result string
	// Address is where the request came from, and RequestID what else was logged of it. Default: those of the context;
	// see [WithOrigin].
	Address, RequestID string
	// Details say more about it. Never a secret.
	Details map[string]string
	// Hash is SHA-256 over the entry and the hash of the one before it. Add computes it.
	Hash []byte
}

// The longest texts that are kept, in bytes.
const (
	maxText    = 254
	maxDetail  = 500
	maxDetails = 16
)

// Add writes e to the log as part of tx.
func Add(ctx context.Context, tx sqldb.Tx, e Entry) error {
	if e.Action == "" || e.Time.IsZero() {
		return errors.New("add audit entry: action and time are required")
	}
	if len(e.Details) > maxDetails {
		return fmt.Errorf("add audit entry: %d details, want at most %d", len(e.Details), maxDetails)
	}
	for _, own := range []string{detailActors, detailVia} {
		if _, taken := e.Details[own]; taken {
			return fmt.Errorf("add audit entry: %q is no name of a detail", own)
		}
	}
	e = e.completed(ctx)
	var before string
	err := tx.QueryRow(ctx, `UPDATE audit_head SET number = number + 1 WHERE id = 1 RETURNING number,
		COALESCE((SELECT hash FROM audit_entries WHERE audit_entries.number = audit_head.number - 1), '')`).Scan(&e.Number, &before)
	if err != nil {
		return fmt.Errorf("number audit entry: %w", err)
	}
	values, err := e.row(before)
	if err != nil {
		return fmt.Errorf("add audit entry: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO audit_entries (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, values...)
	if err != nil {
		return fmt.Errorf("add audit entry: %w", err)
	}
	return nil
}

// AddAll writes entries about what has changed nothing in the database of the service: all of them, or none.
func AddAll(ctx context.Context, db *sqldb.DB, entries []Entry) error {
	return db.Tx(ctx, func(tx sqldb.Tx) error {
		for i := range entries {
			if err := Add(ctx, tx, entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// completed fills in the defaults, and makes every text one that a column can hold.
func (e Entry) completed(ctx context.Context) Entry {
	caller := mesh.Caller(ctx)
	switch {
	case e.Actor == "" && e.ClientID == "":
		e.Actor, e.ClientID = caller.Subject, caller.ClientID
		e.Actors, e.Via = caller.Actors, mesh.Via(ctx)
	case e.Actor == caller.Subject && e.Actor != "" && len(e.Actors)+len(e.Via) == 0:
		e.Actors, e.Via = caller.Actors, mesh.Via(ctx)
	}
	from := originOf(ctx)
	if e.Address == "" {
		e.Address = from.address
	}
	if e.RequestID == "" {
		e.RequestID = from.requestID
	}
	if e.Result == "" {
		e.Result = OK
	}
	e.Time = e.Time.Truncate(time.Microsecond)
	for _, text := range []*string{&e.Actor, &e.ClientID, &e.Action, &e.Target, &e.Result, &e.Address, &e.RequestID} {
		*text = storable(*text, maxText)
	}
	details := maps.Clone(e.Details)
	if details == nil {
		details = map[string]string{}
	}
	for name, value := range e.Details {
		details[name] = storable(value, maxDetail)
	}
	if len(e.Actors) > 0 {
		details[detailActors] = listed(e.Actors)
	}
	if len(e.Via) > 0 {
		details[detailVia] = listed(e.Via)
	}
	e.Details = details
	return e
}

// Who stood between the actor and this part is kept, and hashed, among the details.
const (
	detailActors = "actors"
	detailVia    = "via"
)

// listed is how a detail names several.
func listed(names []string) string {
	return strings.TrimSpace(storable(strings.Join(names, " "), maxDetail))
}

// storable is text as a column of either engine can hold it, of at most limit bytes.
func storable(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= limit {
		return text
	}
	end := limit
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
