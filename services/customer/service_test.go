package customer_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
)

func TestWhoSeesWhat(t *testing.T) {
	a := newAcme(t, newWorld(t))
	everywhere := []string{"Oakland", "Berkeley", "Hayward"}
	for _, test := range []struct {
		name      string
		as        string
		customers []string
		locations []string
		// employees, teams and grants of Acme
		employees, teams, grants int
	}{
		{"a platform admin sees all", "admin", []string{"Acme Corporation", "Foo Industries", "Zero"}, everywhere, 5, 1, 5},
		{"a company admin sees all of the company", "alice", []string{"Acme Corporation"}, everywhere, 5, 1, 5},
		{"a role at one place shows that place", "mary", []string{"Acme Corporation"}, []string{"Oakland"}, 1, 0, 0},
		{"a team's role shows its place to a member", "charlie", []string{"Acme Corporation"}, []string{"Berkeley"}, 1, 0, 0},
		{"a role everywhere shows every place", "victor", []string{"Acme Corporation"}, everywhere, 1, 0, 0},
		{"an employee without roles sees the company", "eve", []string{"Acme Corporation"}, nil, 1, 0, 0},
		{"a key sees its customer and its place", "key", []string{"Acme Corporation"}, []string{"Oakland"}, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := a.as(test.as)
			if test.as == "key" {
				ctx = a.asKey(a.key)
			}
			var customers, locations []string
			for _, c := range must(a.client.ListCustomers(ctx, &customerv1.ListCustomersRequest{}))(t).GetCustomers() {
				customers = append(customers, c.GetName())
			}
			if !slices.Equal(customers, test.customers) {
				t.Errorf("customers %q, want %q", customers, test.customers)
			}
			for _, l := range must(a.client.ListLocations(ctx, &customerv1.ListLocationsRequest{CustomerId: a.id}))(t).GetLocations() {
				locations = append(locations, l.GetName())
			}
			if !slices.Equal(locations, test.locations) {
				t.Errorf("locations %q, want %q", locations, test.locations)
			}
			for _, id := range []string{a.oakland, a.berkeley, a.hayward} {
				_, err := a.client.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: a.id, LocationId: id})
				_, lookupErr := a.client.LookupLocation(ctx, &customerv1.LookupLocationRequest{LocationId: id})
				if (err == nil) != (lookupErr == nil) {
					t.Errorf("GetLocation says %v, LookupLocation %v", err, lookupErr)
				}
			}
			employees := must(a.client.ListEmployees(ctx, &customerv1.ListEmployeesRequest{CustomerId: a.id}))(t).GetEmployees()
			teams := must(a.client.ListTeams(ctx, &customerv1.ListTeamsRequest{CustomerId: a.id}))(t).GetTeams()
			grants := must(a.client.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: a.id}))(t).GetGrants()
			if len(employees) != test.employees || len(teams) != test.teams || len(grants) != test.grants {
				t.Errorf("%d employees, %d teams, %d grants, want %d, %d, %d",
					len(employees), len(teams), len(grants), test.employees, test.teams, test.grants)
			}
			if test.employees == 1 && employees[0].GetUserId() != "u-"+test.as {
				t.Errorf("%s sees the employee %s", test.as, employees[0].GetUserId())
			}
		})
	}
}

func TestWhatIsNotTheirsDoesNotExist(t *testing.T) {
	a := newAcme(t, newWorld(t))
	for _, test := range []struct{ name, as, customer string }{
		{"to the admin of another company", "bob", a.id},
		{"to somebody who works nowhere", "nobody", a.id},
		{"under another company's id, to its admin", "bob", a.foo},
		{"in a company of another form of id", "alice", "1 OR 1=1"},
		{"in a company with NUL in its id", "alice", a.id[:20] + "\x00"},
		{"in a company that is none", "admin", "cus_00000000000000000000000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, call := range a.calls() {
				if test.customer == a.foo && call.of == "customer" && call.name != "RotateApiKey" {
					continue // bob's own
				}
				t.Run(call.name, func(t *testing.T) {
					a.unchanged(t, func() {
						refused(t, call.run(a.as(test.as), test.customer), codes.NotFound, "NOT_FOUND")
					})
				})
			}
		})
	}
	a.unchanged(t, func() {
		_, err := a.client.RevokeApiKey(a.as("bob"), &customerv1.RevokeApiKeyRequest{CustomerId: a.foo, ApiKeyId: a.key})
		refused(t, err, codes.NotFound, "NOT_FOUND")
		_, err = a.client.RotateApiKey(a.as("bob"), &customerv1.RotateApiKeyRequest{CustomerId: a.foo, ApiKeyId: a.key})
		refused(t, err, codes.NotFound, "NOT_FOUND")
		_, err = a.client.LookupLocation(a.as("bob"), &customerv1.LookupLocationRequest{LocationId: a.oakland})
		refused(t, err, codes.NotFound, "NOT_FOUND")
	})
}

// Everybody here may see the customer; each thing in it they may see or not, and nobody may change anything.
func TestOnlyTheCompanysAdminsChangeWhatItHas(t *testing.T) {
	a := newAcme(t, newWorld(t))
	for _, test := range []struct {
		as string
		// sees are the kinds of the things in calls that are shown.
		sees []string
		// may are writes that are allowed, which are tested elsewhere.
		may []string
	}{
		{"admin", []string{"customer", "location", "employee", "team", "grant"}, []string{"UpdateCustomer"}},
		{"mary", []string{"customer", "location", "employee"}, nil},
		{"charlie", []string{"customer"}, nil},
		{"victor", []string{"customer", "location"}, nil},
		{"eve", []string{"customer"}, nil},
	} {
		t.Run(test.as, func(t *testing.T) {
			for _, call := range a.calls() {
				if slices.Contains(test.may, call.name) {
					continue
				}
				t.Run(call.name, func(t *testing.T) {
					a.unchanged(t, func() {
						err := call.run(a.as(test.as), a.id)
						switch {
						case !slices.Contains(test.sees, call.of):
							refused(t, err, codes.NotFound, "NOT_FOUND")
						case call.write:
							refused(t, err, codes.PermissionDenied, "ROLE_MISSING")
						case err != nil:
							t.Errorf("not shown: %v", err)
						}
					})
				})
			}
		})
	}
}

func TestAKeyOnlyReads(t *testing.T) {
	a := newAcme(t, newWorld(t))
	for _, call := range a.calls() {
		t.Run(call.name, func(t *testing.T) {
			a.unchanged(t, func() {
				err := call.run(a.asKey(a.key), a.id)
				switch {
				case call.write:
					refused(t, err, codes.PermissionDenied, "CALLER_KIND")
				case call.of == "customer" || call.of == "location":
					if err != nil {
						t.Errorf("not shown: %v", err)
					}
				default:
					refused(t, err, codes.NotFound, "NOT_FOUND")
				}
			})
		})
	}
}

func TestACompanyAdminChangesWhatTheCompanyHas(t *testing.T) {
	a := newAcme(t, newWorld(t))
	// What is removed comes last, and what is part of something before that.
	var calls, removals []call
	for _, c := range a.calls() {
		if strings.HasPrefix(c.name, "Remove") || strings.HasPrefix(c.name, "Revoke") {
			removals = append(removals, c)
		} else {
			calls = append(calls, c)
		}
	}
	slices.Reverse(removals)
	for _, call := range append(calls, removals...) {
		t.Run(call.name, func(t *testing.T) {
			before := a.dump()
			if err := call.run(a.as("alice"), a.id); err != nil {
				t.Error(err)
			}
			if changed := a.dump() != before; changed != (call.write && call.name != "ListApiKeys") {
				t.Errorf("something changed: %v", changed)
			}
		})
	}
}
