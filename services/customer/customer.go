package customer

import (
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/name"
)

// Record is what everything stored knows of its own history.
type Record struct {
	// Version is 1 at first and one more after each change; the etag.
	Version                int64
	CreateTime, UpdateTime time.Time
	// CreatedBy and UpdatedBy are subjects.
	CreatedBy, UpdatedBy string
}

// newRecord begins the history of something that by makes now.
func newRecord(by string, now time.Time) Record {
	return Record{Version: 1, CreateTime: now, UpdateTime: now, CreatedBy: by, UpdatedBy: by}
}

// next returns the history after a change by by.
func (r Record) next(by string, now time.Time) Record {
	r.Version++
	r.UpdateTime, r.UpdatedBy = now, by
	return r
}

// Customer is a company that uses RealGuardIO.
type Customer struct {
	ID, Name string
	Record
}

// Location is a place of a customer that one security system can guard.
type Location struct {
	ID, CustomerID string
	// Name is unique in the customer.
	Name, Address string
	// ClosingUntil is until when no system may be installed because somebody is about to remove the location; zero: nobody
	// is. It is not part of what etag and version tell of.
	ClosingUntil time.Time
	Record
}

// Employee is a person who works for a customer. One person may work for several, as one user.
type Employee struct {
	ID, CustomerID string
	// UserID is the person's subject at the identity provider.
	UserID string
	Name   string
	// Email is unique in the customer, by emailKey.
	Email string
	Record
}

// Team is a set of employees of one customer.
type Team struct {
	ID, CustomerID string
	// Name is unique in the customer.
	Name string
	// Members are ids of employees, in the order of their ids.
	Members []string
	Record
}

// KeyLink says that an API key of the identity provider is a customer's.
type KeyLink struct {
	KeyID, CustomerID string
	CreateTime        time.Time
	CreatedBy         string
}

// Recipient is a person to be told of an alarm.
type Recipient struct{ UserID, Name, Email string }

// emailKey is the form in which two addresses are compared. Domains are not case-sensitive, and no mail service that
// matters tells local parts apart by case.
func emailKey(email string) string { return strings.ToLower(email) }

// textFault says what is wrong with a line of text that people read, or "".
func textFault(s string) string {
	switch {
	case strings.TrimSpace(s) != s:
		return "must not begin or end with white space"
	case s == "":
		return ""
	}
	return name.Problem(s)
}
