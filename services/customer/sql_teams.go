package customer

import (
	"context"
)

const teamColumns = `id, customer_id, name, ` + stamp

func scanTeam(scan func(...any) error) (t Team, err error) {
	err = scan(append([]any{&t.ID, &t.CustomerID, &t.Name}, t.Record.dest()...)...)
	return t, err
}

// Team implements [Teams].
func (r records) Team(ctx context.Context, id string) (Team, error) {
	team, err := one(ctx, r, "read team", scanTeam, `SELECT `+teamColumns+` FROM teams WHERE id = $1`, id)
	if err != nil {
		return Team{}, err
	}
	teams := []Team{team}
	err = r.readMembers(ctx, teams)
	return teams[0], err
}

// Teams implements [Teams].
func (r records) Teams(ctx context.Context, customerID string, page Range) ([]Team, error) {
	teams, err := all(ctx, r, "list teams", scanTeam,
		`SELECT `+teamColumns+` FROM teams WHERE customer_id = $4`+inOrder, page.args(customerID)...)
	if err != nil {
		return nil, err
	}
	return teams, r.readMembers(ctx, teams)
}

// readMembers fills in the members of teams by one query.
func (r records) readMembers(ctx context.Context, teams []Team) error {
	if len(teams) == 0 {
		return nil
	}
	byID := make(map[string]*Team, len(teams))
	ids := make([]any, len(teams))
	for i := range teams {
		byID[teams[i].ID] = &teams[i]
		ids[i] = teams[i].ID
	}
	type member struct{ team, employee string }
	members, err := all(ctx, r, "read team members",
		func(scan func(...any) error) (m member, err error) {
			err = scan(&m.team, &m.employee)
			return m, err
		},
		`SELECT team_id, employee_id FROM team_members WHERE team_id IN (`+placeholders(1, len(ids))+`) ORDER BY team_id, employee_id`,
		ids...)
	for _, m := range members {
		byID[m.team].Members = append(byID[m.team].Members, m.employee)
	}
	return err
}

// AddTeam implements [Teams].
func (r records) AddTeam(ctx context.Context, t Team) error {
	return r.add(ctx, "add team",
		`INSERT INTO teams (`+teamColumns+`) VALUES (`+placeholders(1, 8)+`)`,
		append([]any{t.ID, t.CustomerID, t.Name}, t.Record.args()...)...)
}

// ReplaceTeam implements [Teams].
func (r records) ReplaceTeam(ctx context.Context, t Team) error {
	return r.replace(ctx, "change team", `
UPDATE teams SET name = $2, version = $3, update_time = $4, updated_by = $5 WHERE id = $1 AND version = $3 - 1`,
		append([]any{t.ID, t.Name}, t.Record.changed()...)...)
}

// RemoveTeam implements [Teams].
func (r records) RemoveTeam(ctx context.Context, id string) error {
	return r.remove(ctx, "remove team", `DELETE FROM teams WHERE id = $1`, id)
}

// AddMember implements [Teams].
func (r records) AddMember(ctx context.Context, t Team, employeeID string) (bool, error) {
	return r.exec(ctx, "add team member", `
INSERT INTO team_members (customer_id, team_id, employee_id) VALUES ($1, $2, $3)
ON CONFLICT (team_id, employee_id) DO NOTHING`, t.CustomerID, t.ID, employeeID)
}

// RemoveMember implements [Teams].
func (r records) RemoveMember(ctx context.Context, t Team, employeeID string) (bool, error) {
	return r.exec(ctx, "remove team member",
		`DELETE FROM team_members WHERE team_id = $1 AND employee_id = $2`, t.ID, employeeID)
}
