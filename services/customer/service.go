// Package customer is the customer service: customers, their locations, employees and teams, and who was granted which
// role where.
//
// Accounts and secrets of keys are left to the identity provider, alarm systems to the security system service.
package customer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/internal/trail"
)

// Service implements the RPCs of CustomerService.
type Service struct {
	customerv1.UnsafeCustomerServiceServer

	store    Store
	accounts Accounts
	systems  SecuritySystems
	trail    *trail.Trail
	log      *slog.Logger
	now      func() time.Time
}

// kinds of resources, as they are named in errors, and the prefixes of their ids.
const (
	aCustomer, aLocation, anEmployee, aTeam, aGrant, aKey = "customer", "location", "employee", "team", "grant", "API key"

	customerPrefix, locationPrefix, employeePrefix, teamPrefix, grantPrefix = "cus", "loc", "emp", "team", "grt"
)

// view is one look at a customer by a caller who may see it.
type view struct {
	// Records are those of the transaction, where there is one.
	Records
	who Standing
	now time.Time
}

// look begins what only reads. A customer that the caller may not see is NOT_FOUND.
func (s *Service) look(ctx context.Context, customerID string) (view, error) {
	return s.lookIn(ctx, s.store, customerID)
}

func (s *Service) lookIn(ctx context.Context, r Records, customerID string) (view, error) {
	if !resourceid.Is(customerPrefix, customerID) {
		return view{}, mesh.NotFound(aCustomer, customerID)
	}
	now := s.now()
	who, err := r.Standing(ctx, callerOf(ctx), customerID, now)
	if err := found(err, aCustomer, customerID); err != nil {
		return view{}, err
	}
	return view{r, who, now}, seen(DecideCustomer(who), aCustomer, customerID)
}

// change runs f in a transaction, so that what f decides on still holds when its changes happen.
func (s *Service) change(ctx context.Context, customerID string, f func(v view) error) error {
	return s.store.Tx(ctx, func(r Records) error {
		v, err := s.lookIn(ctx, r, customerID)
		if err != nil {
			return err
		}
		return f(v)
	})
}

// made begins the history of something that the caller makes.
func (v view) made() Record { return newRecord(v.who.ID, v.now) }

// changed is the history of something that the caller changes.
func (v view) changed(r Record) Record { return r.next(v.who.ID, v.now) }

// keepsAdmin refuses a change after which the customer has no admin for good. It is asked in the transaction of the
// change: of two that would each remove the last but one, one sees the other's and is undone.
func (v view) keepsAdmin(ctx context.Context) error {
	has, err := v.HasLastingAdmin(ctx, v.who.CustomerID, v.now)
	if err != nil || has {
		return err
	}
	return mesh.FailedPrecondition("LAST_COMPANY_ADMIN",
		"a customer keeps at least one employee with COMPANY_ROLE_ADMIN that has begun and does not end")
}

// callerOf returns who calls. A workload holds nothing.
func callerOf(ctx context.Context) Caller {
	id := mesh.Caller(ctx)
	switch id.Kind {
	case mesh.KindUser:
		return Caller{Kind: KindUser, ID: id.Subject, PlatformAdmin: id.HasRole("REALGUARDIO_ADMIN")}
	case mesh.KindClient:
		return Caller{Kind: KindKey, ID: id.ClientID}
	}
	return Caller{}
}

// seen refuses a caller for whom the resource does not exist.
func seen(d Decision, resource, id string) error {
	if d == Hidden {
		return mesh.NotFound(resource, id)
	}
	return nil
}

// managed refuses a caller who may not change the resource, and in other words one for whom it does not exist.
func managed(d Decision, resource, id string) error {
	if d == Visible {
		return mesh.PermissionDenied(mesh.ReasonRoleMissing, "COMPANY_ROLE_ADMIN of the customer is required")
	}
	return seen(d, resource, id)
}

// found turns the store's errAbsent into NOT_FOUND.
func found(err error, resource, id string) error {
	if errors.Is(err, errAbsent) {
		return mesh.NotFound(resource, id)
	}
	return err
}

// unique turns the store's errDuplicate into ALREADY_EXISTS.
func unique(err error, resource, description string) error {
	if errors.Is(err, errDuplicate) {
		return mesh.AlreadyExists(resource, description)
	}
	return fresh(err)
}

// fresh turns the store's errStale into ABORTED.
func fresh(err error) error {
	if errors.Is(err, errStale) {
		return errETag()
	}
	return err
}

// etag is the version as callers see it.
func (r Record) etag() string { return strconv.FormatInt(r.Version, 10) }

// match refuses the etag of another version; the empty one matches any.
func (r Record) match(etag string) error {
	if etag != "" && etag != r.etag() {
		return errETag()
	}
	return nil
}

func errETag() error {
	return mesh.Aborted(mesh.ReasonETagMismatch, "it was changed meanwhile: read it again")
}

// lines checks lines of text, such as names, given as field and value in turn.
func lines(pairs ...string) error {
	var faults []mesh.FieldError
	for pair := range slices.Chunk(pairs, 2) {
		if fault := textFault(pair[1]); fault != "" {
			faults = append(faults, mesh.FieldError{Field: pair[0], Description: fault})
		}
	}
	if faults == nil {
		return nil
	}
	return mesh.InvalidFields(faults...)
}
