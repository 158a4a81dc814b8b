// Package audittest reads the audit log of a part in the part's tests.
package audittest

import (
	"slices"
	"testing"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Entries returns the last 1000 entries that a filter lets through, the oldest first. It fails the test where the log is not
// as it was written.
func Entries(t testing.TB, db *sqldb.DB, f audit.Filter) []audit.Entry {
	t.Helper()
	list, err := audit.List(t.Context(), db, f, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil {
		t.Error(err)
	}
	slices.Reverse(list)
	return list
}
