package customer

import "slices"

// CallerKind is what a caller can hold grants as.
type CallerKind string

const (
	// KindUser holds what was granted to their employees, by user id.
	KindUser CallerKind = "user"
	// KindKey is an API key and holds what was granted to it.
	KindKey CallerKind = "client"
)

// Caller is who asks.
type Caller struct {
	Kind CallerKind
	// ID is the user's subject or the key's id. Empty for callers that hold nothing: workloads.
	ID string
	// PlatformAdmin manages customers and may look at what belongs to them, but changes nothing of it.
	PlatformAdmin bool
}

// Standing is what a caller is in one customer, now: the facts that every decision about that customer's objects is
// made from.
type Standing struct {
	Caller
	CustomerID string
	// EmployeeID is the caller's employee in this customer, or "".
	EmployeeID string
	// OwnKey tells that the caller is one of this customer's API keys.
	OwnKey bool
	// Held are the caller's grants in force in this customer.
	Held []Held
}

// Decision is what a caller may do with an object.
type Decision int

const (
	// Hidden objects do not exist for the caller.
	Hidden Decision = iota
	// Visible objects may be looked at, not changed.
	Visible
	// Managed objects may be changed.
	Managed
)

// DecideCreateCustomer decides who may make customers.
func DecideCreateCustomer(c Caller) Decision {
	if c.PlatformAdmin {
		return Managed
	}
	return Visible
}

// DecideCustomer decides on the customer itself: for its employees and keys to see, for its admins and the platform's
// to rename.
func DecideCustomer(s Standing) Decision {
	switch {
	case s.PlatformAdmin || s.companyAdmin():
		return Managed
	case s.EmployeeID != "" || s.OwnKey:
		return Visible
	}
	return Hidden
}

// DecideRemoveCustomer decides who may remove the customer: the platform's admins, not its own.
func DecideRemoveCustomer(s Standing) Decision {
	if s.PlatformAdmin {
		return Managed
	}
	return min(DecideCustomer(s), Visible)
}

// DecideContents decides on what the customer has as a whole, to which something may be added: its locations, employees,
// teams, grants and keys. Each of those that exists has a decision of its own.
func DecideContents(s Standing) Decision {
	if s.companyAdmin() {
		return Managed
	}
	return min(DecideCustomer(s), Visible)
}

// DecideLocation decides on a location: for whoever holds any grant that covers it to see.
func DecideLocation(s Standing, locationID string) Decision {
	switch {
	case s.companyAdmin():
		return Managed
	case s.PlatformAdmin || slices.ContainsFunc(s.Held, func(h Held) bool { return h.covers(locationID) }):
		return Visible
	}
	return Hidden
}

// seesAllLocations tells whether DecideLocation shows every location of the customer, now and later.
func (s Standing) seesAllLocations() bool {
	return s.PlatformAdmin || slices.ContainsFunc(s.Held, func(h Held) bool { return h.LocationID == "" })
}

// DecideEmployee decides on an employee: admins see all, others themselves.
func DecideEmployee(s Standing, employeeID string) Decision {
	if decision := DecideStaff(s); decision != Hidden || employeeID != s.EmployeeID || employeeID == "" {
		return decision
	}
	return Visible
}

// DecideStaff decides on teams and grants, and on employees other than the caller: who may do what in a company is for
// admins to see.
func DecideStaff(s Standing) Decision {
	switch {
	case s.companyAdmin():
		return Managed
	case s.PlatformAdmin:
		return Visible
	}
	return Hidden
}

// companyAdmin tells whether the caller administers the customer.
func (s Standing) companyAdmin() bool {
	return slices.ContainsFunc(s.Held, func(h Held) bool { return h.Role == RoleCompanyAdmin })
}
