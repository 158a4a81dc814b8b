package customer_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestOnlyPlatformAdminsCreateAndRemoveCustomers(t *testing.T) {
	a := newAcme(t, newWorld(t))
	a.unchanged(t, func() {
		for _, caller := range []string{"alice", "mary", "nobody"} {
			_, err := a.client.CreateCustomer(a.as(caller), &customerv1.CreateCustomerRequest{
				Name: "Mine", AdminEmail: "x@evil.example", AdminName: "X",
			})
			refused(t, err, codes.PermissionDenied, "ROLE_MISSING")
			_, err = a.client.RemoveCustomer(a.as(caller), &customerv1.RemoveCustomerRequest{CustomerId: a.id})
			refused(t, err, codes.PermissionDenied, "ROLE_MISSING")
		}
	})
}

func TestACustomerBeginsWithItsFirstAdmin(t *testing.T) {
	w := newWorld(t)
	id := w.customer("Acme Corporation", "Alice@Acme.example")
	if roles := w.accounts.users["u-alice"]; roles != "REALGUARDIO_CUSTOMER_EMPLOYEE" {
		t.Errorf("the admin's account has the roles %q", roles)
	}
	mine := must(w.client.ListMyGrants(w.as("alice"), &customerv1.ListMyGrantsRequest{}))(t).GetGrants()
	if len(mine) != 1 || mine[0].GetRole() != companyAdmin || mine[0].GetCustomerId() != id || mine[0].GetLocationId() != "" {
		t.Errorf("the admin holds %v", mine)
	}
	employees := must(w.client.ListEmployees(w.as("alice"), &customerv1.ListEmployeesRequest{CustomerId: id}))(t).GetEmployees()
	if len(employees) != 1 || employees[0].GetUserId() != "u-alice" || employees[0].GetEmail() != "Alice@Acme.example" {
		t.Errorf("the employees are %v", employees)
	}
	w.location("alice", id, "Oakland")
}

func TestWithoutTheIdentityProviderNothingIsHalfMade(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"it is down", status.Error(codes.Unavailable, "connection refused"), codes.Unavailable, "DEPENDENCY_DOWN"},
		{"it is too slow", status.Error(codes.DeadlineExceeded, "too slow"), codes.Unavailable, "DEPENDENCY_DOWN"},
		{"it refuses this service", mesh.PermissionDenied("WORKLOAD", "not you"), codes.Internal, "INTERNAL"},
		{"it fails", status.Error(codes.Internal, "secret internals"), codes.Internal, "INTERNAL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAcme(t, newWorld(t))
			a.accounts.fail(test.err)
			a.unchanged(t, func() {
				_, err := a.client.CreateCustomer(a.as("admin"), &customerv1.CreateCustomerRequest{
					Name: "New", AdminEmail: "new@new.example", AdminName: "New",
				})
				refused(t, err, test.code, test.reason)
				for _, call := range a.calls() {
					switch call.name {
					case "CreateEmployee", "CreateApiKey", "ListApiKeys", "RotateApiKey", "RevokeApiKey":
						err := call.run(a.as("alice"), a.id)
						refused(t, err, test.code, test.reason)
						if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "connection") {
							t.Errorf("%s tells %v", call.name, err)
						}
					}
				}
				_, err = a.client.RemoveCustomer(a.as("admin"), &customerv1.RemoveCustomerRequest{CustomerId: a.empty})
				refused(t, err, test.code, test.reason)
			})
		})
	}
}

func TestRemoveCustomer(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("admin")
	a.unchanged(t, func() {
		_, err := a.client.RemoveCustomer(ctx, &customerv1.RemoveCustomerRequest{CustomerId: a.id})
		refused(t, err, codes.FailedPrecondition, "CUSTOMER_HAS_LOCATIONS")
		_, err = a.client.RemoveCustomer(ctx, &customerv1.RemoveCustomerRequest{CustomerId: a.empty, Etag: "7"})
		refused(t, err, codes.Aborted, "ETAG_MISMATCH")
	})
	for _, id := range []string{a.oakland, a.berkeley, a.hayward} {
		must(a.client.RemoveLocation(a.as("alice"), &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: id}))(t)
	}
	must(a.client.RemoveCustomer(ctx, &customerv1.RemoveCustomerRequest{CustomerId: a.id}))(t)
	if !a.accounts.keys[a.key].revoked {
		t.Error("the customer's key lives on")
	}
	for _, name := range []string{"alice", "mary", "victor"} {
		if mine := must(a.client.ListMyGrants(a.as(name), &customerv1.ListMyGrantsRequest{}))(t).GetGrants(); len(mine) != 0 {
			t.Errorf("%s still holds %v", name, mine)
		}
	}
	_, err := a.client.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: a.id})
	refused(t, err, codes.NotFound, "NOT_FOUND")
	must(a.client.GetCustomer(a.as("bob"), &customerv1.GetCustomerRequest{CustomerId: a.foo}))(t)
}

func TestAStaleEtagChangesNothing(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	mary := a.employees["mary"]
	for _, test := range []struct {
		name string
		// write changes or removes the thing and returns its new etag.
		write func(ctx context.Context, etag string) (string, error)
		last  func(ctx context.Context, etag string) error
	}{
		{"customer", func(ctx context.Context, etag string) (string, error) {
			r, err := a.client.UpdateCustomer(ctx, &customerv1.UpdateCustomerRequest{CustomerId: a.id, Name: "Acme", Etag: etag})
			return r.GetCustomer().GetEtag(), err
		}, nil},
		{"location", func(ctx context.Context, etag string) (string, error) {
			r, err := a.client.UpdateLocation(ctx, &customerv1.UpdateLocationRequest{
				CustomerId: a.id, LocationId: a.hayward, Name: "Hayward 2", Etag: etag,
			})
			return r.GetLocation().GetEtag(), err
		}, func(ctx context.Context, etag string) error {
			_, err := a.client.RemoveLocation(ctx, &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: a.hayward, Etag: etag})
			return err
		}},
		{"employee", func(ctx context.Context, etag string) (string, error) {
			r, err := a.client.UpdateEmployee(ctx, &customerv1.UpdateEmployeeRequest{CustomerId: a.id, EmployeeId: mary, Name: "M", Etag: etag})
			return r.GetEmployee().GetEtag(), err
		}, func(ctx context.Context, etag string) error {
			_, err := a.client.RemoveEmployee(ctx, &customerv1.RemoveEmployeeRequest{CustomerId: a.id, EmployeeId: mary, Etag: etag})
			return err
		}},
		{"grant", func(ctx context.Context, etag string) (string, error) {
			r, err := a.client.UpdateGrant(ctx, &customerv1.UpdateGrantRequest{CustomerId: a.id, GrantId: a.grants["victor"], Etag: etag})
			return r.GetGrant().GetEtag(), err
		}, func(ctx context.Context, etag string) error {
			_, err := a.client.RemoveGrant(ctx, &customerv1.RemoveGrantRequest{CustomerId: a.id, GrantId: a.grants["victor"], Etag: etag})
			return err
		}},
		{"team", func(ctx context.Context, etag string) (string, error) {
			r, err := a.client.UpdateTeam(ctx, &customerv1.UpdateTeamRequest{CustomerId: a.id, TeamId: a.night, Name: "Nights", Etag: etag})
			return r.GetTeam().GetEtag(), err
		}, func(ctx context.Context, etag string) error {
			_, err := a.client.RemoveTeam(ctx, &customerv1.RemoveTeamRequest{CustomerId: a.id, TeamId: a.night, Etag: etag})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			first := must(test.write(ctx, ""))(t)
			second := must(test.write(ctx, first))(t)
			if first == second {
				t.Errorf("two versions have the etag %q", first)
			}
			a.unchanged(t, func() {
				for _, stale := range []string{first, "0", "-1", "'", "\x00", strings.Repeat("9", 64)} {
					_, err := test.write(ctx, stale)
					refused(t, err, codes.Aborted, "ETAG_MISMATCH")
					if test.last != nil {
						refused(t, test.last(ctx, stale), codes.Aborted, "ETAG_MISMATCH")
					}
				}
			})
			if test.last != nil {
				if err := test.last(ctx, second); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestDuplicatesAreRefused(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	must(a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "Day shift"}))(t)
	mary := a.employees["mary"]
	for _, test := range []struct {
		name string
		run  func() error
	}{
		{"a location's name", func() error {
			_, err := a.client.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: a.id, Name: "Oakland"})
			return err
		}},
		{"a name that a location is changed to", func() error {
			_, err := a.client.UpdateLocation(ctx, &customerv1.UpdateLocationRequest{CustomerId: a.id, LocationId: a.berkeley, Name: "Oakland"})
			return err
		}},
		{"a team's name", func() error {
			_, err := a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "Night shift"})
			return err
		}},
		{"a name that a team is changed to", func() error {
			_, err := a.client.UpdateTeam(ctx, &customerv1.UpdateTeamRequest{CustomerId: a.id, TeamId: a.night, Name: "Day shift"})
			return err
		}},
		{"an employee's e-mail in other letters", func() error {
			_, err := a.client.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{CustomerId: a.id, Name: "Mary", Email: "MARY@acme.example"})
			return err
		}},
		{"a person, by another address", func() error {
			_, err := a.client.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{CustomerId: a.id, Name: "Mary", Email: "mary@other.example"})
			return err
		}},
		{"a grant at a place", func() error {
			_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toEmployee(mary), armer, a.oakland))
			return err
		}},
		{"a grant everywhere", func() error {
			_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toEmployee(a.employees["victor"]), viewer, ""))
			return err
		}},
		{"a grant to a team", func() error {
			_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toTeam(a.night), disarmer, a.berkeley))
			return err
		}},
		{"a grant to a key", func() error {
			_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toKey(a.key), viewer, a.oakland))
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.unchanged(t, func() { refused(t, test.run(), codes.AlreadyExists, "ALREADY_EXISTS") })
		})
	}
	// Neither is a duplicate: another company's names are its own, and so is another role at the same place.
	a.location("bob", a.foo, "Oakland")
	a.grant("mary oakland 2", toEmployee(mary), disarmer, a.oakland)
}

func TestBadInputIsRefusedWithTheFieldsName(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	long := strings.Repeat("x", 201)
	for _, test := range []struct {
		name, field string
		run         func() error
	}{
		{"no name", "name", func() error {
			_, err := a.client.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: a.id})
			return err
		}},
		{"a name of white space", "name", func() error {
			_, err := a.client.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: a.id, Name: "  "})
			return err
		}},
		{"NUL in a name", "name", func() error {
			_, err := a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "a\x00b"})
			return err
		}},
		{"a line end in a name", "name", func() error {
			_, err := a.client.UpdateEmployee(ctx, &customerv1.UpdateEmployeeRequest{
				CustomerId: a.id, EmployeeId: a.employees["mary"], Name: "a\r\nBcc: b",
			})
			return err
		}},
		{"a name that is too long", "name", func() error {
			_, err := a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: a.id, Name: long})
			return err
		}},
		{"NUL in an address", "address", func() error {
			_, err := a.client.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: a.id, Name: "x", Address: "\x00"})
			return err
		}},
		{"an e-mail that is none", "email", func() error {
			_, err := a.client.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{CustomerId: a.id, Name: "x", Email: "x"})
			return err
		}},
		{"an admin's e-mail that is none", "adminEmail", func() error {
			_, err := a.client.CreateCustomer(a.as("admin"), &customerv1.CreateCustomerRequest{Name: "x", AdminName: "x", AdminEmail: "x@"})
			return err
		}},
		{"an admin's name of white space", "adminName", func() error {
			_, err := a.client.CreateCustomer(a.as("admin"), &customerv1.CreateCustomerRequest{Name: "x", AdminName: " x", AdminEmail: "x@x.example"})
			return err
		}},
		{"no scope for a key", "scopes", func() error {
			_, err := a.client.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{CustomerId: a.id, Name: "x"})
			return err
		}},
		{"a scope that keys do not have", "scopes", func() error {
			_, err := a.client.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{CustomerId: a.id, Name: "x", Scopes: []string{"admin"}})
			return err
		}},
		{"a page size below zero", "pageSize", func() error {
			_, err := a.client.ListLocations(ctx, &customerv1.ListLocationsRequest{CustomerId: a.id, PageSize: -1})
			return err
		}},
		{"a page token that is none", "pageToken", func() error {
			_, err := a.client.ListLocations(ctx, &customerv1.ListLocationsRequest{CustomerId: a.id, PageToken: "1"})
			return err
		}},
		{"a page token of another list", "pageToken", func() error {
			customers := must(a.client.ListCustomers(a.as("admin"), &customerv1.ListCustomersRequest{PageSize: 1}))(t)
			_, err := a.client.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: a.id, PageToken: customers.GetNextPageToken()})
			return err
		}},
		{"a page token that is none, for customers", "pageToken", func() error {
			_, err := a.client.ListCustomers(ctx, &customerv1.ListCustomersRequest{PageToken: "' OR 1=1"})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.unchanged(t, func() { refusedField(t, test.run(), test.field) })
		})
	}
}

func TestACallerWithoutTheScopeIsRefused(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := meshtest.As(t.Context(), a.issuer.Token(t, meshtest.Claims{Subject: "u-alice", Scopes: []string{"securitysystem.read"}}))
	for _, call := range a.calls() {
		t.Run(call.name, func(t *testing.T) {
			a.unchanged(t, func() { refused(t, call.run(ctx, a.id), codes.PermissionDenied, "SCOPE_MISSING") })
		})
	}
}
