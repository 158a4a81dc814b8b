package securitysystem

import (
	"context"
	"errors"
	"time"
)

var (
	// errNoSystem: there is no such system.
	errNoSystem = errors.New("no such security system")
	// errOccupied: the location has a system already, or is reserved for one.
	errOccupied = errors.New("location has a security system")
	// errLapsed: the reservation has run out and was taken away.
	errLapsed = errors.New("reservation has lapsed")
	// errStale: the system is no longer at the version that the change starts from.
	errStale = errors.New("security system was changed meanwhile")
	// errRepeated: the report was acted on before.
	errRepeated = errors.New("report was acted on before")
	// errTooManyRights: the caller's rights do not fit into one query.
	errTooManyRights = errors.New("too many separate rights for one query")
)

// SystemStore keeps systems and their timelines. Each method is atomic.
type SystemStore interface {
	// Create stores a system and its first event in place of its reservation, or returns errLapsed where that is not there.
	// errOccupied where the location has one after all.
	Create(ctx context.Context, c Change) error
	// Get returns errNoSystem when there is none.
	Get(ctx context.Context, id string) (System, error)
	// List returns the first n of the visible systems after a place in the order of location name and id. The zero
	// place is the beginning.
	List(ctx context.Context, visible Visible, after Place, n int) ([]System, error)
	// Apply makes a change with its event, and retires the panel that the change replaces. It changes nothing and
	// returns errStale when the system is not at the version before the change, or errRepeated when its report was
	// acted on.
	Apply(ctx context.Context, c Change) error
	// Remove is Apply for the change that ends a system.
	Remove(ctx context.Context, c Change) error
	// Events returns the first n events of a system before a version, newest first. Version 0 is the end.
	Events(ctx context.Context, systemID string, before int64, n int) ([]Event, error)
}

// PlaceStore keeps which locations are taken, by a system or by a reservation for one. Each method is atomic.
type PlaceStore interface {
	// Reserve holds a location for a system until a time, or returns errOccupied. A reservation that has run out is
	// replaced.
	Reserve(ctx context.Context, locationID, systemID string, now, until time.Time) error
	// Release ends a reservation where it is still there.
	Release(ctx context.Context, locationID, systemID string) error
	// Occupied tells whether a location has a system or is reserved for one. It takes away a reservation that has run out,
	// so that what it says stays true: nothing will come of it.
	Occupied(ctx context.Context, locationID string, now time.Time) (bool, error)
}

// PanelStore keeps which credentials report for which system, and those that no longer do.
type PanelStore interface {
	// SystemOf returns the system that a client reports for, or errNoSystem.
	SystemOf(ctx context.Context, clientID string) (System, error)
	// Acted tells whether a report of a client was acted on.
	Acted(ctx context.Context, clientID, reportID string) (bool, error)
	// Retire notes that the credentials of a client are to be ended.
	Retire(ctx context.Context, clientID string, due time.Time) error
	// Retired returns at most n clients whose credentials are due to be ended.
	Retired(ctx context.Context, due time.Time, n int) ([]RetiredPanel, error)
	// Ended forgets a client whose credentials have been ended.
	Ended(ctx context.Context, clientID string) error
	// Postpone sets the time of the next attempt to end a client's credentials, and counts this one.
	Postpone(ctx context.Context, clientID string, due time.Time) error
}

// Place is where a page of a list ends.
type Place struct{ LocationName, ID string }

// RetiredPanel is a client whose credentials are to be ended.
type RetiredPanel struct {
	ClientID string
	// Attempts is how often that failed.
	Attempts int
}
