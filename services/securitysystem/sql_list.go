package securitysystem

import (
	"context"
	"fmt"
	"strings"
)

// maxRights bounds the parameters of one list query; both engines take three times as many.
const maxRights = 10_000

func (s sqlStore) List(ctx context.Context, visible Visible, after Place, n int) ([]System, error) {
	if len(visible.Customers)+len(visible.Locations) > maxRights {
		return nil, errTooManyRights
	}
	query, args := listQuery(visible, after, n)
	if query == "" {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list security systems: %w", err)
	}
	defer rows.Close()
	var systems []System
	for rows.Next() {
		system, err := scanSystem(rows)
		if err != nil {
			return nil, fmt.Errorf("list security systems: %w", err)
		}
		systems = append(systems, system)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list security systems: %w", err)
	}
	return systems, nil
}

// listQuery returns the statement that selects a page of what is visible, or "" when nothing is. Each kind of right is a
// branch with an index of its own, so that the cost is that of the systems the caller may see, however many others there
// are.
func listQuery(visible Visible, after Place, n int) (query string, args []any) {
	page := " ORDER BY location_name, id LIMIT $1"
	args = []any{n}
	later := ""
	if after != (Place{}) {
		later = " AND (location_name, id) > ($2, $3)"
		args = append(args, after.LocationName, after.ID)
	}
	if visible.All {
		return `SELECT ` + systemColumns + ` FROM security_system WHERE TRUE` + later + page, args
	}
	var branches []string
	branch := func(column string, ids []string) {
		if len(ids) == 0 {
			return
		}
		branches = append(branches, `SELECT `+systemColumns+` FROM security_system WHERE `+column+
			` IN (`+parameters(len(args)+1, len(ids))+`)`+later+page)
		for _, id := range padded(ids) {
			args = append(args, id)
		}
	}
	branch("customer_id", visible.Customers)
	branch("location_id", visible.Locations)
	switch len(branches) {
	case 0:
		return "", nil
	case 1:
		return branches[0], args
	}
	return `SELECT * FROM (SELECT * FROM (` + branches[0] + `) AS by_customer UNION ALL SELECT * FROM (` + branches[1] +
		`) AS by_location) AS visible` + page, args
}

// parameters returns "$first, ..." for n ids once they are padded.
func parameters(first, n int) string {
	var b strings.Builder
	for i := range roundUp(n) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String()
}

// padded repeats the last id up to a power of two, so that few different statements exist to be prepared and cached.
func padded(ids []string) []string {
	all := make([]string, roundUp(len(ids)))
	for i := range all {
		all[i] = ids[min(i, len(ids)-1)]
	}
	return all
}

func roundUp(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}
