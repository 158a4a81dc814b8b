package customer_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// TestListsShowWhatGetsShow makes random companies and compares, for every caller, each list with what asking for each
// thing by itself shows. Lists are decided by SQL, single things by the policy.
func TestListsShowWhatGetsShow(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := worldOver(t, open())
		random := rand.New(rand.NewPCG(7, 11))
		o := &oracle{world: w, customers: map[string]*company{}}
		for i := range 3 {
			o.add(t, random, i)
		}
		// Some grants have begun by now, some have ended.
		w.clock.Advance(90 * time.Minute)

		callers := map[string]context.Context{"admin": w.as("admin"), "stranger": w.as("stranger")}
		for i := range o.people {
			name := fmt.Sprint("p", i)
			callers[name] = w.as(name)
		}
		for i := range 3 {
			name := fmt.Sprint("boss", i)
			callers[name] = w.as(name)
		}
		for _, c := range o.customers {
			for _, key := range c.keys {
				callers[key] = w.asKey(key)
			}
		}
		shown := 0
		for _, name := range slices.Sorted(maps.Keys(callers)) {
			shown += o.compare(t, name, callers[name], 1+random.IntN(4))
			o.explains(t, name, callers[name])
		}
		if shown == 0 {
			t.Error("nobody saw anything: the data tests nothing")
		}
	})
}

type company struct {
	locations, employees, teams, grants, keys []string
}

type oracle struct {
	*world
	people    int
	customers map[string]*company
}

const oraclePeople = 8

// add makes a company, of which some of the same eight people are employees, with random grants.
func (o *oracle) add(t *testing.T, random *rand.Rand, n int) {
	t.Helper()
	o.people = oraclePeople
	boss := fmt.Sprint("boss", n)
	id := o.customer(fmt.Sprint("Company ", random.IntN(100)), boss+"@x.example")
	c := &company{}
	o.customers[id] = c
	ctx := o.as(boss)
	for i := range 5 {
		c.locations = append(c.locations, o.location(boss, id, fmt.Sprint("L", i)))
	}
	for i := range o.people {
		if random.IntN(2) == 0 {
			c.employees = append(c.employees, o.employee(boss, id, fmt.Sprint("p", i)))
		}
	}
	for i := range 2 {
		team := must(o.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: id, Name: fmt.Sprint("T", i)}))(t).GetTeam().GetId()
		c.teams = append(c.teams, team)
		for _, e := range c.employees {
			if random.IntN(3) == 0 {
				must(o.client.AddTeamMember(ctx, &customerv1.AddTeamMemberRequest{CustomerId: id, TeamId: team, EmployeeId: e}))(t)
			}
		}
		c.keys = append(c.keys, must(o.client.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{
			CustomerId: id, Name: "k", Scopes: []string{"customer.read"},
		}))(t).GetApiKey().GetId())
	}
	for range 14 {
		o.addGrant(t, random, ctx, id, c)
	}
	for _, g := range must(o.client.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: id}))(t).GetGrants() {
		c.grants = append(c.grants, g.GetId())
	}
	for _, e := range must(o.client.ListEmployees(ctx, &customerv1.ListEmployeesRequest{CustomerId: id}))(t).GetEmployees() {
		if !slices.Contains(c.employees, e.GetId()) {
			c.employees = append(c.employees, e.GetId())
		}
	}
}

func (o *oracle) addGrant(t *testing.T, random *rand.Rand, ctx context.Context, id string, c *company) {
	t.Helper()
	pick := func(ids []string) string { return ids[random.IntN(len(ids))] }
	place := ""
	if random.IntN(4) > 0 {
		place = pick(c.locations)
	}
	role := []customerv1.Role{armer, disarmer, viewer}[random.IntN(3)]
	subject := []to{toEmployee(pick(append(c.employees, "none"))), toTeam(pick(c.teams)), toKey(pick(c.keys))}[random.IntN(3)]
	req := grantRequest(id, subject, role, place)
	if req.GetEmployeeId() != "" && place == "" && random.IntN(3) == 0 {
		req.Role = companyAdmin
	}
	// Looked at an hour and a half later.
	switch random.IntN(4) {
	case 0:
		req.StartTime = timestamppb.New(o.clock.Now().Add(time.Duration(1+random.IntN(2)) * time.Hour))
	case 1:
		req.EndTime = timestamppb.New(o.clock.Now().Add(time.Duration(1+random.IntN(2)) * time.Hour))
	}
	_, err := o.client.CreateGrant(ctx, req)
	if code := status.Code(err); code != codes.OK && code != codes.AlreadyExists && code != codes.InvalidArgument {
		t.Fatal(err)
	}
}

// compare compares all lists that a caller gets in pages of that size, and returns how many things they saw.
func (o *oracle) compare(t *testing.T, caller string, ctx context.Context, size int) int {
	t.Helper()
	shown := 0
	check := func(what string, all []string, get func(id string) error, list func(token string) ([]string, string, error)) {
		t.Helper()
		var want []string
		for _, id := range all {
			switch err := get(id); status.Code(err) {
			case codes.OK:
				want = append(want, id)
			case codes.NotFound:
			default:
				t.Fatal(err)
			}
		}
		var got []string
		token := ""
		for {
			ids, next, err := list(token)
			if status.Code(err) == codes.NotFound && len(want) == 0 {
				break // the customer is hidden, and all that it has
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(ids) > size || next != "" && len(ids) != size {
				t.Errorf("a page of %d has %d", size, len(ids))
			}
			got = append(got, ids...)
			if token = next; token == "" {
				break
			}
		}
		shown += len(got)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the list of %s has %q, single questions show %q", caller, what, got, want)
		}
	}
	page := int32(size)
	check("customers", slices.Collect(maps.Keys(o.customers)), func(id string) error {
		_, err := o.client.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: id})
		return err
	}, func(token string) ([]string, string, error) {
		r, err := o.client.ListCustomers(ctx, &customerv1.ListCustomersRequest{PageSize: page, PageToken: token})
		return ids(r.GetCustomers()), r.GetNextPageToken(), err
	})
	for id, c := range o.customers {
		check("locations", c.locations, func(l string) error {
			_, err := o.client.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: id, LocationId: l})
			return err
		}, func(token string) ([]string, string, error) {
			r, err := o.client.ListLocations(ctx, &customerv1.ListLocationsRequest{CustomerId: id, PageSize: page, PageToken: token})
			return ids(r.GetLocations()), r.GetNextPageToken(), err
		})
		check("employees", c.employees, func(e string) error {
			_, err := o.client.GetEmployee(ctx, &customerv1.GetEmployeeRequest{CustomerId: id, EmployeeId: e})
			return err
		}, func(token string) ([]string, string, error) {
			r, err := o.client.ListEmployees(ctx, &customerv1.ListEmployeesRequest{CustomerId: id, PageSize: page, PageToken: token})
			return ids(r.GetEmployees()), r.GetNextPageToken(), err
		})
		check("teams", c.teams, func(team string) error {
			_, err := o.client.GetTeam(ctx, &customerv1.GetTeamRequest{CustomerId: id, TeamId: team})
			return err
		}, func(token string) ([]string, string, error) {
			r, err := o.client.ListTeams(ctx, &customerv1.ListTeamsRequest{CustomerId: id, PageSize: page, PageToken: token})
			return ids(r.GetTeams()), r.GetNextPageToken(), err
		})
		check("grants", c.grants, func(g string) error {
			_, err := o.client.GetGrant(ctx, &customerv1.GetGrantRequest{CustomerId: id, GrantId: g})
			return err
		}, func(token string) ([]string, string, error) {
			r, err := o.client.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: id, PageSize: page, PageToken: token})
			return ids(r.GetGrants()), r.GetNextPageToken(), err
		})
	}
	return shown
}

// explains compares what is explained to a caller of themselves with what they hold and see.
func (o *oracle) explains(t *testing.T, caller string, ctx context.Context) {
	t.Helper()
	held := must(o.client.ListMyGrants(ctx, &customerv1.ListMyGrantsRequest{}))(t).GetGrants()
	for id, c := range o.customers {
		for _, l := range c.locations {
			_, hidden := o.client.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: id, LocationId: l})
			for _, role := range []customerv1.Role{0, companyAdmin, armer, disarmer, viewer} {
				got, err := o.client.ExplainAccess(ctx, &customerv1.ExplainAccessRequest{CustomerId: id, LocationId: l, Role: role})
				if status.Code(err) != status.Code(hidden) {
					t.Fatalf("%s: explained is %v, seen %v", caller, err, hidden)
				}
				var by []string
				for _, h := range held {
					if h.GetCustomerId() == id && (h.GetLocationId() == "" || h.GetLocationId() == l) && (role == 0 || h.GetRole() == role) {
						by = append(by, h.GetGrantId())
					}
				}
				var said []string
				for _, g := range got.GetGrants() {
					if g.GetAllows() {
						said = append(said, g.GetGrantId())
					}
				}
				slices.Sort(by)
				slices.Sort(said)
				want := hidden == nil && (role == 0 || len(by) > 0)
				if got.GetAllowed() != want || hidden == nil && !slices.Equal(said, by) {
					t.Errorf("%s, %v at %s: allowed %v by %q, want %v by %q", caller, role, l, got.GetAllowed(), said, want, by)
				}
			}
		}
	}
}

func ids[T interface{ GetId() string }](things []T) []string {
	ids := make([]string, len(things))
	for i, thing := range things {
		ids[i] = thing.GetId()
	}
	return ids
}
