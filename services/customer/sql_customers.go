package customer

import (
	"context"
)

const customerColumns = `id, name, ` + stamp

func scanCustomer(scan func(...any) error) (c Customer, err error) {
	err = scan(append([]any{&c.ID, &c.Name}, c.Record.dest()...)...)
	return c, err
}

// Customer implements [Customers].
func (r records) Customer(ctx context.Context, id string) (Customer, error) {
	return one(ctx, r, "read customer", scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE id = $1`, id)
}

// CustomersFor implements [Customers].
func (r records) CustomersFor(ctx context.Context, c Caller, afterName, afterID string, limit int) ([]Customer, error) {
	const page = ` AND (name, id) > ($1, $2) ORDER BY name, id LIMIT $3`
	if c.PlatformAdmin {
		return all(ctx, r, "list customers", scanCustomer,
			`SELECT `+customerColumns+` FROM customers WHERE TRUE`+page, afterName, afterID, limit)
	}
	return all(ctx, r, "list customers", scanCustomer, `
SELECT `+customerColumns+` FROM customers WHERE id IN (
    SELECT customer_id FROM employees WHERE user_id = $5 AND $4 = 'user'
    UNION ALL
    SELECT customer_id FROM api_keys WHERE id = $5 AND $4 = 'client'
)`+page, afterName, afterID, limit, string(c.Kind), c.ID)
}

// AddCustomer implements [Customers].
func (r records) AddCustomer(ctx context.Context, c Customer) error {
	return r.add(ctx, "add customer",
		`INSERT INTO customers (`+customerColumns+`) VALUES (`+placeholders(1, 7)+`)`,
		append([]any{c.ID, c.Name}, c.Record.args()...)...)
}

// ReplaceCustomer implements [Customers].
func (r records) ReplaceCustomer(ctx context.Context, c Customer) error {
	return r.replace(ctx, "change customer", `
UPDATE customers SET name = $2, version = $3, update_time = $4, updated_by = $5 WHERE id = $1 AND version = $3 - 1`,
		append([]any{c.ID, c.Name}, c.Record.changed()...)...)
}

// RemoveCustomer implements [Customers].
func (r records) RemoveCustomer(ctx context.Context, id string) error {
	return r.remove(ctx, "remove customer", `DELETE FROM customers WHERE id = $1`, id)
}
