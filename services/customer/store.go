package customer

import (
	"context"
	"errors"
	"time"
)

// What a store answers when it can but will not. Each method says which of these it returns; any other error means that
// the store failed.
var (
	errAbsent    = errors.New("there is no such row")
	errDuplicate = errors.New("there is one like it")
	errStale     = errors.New("it was changed meanwhile")
	errInUse     = errors.New("something still belongs to it")
)

// Store keeps customers and what belongs to them.
type Store interface {
	Records
	// Tx runs f, whose changes all happen or none, as if no other ran meanwhile. f may be run several times.
	Tx(ctx context.Context, f func(Records) error) error
}

// Records reads and changes what is stored; see Store.Tx for several changes at once.
//
// Add methods return errDuplicate. Replace methods store what has come after one change to what is stored, and return
// errStale where that was not it. Methods for one thing return errAbsent.
type Records interface {
	Rights
	Customers
	Locations
	Employees
	Teams
	Grants
	Keys
	Deeds
}

// Rights tells who may do what.
type Rights interface {
	// Standing returns what the caller is in the customer now, or errAbsent where there is no such customer.
	Standing(ctx context.Context, c Caller, customerID string, now time.Time) (Standing, error)
	// HeldBy returns all grants in force now that the caller holds, in any customer, by customer and grant.
	HeldBy(ctx context.Context, c Caller, now time.Time) ([]Held, error)
	// Given returns the caller's grants in the customer, in force or not, by grant.
	Given(ctx context.Context, c Caller, customerID string) ([]Given, error)
	// Recipients returns the people with a role at the location now, by user id.
	Recipients(ctx context.Context, at Location, now time.Time) ([]Recipient, error)
	// HasLastingAdmin tells whether the customer has an admin now whose grant does not end.
	HasLastingAdmin(ctx context.Context, customerID string, now time.Time) (bool, error)
}

// Customers keeps customers.
type Customers interface {
	Customer(ctx context.Context, id string) (Customer, error)
	// CustomersFor returns up to limit customers after that name and id which DecideCustomer shows to the caller.
	CustomersFor(ctx context.Context, c Caller, afterName, afterID string, limit int) ([]Customer, error)
	AddCustomer(ctx context.Context, c Customer) error
	ReplaceCustomer(ctx context.Context, c Customer) error
	// RemoveCustomer removes a customer with its employees, teams and grants, or returns errInUse where it has locations
	// or keys.
	RemoveCustomer(ctx context.Context, id string) error
}

// Position is the place of a row in a list in order of creation; see beginning for the place before all.
type Position struct {
	CreateTime time.Time
	ID         string
}

// Range is a part of a list in order of creation.
type Range struct {
	After Position
	Limit int
}

// Locations keeps locations.
type Locations interface {
	Location(ctx context.Context, id string) (Location, error)
	// LocationsFor returns locations of the customer which DecideLocation shows to the caller of that standing.
	LocationsFor(ctx context.Context, s Standing, now time.Time, r Range) ([]Location, error)
	AddLocation(ctx context.Context, l Location) error
	// ReplaceLocation leaves ClosingUntil as it is. It also returns errDuplicate.
	ReplaceLocation(ctx context.Context, l Location) error
	// SetClosing changes a location's ClosingUntil, or returns errStale where that was not from.
	SetClosing(ctx context.Context, id string, from, to time.Time) error
	// RemoveLocation also removes grants at the location.
	RemoveLocation(ctx context.Context, id string) error
}

// Employees keeps employees.
type Employees interface {
	Employee(ctx context.Context, id string) (Employee, error)
	// EmployeesFor returns employees of the customer which DecideEmployee shows to the caller of that standing.
	EmployeesFor(ctx context.Context, s Standing, r Range) ([]Employee, error)
	AddEmployee(ctx context.Context, e Employee) error
	ReplaceEmployee(ctx context.Context, e Employee) error
	// RemoveEmployee also removes the employee's grants and memberships.
	RemoveEmployee(ctx context.Context, id string) error
}

// Teams keeps teams.
type Teams interface {
	Team(ctx context.Context, id string) (Team, error)
	Teams(ctx context.Context, customerID string, r Range) ([]Team, error)
	AddTeam(ctx context.Context, t Team) error
	// ReplaceTeam leaves the members as they are. It also returns errDuplicate.
	ReplaceTeam(ctx context.Context, t Team) error
	// RemoveTeam also removes grants to the team.
	RemoveTeam(ctx context.Context, id string) error
	// AddMember and RemoveMember tell whether that changed anything.
	AddMember(ctx context.Context, t Team, employeeID string) (bool, error)
	RemoveMember(ctx context.Context, t Team, employeeID string) (bool, error)
}

// Grants keeps grants.
type Grants interface {
	Grant(ctx context.Context, id string) (Grant, error)
	Grants(ctx context.Context, customerID string, r Range) ([]Grant, error)
	AddGrant(ctx context.Context, g Grant) error
	// ReplaceGrant changes the period alone.
	ReplaceGrant(ctx context.Context, g Grant) error
	RemoveGrant(ctx context.Context, id string) error
}

// Keys keeps which API keys are whose.
type Keys interface {
	// Key returns a key of any customer.
	Key(ctx context.Context, keyID string) (KeyLink, error)
	AddKey(ctx context.Context, k KeyLink) error
	// RemoveKey also removes grants to the key. Where there is none it does nothing.
	RemoveKey(ctx context.Context, customerID, keyID string) error
}

// Deeds keeps who did what.
type Deeds interface {
	// Note writes an entry about a change into the audit log, as the last thing of its transaction: it lets one writer pass
	// at a time. Outside of a transaction it fails.
	Note(ctx context.Context, d Deed) error
}
