package customer

import (
	"context"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

const grantColumns = `id, customer_id, employee_id, team_id, api_key_id, role, location_id, start_time, end_time, ` + stamp

func scanGrant(scan func(...any) error) (g Grant, err error) {
	err = scan(append([]any{
		&g.ID, &g.CustomerID, text{&g.Subject.EmployeeID}, text{&g.Subject.TeamID}, text{&g.Subject.KeyID},
		&g.Role, text{&g.LocationID}, micros{&g.Start}, micros{&g.End},
	}, g.Record.dest()...)...)
	return g, err
}

// Grant implements [Grants].
func (r records) Grant(ctx context.Context, id string) (Grant, error) {
	return one(ctx, r, "read grant", scanGrant, `SELECT `+grantColumns+` FROM grants WHERE id = $1`, id)
}

// Grants implements [Grants].
func (r records) Grants(ctx context.Context, customerID string, page Range) ([]Grant, error) {
	return all(ctx, r, "list grants", scanGrant,
		`SELECT `+grantColumns+` FROM grants WHERE customer_id = $4`+inOrder, page.args(customerID)...)
}

// AddGrant implements [Grants].
func (r records) AddGrant(ctx context.Context, g Grant) error {
	return r.add(ctx, "add grant",
		`INSERT INTO grants (`+grantColumns+`) VALUES (`+placeholders(1, 14)+`)`,
		append([]any{
			g.ID, g.CustomerID, orNull(g.Subject.EmployeeID), orNull(g.Subject.TeamID), orNull(g.Subject.KeyID),
			string(g.Role), orNull(g.LocationID), sqldb.Micros(g.Start), sqldb.Micros(g.End),
		}, g.Record.args()...)...)
}

// ReplaceGrant implements [Grants].
func (r records) ReplaceGrant(ctx context.Context, g Grant) error {
	return r.replace(ctx, "change grant", `
UPDATE grants SET start_time = $2, end_time = $3, version = $4, update_time = $5, updated_by = $6
WHERE id = $1 AND version = $4 - 1`,
		append([]any{g.ID, sqldb.Micros(g.Start), sqldb.Micros(g.End)}, g.Record.changed()...)...)
}

// RemoveGrant implements [Grants].
func (r records) RemoveGrant(ctx context.Context, id string) error {
	return r.remove(ctx, "remove grant", `DELETE FROM grants WHERE id = $1`, id)
}

// Key implements [Keys].
func (r records) Key(ctx context.Context, keyID string) (KeyLink, error) {
	return one(ctx, r, "read API key", scanKey,
		`SELECT id, customer_id, create_time, created_by FROM api_keys WHERE id = $1`, keyID)
}

func scanKey(scan func(...any) error) (k KeyLink, err error) {
	err = scan(&k.KeyID, &k.CustomerID, micros{&k.CreateTime}, &k.CreatedBy)
	return k, err
}

// AddKey implements [Keys].
func (r records) AddKey(ctx context.Context, k KeyLink) error {
	return r.add(ctx, "add API key",
		`INSERT INTO api_keys (id, customer_id, create_time, created_by) VALUES ($1, $2, $3, $4)`,
		k.KeyID, k.CustomerID, sqldb.Micros(k.CreateTime), k.CreatedBy)
}

// RemoveKey implements [Keys].
func (r records) RemoveKey(ctx context.Context, customerID, keyID string) error {
	_, err := r.exec(ctx, "remove API key", `DELETE FROM api_keys WHERE customer_id = $1 AND id = $2`, customerID, keyID)
	return err
}
