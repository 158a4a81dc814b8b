package customer

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// inOrder is a [Range] as the end of a query, from parameter $1 on; see Range.args.
const inOrder = ` AND (create_time, id) > ($1, $2) ORDER BY create_time, id LIMIT $3`

func (r Range) args(more ...any) []any {
	return append([]any{sqldb.Micros(r.After.CreateTime), r.After.ID, r.Limit}, more...)
}

const locationColumns = `id, customer_id, name, address, closing_until, ` + stamp

func scanLocation(scan func(...any) error) (l Location, err error) {
	err = scan(append([]any{&l.ID, &l.CustomerID, &l.Name, &l.Address, micros{&l.ClosingUntil}}, l.Record.dest()...)...)
	return l, err
}

// Location implements [Locations].
func (r records) Location(ctx context.Context, id string) (Location, error) {
	return one(ctx, r, "read location", scanLocation, `SELECT `+locationColumns+` FROM locations WHERE id = $1`, id)
}

// LocationsFor implements [Locations]. Whoever holds grants at single locations is answered from those grants, so that
// the cost grows with what is theirs.
func (r records) LocationsFor(ctx context.Context, s Standing, now time.Time, page Range) ([]Location, error) {
	if s.seesAllLocations() {
		return all(ctx, r, "list locations", scanLocation,
			`SELECT `+locationColumns+` FROM locations WHERE customer_id = $4`+inOrder, page.args(s.CustomerID)...)
	}
	return all(ctx, r, "list locations", scanLocation, `
SELECT `+locationColumns+` FROM locations WHERE customer_id = $4 AND id IN (
    SELECT h.location_id FROM held_grants h
    WHERE h.holder_kind = $5 AND h.holder = $6 AND h.customer_id = $4
    AND h.start_time <= $7 AND (h.end_time = 0 OR h.end_time > $7)
)`+inOrder, page.args(s.CustomerID, string(s.Kind), s.ID, sqldb.Micros(now))...)
}

// AddLocation implements [Locations].
func (r records) AddLocation(ctx context.Context, l Location) error {
	return r.add(ctx, "add location",
		`INSERT INTO locations (`+locationColumns+`) VALUES (`+placeholders(1, 10)+`)`,
		append([]any{l.ID, l.CustomerID, l.Name, l.Address, sqldb.Micros(l.ClosingUntil)}, l.Record.args()...)...)
}

// ReplaceLocation implements [Locations].
func (r records) ReplaceLocation(ctx context.Context, l Location) error {
	return r.replace(ctx, "change location", `
UPDATE locations SET name = $2, address = $3, version = $4, update_time = $5, updated_by = $6
WHERE id = $1 AND version = $4 - 1`,
		append([]any{l.ID, l.Name, l.Address}, l.Record.changed()...)...)
}

// SetClosing implements [Locations].
func (r records) SetClosing(ctx context.Context, id string, from, to time.Time) error {
	return r.replace(ctx, "change until when a location is closing",
		`UPDATE locations SET closing_until = $3 WHERE id = $1 AND closing_until = $2`,
		id, sqldb.Micros(from), sqldb.Micros(to))
}

// RemoveLocation implements [Locations].
func (r records) RemoveLocation(ctx context.Context, id string) error {
	return r.remove(ctx, "remove location", `DELETE FROM locations WHERE id = $1`, id)
}
