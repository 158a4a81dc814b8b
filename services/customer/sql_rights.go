package customer

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// inForce selects the grants in force at the time $1.
const inForce = `h.start_time <= $1 AND (h.end_time = 0 OR h.end_time > $1)`

// fact is a row of what is known about a caller: of a kind, with the grant where it is one.
type fact struct {
	kind, id string
	held     Held
}

// Standing implements [Rights] by one statement, whose cost grows with what the caller holds in this customer.
func (r records) Standing(ctx context.Context, c Caller, customerID string, now time.Time) (Standing, error) {
	facts, err := all(ctx, r, "read a caller's standing", scanFact, `
SELECT 'customer' AS kind, id, '' AS grant_id, '' AS location_id, '' AS role, '' AS team_id, 0 AS end_time
FROM customers WHERE id = $4
UNION ALL
SELECT 'employee', id, '', '', '', '', 0 FROM employees WHERE customer_id = $4 AND user_id = $3 AND $2 = 'user'
UNION ALL
SELECT 'key', id, '', '', '', '', 0 FROM api_keys WHERE customer_id = $4 AND id = $3 AND $2 = 'client'
UNION ALL
SELECT 'held', h.customer_id, h.grant_id, h.location_id, h.role, h.team_id, h.end_time
FROM held_grants h WHERE h.holder_kind = $2 AND h.holder = $3 AND h.customer_id = $4 AND `+inForce,
		sqldb.Micros(now), string(c.Kind), c.ID, customerID)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Caller: c}
	for _, f := range facts {
		switch f.kind {
		case "customer":
			s.CustomerID = f.id
		case "employee":
			s.EmployeeID = f.id
		case "key":
			s.OwnKey = true
		case "held":
			s.Held = append(s.Held, f.held)
		}
	}
	if s.CustomerID == "" {
		return Standing{}, errAbsent
	}
	return s, nil
}

func scanFact(scan func(...any) error) (f fact, err error) {
	err = scan(&f.kind, &f.id, &f.held.GrantID, text{&f.held.LocationID}, &f.held.Role, text{&f.held.TeamID}, micros{&f.held.End})
	f.held.CustomerID = f.id
	return f, err
}

// HeldBy implements [Rights].
func (r records) HeldBy(ctx context.Context, c Caller, now time.Time) ([]Held, error) {
	return all(ctx, r, "read a caller's grants", scanHeld, `
SELECT h.grant_id, h.customer_id, h.location_id, h.role, h.team_id, h.end_time
FROM held_grants h WHERE h.holder_kind = $2 AND h.holder = $3 AND `+inForce+`
ORDER BY h.customer_id, h.grant_id`,
		sqldb.Micros(now), string(c.Kind), c.ID)
}

func scanHeld(scan func(...any) error) (h Held, err error) {
	err = scan(&h.GrantID, &h.CustomerID, text{&h.LocationID}, &h.Role, text{&h.TeamID}, micros{&h.End})
	return h, err
}

// Given implements [Rights].
func (r records) Given(ctx context.Context, c Caller, customerID string) ([]Given, error) {
	return all(ctx, r, "read a caller's grants, in force or not", scanGiven, `
SELECT h.grant_id, h.customer_id, h.location_id, h.role, h.team_id, h.start_time, h.end_time
FROM held_grants h WHERE h.holder_kind = $1 AND h.holder = $2 AND h.customer_id = $3
ORDER BY h.grant_id`,
		string(c.Kind), c.ID, customerID)
}

func scanGiven(scan func(...any) error) (g Given, err error) {
	err = scan(&g.GrantID, &g.CustomerID, text{&g.LocationID}, &g.Role, text{&g.TeamID}, micros{&g.Start}, micros{&g.End})
	return g, err
}

// Recipients implements [Rights].
func (r records) Recipients(ctx context.Context, at Location, now time.Time) ([]Recipient, error) {
	return all(ctx, r, "read recipients", scanRecipient, `
SELECT DISTINCT e.user_id, e.name, e.email
FROM held_grants h JOIN employees e ON e.customer_id = h.customer_id AND e.user_id = h.holder
WHERE h.holder_kind = 'user' AND h.customer_id = $2 AND (h.location_id IS NULL OR h.location_id = $3) AND `+inForce+`
ORDER BY e.user_id`,
		sqldb.Micros(now), at.CustomerID, at.ID)
}

func scanRecipient(scan func(...any) error) (p Recipient, err error) {
	err = scan(&p.UserID, &p.Name, &p.Email)
	return p, err
}

// HasLastingAdmin implements [Rights].
func (r records) HasLastingAdmin(ctx context.Context, customerID string, now time.Time) (bool, error) {
	return one(ctx, r, "look for an admin", scanBool, `
SELECT EXISTS (SELECT 1 FROM grants
WHERE customer_id = $1 AND role = 'COMPANY_ROLE_ADMIN' AND start_time <= $2 AND end_time = 0)`,
		customerID, sqldb.Micros(now))
}

func scanBool(scan func(...any) error) (b bool, err error) {
	err = scan(&b)
	return b, err
}
