package customer

import "time"

// Role is what a grant gives.
type Role string

// The roles, by their names in the API.
const (
	RoleCompanyAdmin Role = "COMPANY_ROLE_ADMIN"
	RoleArmer        Role = "SECURITY_SYSTEM_ARMER"
	RoleDisarmer     Role = "SECURITY_SYSTEM_DISARMER"
	RoleViewer       Role = "SECURITY_SYSTEM_VIEWER"
)

// Subject is to whom a grant is given. One of its fields is set.
type Subject struct{ EmployeeID, TeamID, KeyID string }

// Grant gives a subject a role. A subject has a role at a place once: to change when, the grant is changed.
type Grant struct {
	ID, CustomerID string
	Subject        Subject
	Role           Role
	// LocationID is "" for every location of the customer, now and later.
	LocationID string
	Period
	Record
}

// Period is when a grant is in force: from Start on and before End. The zero time is without that bound.
type Period struct{ Start, End time.Time }

// Held is a grant that is in force for some caller, directly or by a team.
type Held struct {
	GrantID, CustomerID string
	// LocationID is "" for every location of the customer.
	LocationID string
	Role       Role
	// TeamID is "" when the grant is direct.
	TeamID string
	// End is zero when the grant does not end by itself.
	End time.Time
}

// covers tells whether the grant holds at a location of its customer.
func (h Held) covers(locationID string) bool {
	return h.LocationID == "" || h.LocationID == locationID
}

// fault names the field of the API, and what is wrong with it, of a grant that makes no sense; both are "" for a good
// one.
//
// To administer a company is given to employees alone: by a team, whoever joins it would become an admin, and the last
// admin could leave by leaving the team; a key is for scripts and never manages who may do what.
func (g Grant) fault(now time.Time) (field, description string) {
	if g.Role == RoleCompanyAdmin && g.LocationID != "" {
		return "locationId", "must be empty: COMPANY_ROLE_ADMIN is given for the whole customer"
	}
	if g.Role == RoleCompanyAdmin && g.Subject.EmployeeID == "" {
		return "role", "COMPANY_ROLE_ADMIN is given to employees only"
	}
	return g.Period.fault(now)
}

// fault refuses a period that is over before it begins, or has been.
func (p Period) fault(now time.Time) (field, description string) {
	switch {
	case p.End.IsZero():
		return "", ""
	case !p.Start.IsZero() && !p.Start.Before(p.End):
		return "endTime", "must be after startTime"
	case !now.Before(p.End):
		return "endTime", "must be in the future"
	}
	return "", ""
}
