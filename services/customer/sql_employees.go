package customer

import (
	"context"
)

const employeeColumns = `id, customer_id, user_id, name, email, ` + stamp

func scanEmployee(scan func(...any) error) (e Employee, err error) {
	err = scan(append([]any{&e.ID, &e.CustomerID, &e.UserID, &e.Name, &e.Email}, e.Record.dest()...)...)
	return e, err
}

// Employee implements [Employees].
func (r records) Employee(ctx context.Context, id string) (Employee, error) {
	return one(ctx, r, "read employee", scanEmployee, `SELECT `+employeeColumns+` FROM employees WHERE id = $1`, id)
}

// EmployeesFor implements [Employees].
func (r records) EmployeesFor(ctx context.Context, s Standing, page Range) ([]Employee, error) {
	if DecideStaff(s) != Hidden {
		return all(ctx, r, "list employees", scanEmployee,
			`SELECT `+employeeColumns+` FROM employees WHERE customer_id = $4`+inOrder, page.args(s.CustomerID)...)
	}
	return all(ctx, r, "list employees", scanEmployee,
		`SELECT `+employeeColumns+` FROM employees WHERE customer_id = $4 AND user_id = $5 AND $6 = 'user'`+inOrder,
		page.args(s.CustomerID, s.ID, string(s.Kind))...)
}

// AddEmployee implements [Employees].
func (r records) AddEmployee(ctx context.Context, e Employee) error {
	return r.add(ctx, "add employee",
		`INSERT INTO employees (`+employeeColumns+`, email_key) VALUES (`+placeholders(1, 11)+`)`,
		append(append([]any{e.ID, e.CustomerID, e.UserID, e.Name, e.Email}, e.Record.args()...), emailKey(e.Email))...)
}

// ReplaceEmployee implements [Employees].
func (r records) ReplaceEmployee(ctx context.Context, e Employee) error {
	return r.replace(ctx, "change employee", `
UPDATE employees SET name = $2, version = $3, update_time = $4, updated_by = $5 WHERE id = $1 AND version = $3 - 1`,
		append([]any{e.ID, e.Name}, e.Record.changed()...)...)
}

// RemoveEmployee implements [Employees].
func (r records) RemoveEmployee(ctx context.Context, id string) error {
	return r.remove(ctx, "remove employee", `DELETE FROM employees WHERE id = $1`, id)
}
