package customer_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
)

func TestAPageTokenIsGoodForItsOwnList(t *testing.T) {
	a := newAcme(t, newWorld(t))
	for i := range 2 {
		for who, customer := range map[string]string{"alice": a.id, "bob": a.foo} {
			ctx, name := a.as(who), fmt.Sprint("Another ", i)
			a.location(who, customer, name)
			must(a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: customer, Name: name}))(t)
			e := must(a.client.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{
				CustomerId: customer, Name: name, Email: fmt.Sprintf("another%d@%s.example", i, customer[len(customer)-4:]),
			}))(t).GetEmployee()
			must(a.client.CreateGrant(ctx, grantRequest(customer, toEmployee(e.GetId()), viewer, "")))(t)
		}
	}
	ctx := a.as("admin")
	type list func(token string) (next string, err error)
	lists := map[string]list{"customers": func(token string) (string, error) {
		r, err := a.client.ListCustomers(ctx, &customerv1.ListCustomersRequest{PageSize: 1, PageToken: token})
		return r.GetNextPageToken(), err
	}}
	for name, id := range map[string]string{"Acme": a.id, "Foo": a.foo} {
		lists["locations of "+name] = func(token string) (string, error) {
			r, err := a.client.ListLocations(ctx, &customerv1.ListLocationsRequest{CustomerId: id, PageSize: 1, PageToken: token})
			return r.GetNextPageToken(), err
		}
		lists["employees of "+name] = func(token string) (string, error) {
			r, err := a.client.ListEmployees(ctx, &customerv1.ListEmployeesRequest{CustomerId: id, PageSize: 1, PageToken: token})
			return r.GetNextPageToken(), err
		}
		lists["teams of "+name] = func(token string) (string, error) {
			r, err := a.client.ListTeams(ctx, &customerv1.ListTeamsRequest{CustomerId: id, PageSize: 1, PageToken: token})
			return r.GetNextPageToken(), err
		}
		lists["grants of "+name] = func(token string) (string, error) {
			r, err := a.client.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: id, PageSize: 1, PageToken: token})
			return r.GetNextPageToken(), err
		}
	}
	for from, list := range lists {
		token, err := list("")
		if err != nil || token == "" {
			t.Fatalf("%s: no second page, %v", from, err)
		}
		for to, other := range lists {
			_, err := other(token)
			if to != from {
				refusedField(t, err, "pageToken")
			} else if status.Code(err) != codes.OK {
				t.Errorf("%s: the second page: %v", from, err)
			}
		}
	}
}
