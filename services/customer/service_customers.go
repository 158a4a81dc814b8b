package customer

import (
	"context"
	"errors"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

// CreateCustomer makes the admin's account before the transaction: an account without a customer gives no right, and
// repeating the call finds it.
func (s *Service) CreateCustomer(ctx context.Context, req *customerv1.CreateCustomerRequest) (*customerv1.CreateCustomerResponse, error) {
	caller := callerOf(ctx)
	if DecideCreateCustomer(caller) != Managed {
		return nil, errPlatformAdmin()
	}
	if err := lines("name", req.GetName(), "adminName", req.GetAdminName()); err != nil {
		return nil, err
	}
	userID, err := s.provision(ctx, "adminEmail", req.GetAdminEmail(), req.GetAdminName())
	if err != nil {
		return nil, err
	}
	c := Customer{ID: resourceid.New(customerPrefix), Name: req.GetName(), Record: newRecord(caller.ID, s.now())}
	admin := Employee{
		ID: resourceid.New(employeePrefix), CustomerID: c.ID, UserID: userID,
		Name: req.GetAdminName(), Email: req.GetAdminEmail(), Record: c.Record,
	}
	grant := Grant{
		ID: resourceid.New(grantPrefix), CustomerID: c.ID,
		Subject: Subject{EmployeeID: admin.ID}, Role: RoleCompanyAdmin, Record: c.Record,
	}
	err = s.store.Tx(ctx, func(r Records) error {
		if err := r.AddCustomer(ctx, c); err != nil {
			return err
		}
		if err := r.AddEmployee(ctx, admin); err != nil {
			return err
		}
		if err := r.AddGrant(ctx, grant); err != nil {
			return err
		}
		return r.Note(ctx, Deed{Action: "customer.create", Target: c.ID, CustomerID: c.ID, Time: c.CreateTime,
			More: map[string]string{"employee": admin.ID, "user": userID}})
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.CreateCustomerResponse{Customer: customerProto(c)}, nil
}

// GetCustomer implements the RPC.
func (s *Service) GetCustomer(ctx context.Context, req *customerv1.GetCustomerRequest) (*customerv1.GetCustomerResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	c, err := v.Customer(ctx, v.who.CustomerID)
	if err := found(err, aCustomer, req.GetCustomerId()); err != nil {
		return nil, err
	}
	return &customerv1.GetCustomerResponse{Customer: customerProto(c)}, nil
}

// ListCustomers implements the RPC.
func (s *Service) ListCustomers(ctx context.Context, req *customerv1.ListCustomersRequest) (*customerv1.ListCustomersResponse, error) {
	const list page.List = "customers"
	after, err := list.After(req.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = []string{"", ""}
	}
	size := page.Size(req.GetPageSize())
	customers, err := s.store.CustomersFor(ctx, callerOf(ctx), after[0], after[1], size+1)
	if err != nil {
		return nil, err
	}
	customers, next := page.Cut(list, customers, size, func(c Customer) []string { return []string{c.Name, c.ID} })
	return &customerv1.ListCustomersResponse{Customers: each(customers, customerProto), NextPageToken: next}, nil
}

// UpdateCustomer implements the RPC.
func (s *Service) UpdateCustomer(ctx context.Context, req *customerv1.UpdateCustomerRequest) (*customerv1.UpdateCustomerResponse, error) {
	if err := lines("name", req.GetName()); err != nil {
		return nil, err
	}
	var c Customer
	err := s.change(ctx, req.GetCustomerId(), func(v view) (err error) {
		if err := managed(DecideCustomer(v.who), aCustomer, v.who.CustomerID); err != nil {
			return err
		}
		if c, err = v.Customer(ctx, v.who.CustomerID); err != nil {
			return err
		}
		if err := c.match(req.GetEtag()); err != nil {
			return err
		}
		c.Name, c.Record = req.GetName(), v.changed(c.Record)
		if err := fresh(v.ReplaceCustomer(ctx, c)); err != nil {
			return err
		}
		return v.did(ctx, "customer.update", c.ID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.UpdateCustomerResponse{Customer: customerProto(c)}, nil
}

// RemoveCustomer ends the customer's keys at the identity provider first: should that fail, the customer is still there
// to try again with.
func (s *Service) RemoveCustomer(ctx context.Context, req *customerv1.RemoveCustomerRequest) (*customerv1.RemoveCustomerResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if err := v.customerRemovable(ctx, req.GetEtag()); err != nil {
		return nil, err
	}
	if err := s.revokeAllKeys(ctx, v.who.CustomerID); err != nil {
		return nil, err
	}
	err = s.change(ctx, req.GetCustomerId(), func(v view) error {
		if err := v.customerRemovable(ctx, req.GetEtag()); err != nil {
			return err
		}
		err := v.RemoveCustomer(ctx, v.who.CustomerID)
		if errors.Is(err, errInUse) {
			return mesh.Aborted("CONCURRENT_CHANGE", "an API key was made meanwhile: try again")
		}
		if err != nil {
			return err
		}
		return v.did(ctx, "customer.remove", v.who.CustomerID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.RemoveCustomerResponse{}, nil
}

// customerRemovable tells why the customer cannot be removed now.
func (v view) customerRemovable(ctx context.Context, etag string) error {
	if DecideRemoveCustomer(v.who) != Managed {
		return errPlatformAdmin()
	}
	c, err := v.Customer(ctx, v.who.CustomerID)
	if err != nil {
		return err
	}
	if err := c.match(etag); err != nil {
		return err
	}
	locations, err := v.LocationsFor(ctx, v.who, v.now, Range{After: beginning, Limit: 1})
	if err == nil && len(locations) > 0 {
		return mesh.FailedPrecondition("CUSTOMER_HAS_LOCATIONS", "remove the locations of the customer first")
	}
	return err
}

func errPlatformAdmin() error {
	return mesh.PermissionDenied(mesh.ReasonRoleMissing, "REALGUARDIO_ADMIN is required")
}
