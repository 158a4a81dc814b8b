package securitysystem_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
	"github.com/realguardio/realguardio/services/securitysystem"
)

// planNode is what PostgreSQL says of one step of a query that it ran.
type planNode struct {
	Type    string     `json:"Node Type"`
	Rows    float64    `json:"Actual Rows"`
	Loops   float64    `json:"Actual Loops"`
	Removed float64    `json:"Rows Removed by Filter"`
	Again   float64    `json:"Rows Removed by Index Recheck"`
	Plans   []planNode `json:"Plans"`
}

// read is how many rows the steps without steps below them looked at.
func (n planNode) read() float64 {
	if len(n.Plans) == 0 {
		return n.Loops * (n.Rows + n.Removed + n.Again)
	}
	sum := 0.0
	for _, below := range n.Plans {
		sum += below.read()
	}
	return sum
}

// TestAListCostsWhatItShows counts the rows that a page of the list reads, among many systems and among ten times as many,
// nearly all of them of others.
func TestAListCostsWhatItShows(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	db, err := sqldb.Open(t.Context(), storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := securitysystem.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	visible := map[string]securitysystem.Visible{
		"one customer":            {Customers: []string{"cust1"}},
		"some customers":          {Customers: []string{"cust1", "cust2", "cust3"}},
		"some locations":          {Locations: []string{"loc11", "loc25", "loc38"}},
		"customers and locations": {Customers: []string{"cust1"}, Locations: []string{"loc25", "loc38"}},
		"everything, one page":    {All: true},
	}
	for _, total := range []int{2_000, 20_000} {
		fill(t, db, total)
		for name, v := range visible {
			got := rowsRead(t, db, v)
			t.Logf("%s: %v rows read of %d", name, got, total)
			if got > 60 { // ten systems of a customer, three customers, a page of ten: whatever the plan, about these
				t.Errorf("%s: a page reads %v rows of %d", name, got, total)
			}
		}
	}
}

// fill brings the table to total rows: ten systems for each customer.
func fill(t *testing.T, db *sqldb.DB, total int) {
	t.Helper()
	_, err := db.Exec(t.Context(), fmt.Sprintf(`INSERT INTO security_system
		SELECT 'sys' || i, 'cust' || i / 10, 'loc' || i, 'Location ' || i, 'DISARMED', '', '', false, '', NULL, 1, 0, 0, 'u', 'U', 'web'
		FROM generate_series(0, %d) AS i ON CONFLICT DO NOTHING`, total-1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "ANALYZE security_system"); err != nil {
		t.Fatal(err)
	}
}

// rowsRead runs the query of a page of ten. A small table is read whole where that is cheaper; here it must not be.
func rowsRead(t *testing.T, db *sqldb.DB, v securitysystem.Visible) float64 {
	t.Helper()
	var plan string
	err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL enable_seqscan = off"); err != nil {
			return err
		}
		text, args := securitysystem.ListQuery(v, securitysystem.Place{}, 10)
		return tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+text, args...).Scan(&plan)
	})
	if err != nil {
		t.Fatal(err)
	}
	var explained []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(plan), &explained); err != nil {
		t.Fatalf("%v\n%s", err, plan)
	}
	return explained[0].Plan.read()
}
