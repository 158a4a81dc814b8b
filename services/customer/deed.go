package customer

import (
	"context"
	"time"
)

// Deed is a change of somebody's, for the audit log. Who did it is the caller of the RPC.
type Deed struct {
	// Action is what was done, such as "grant.create"; Target is what to, by its id.
	Action, Target string
	CustomerID     string
	// More are further ids and words, by name. No names and addresses of people: a log that nothing is taken out of is no place
	// for them.
	More map[string]string
	Time time.Time
}

// did writes into the log what the caller has changed in this transaction. It comes last.
func (v view) did(ctx context.Context, action, target string, more map[string]string) error {
	return v.Note(ctx, Deed{Action: action, Target: target, CustomerID: v.who.CustomerID, More: more, Time: v.now})
}

// more are what the log says of a grant.
func (g Grant) more() map[string]string {
	more := map[string]string{"role": string(g.Role)}
	for name, value := range map[string]string{
		"employee": g.Subject.EmployeeID, "team": g.Subject.TeamID, "key": g.Subject.KeyID, "location": g.LocationID,
	} {
		if value != "" {
			more[name] = value
		}
	}
	for name, at := range map[string]time.Time{"from": g.Period.Start, "until": g.Period.End} {
		if !at.IsZero() {
			more[name] = at.Format(time.RFC3339)
		}
	}
	return more
}
