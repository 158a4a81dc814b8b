package customer

import (
	"context"
	"errors"
	"maps"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Note implements [Deeds].
func (r records) Note(ctx context.Context, d Deed) error {
	tx, ok := r.q.(sqldb.Tx)
	if !ok {
		return errors.New("note a deed: there is no transaction")
	}
	details := map[string]string{"customer": d.CustomerID}
	maps.Copy(details, d.More)
	if err := audit.Add(ctx, tx, audit.Entry{Time: d.Time, Action: d.Action, Target: d.Target, Details: details}); err != nil {
		return failed("note a deed", err)
	}
	return nil
}
