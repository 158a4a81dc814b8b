package customer_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// outcomes runs calls at the same time and counts how each ended: "" for those that succeeded, else the reason.
func outcomes(n int, run func(i int) error) map[string]int {
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		counts = map[string]int{}
	)
	for i := range n {
		group.Go(func() {
			err := run(i)
			reason := mesh.Reason(err)
			if err != nil && reason == "" {
				reason = fmt.Sprint(status.Code(err), " ", err)
			}
			mu.Lock()
			defer mu.Unlock()
			counts[reason]++
		})
	}
	group.Wait()
	return counts
}

func TestOfManyDuplicatesOneIsMade(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		a := newAcme(t, worldOver(t, open()))
		ctx := a.as("alice")
		for name, create := range map[string]func() error{
			"location": func() error {
				_, err := a.client.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: a.id, Name: "New"})
				return err
			},
			"team": func() error {
				_, err := a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "New"})
				return err
			},
			"employee": func() error {
				_, err := a.client.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{CustomerId: a.id, Name: "New", Email: "new@acme.example"})
				return err
			},
			"grant": func() error {
				_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toEmployee(a.employees["eve"]), viewer, ""))
				return err
			},
		} {
			got := outcomes(12, func(int) error { return create() })
			if got[""] != 1 || got["ALREADY_EXISTS"] != 11 {
				t.Errorf("%s: 12 at once ended as %v", name, got)
			}
		}
	})
}

func TestOfTwoLastAdminsOneStays(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		a := newAcme(t, worldOver(t, open()))
		for _, name := range []string{"mary", "victor", "eve"} {
			a.grant(name+" admin", toEmployee(a.employees[name]), companyAdmin, "")
		}
		// Each of the four removes one of the others or themselves: no two may be the last ones to go.
		admins := []string{"alice", "mary admin", "victor admin", "eve admin"}
		callers := []string{"alice", "mary", "victor", "eve"}
		got := outcomes(16, func(i int) error {
			target, caller := i%4, callers[(i+i/4)%4]
			if i%2 == 0 {
				_, err := a.client.RemoveGrant(a.as(caller), &customerv1.RemoveGrantRequest{CustomerId: a.id, GrantId: a.grants[admins[target]]})
				return err
			}
			_, err := a.client.RemoveEmployee(a.as(caller), &customerv1.RemoveEmployeeRequest{
				CustomerId: a.id, EmployeeId: a.employees[callers[target]],
			})
			return err
		})
		for reason := range got {
			switch reason {
			case "", "LAST_COMPANY_ADMIN", "NOT_FOUND", "ROLE_MISSING":
			default:
				t.Errorf("calls ended as %v", got)
			}
		}
		left := 0
		for _, g := range must(a.client.ListGrants(a.as("admin"), &customerv1.ListGrantsRequest{CustomerId: a.id}))(t).GetGrants() {
			if g.GetRole() == companyAdmin {
				left++
			}
		}
		if left != 1 || got[""] < 3 {
			t.Errorf("%d admins are left after %v", left, got)
		}
	})
}

func TestOfManyChangesToOneVersionOneHappens(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		a := newAcme(t, worldOver(t, open()))
		ctx := a.as("alice")
		got := outcomes(12, func(i int) error {
			_, err := a.client.UpdateLocation(ctx, &customerv1.UpdateLocationRequest{
				CustomerId: a.id, LocationId: a.oakland, Name: fmt.Sprint("Oakland ", i), Etag: "1",
			})
			return err
		})
		if got[""] != 1 || got["ETAG_MISMATCH"] != 11 {
			t.Errorf("12 at once ended as %v", got)
		}
		l := must(a.client.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: a.id, LocationId: a.oakland}))(t).GetLocation()
		if l.GetEtag() != "2" {
			t.Errorf("the etag is %s", l.GetEtag())
		}
	})
}

// A grant that is given while its subject or its place goes away is either gone with it or refused.
func TestAGrantDoesNotOutliveWhatItRefersTo(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		a := newAcme(t, worldOver(t, open()))
		ctx := a.as("alice")
		for round := range 4 {
			place := a.location("alice", a.id, fmt.Sprint("Place ", round))
			got := outcomes(6, func(i int) error {
				if i == 0 {
					_, err := a.client.RemoveLocation(ctx, &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: place})
					return err
				}
				subject := []string{"mary", "charlie", "victor", "eve", "alice"}[i-1]
				_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toEmployee(a.employees[subject]), viewer, place))
				return err
			})
			if got[""]+got["INVALID_FIELD"] != 6 {
				t.Errorf("calls ended as %v", got)
			}
		}
		for _, g := range must(a.client.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: a.id}))(t).GetGrants() {
			if g.GetLocationId() == "" || g.GetLocationId() == a.oakland || g.GetLocationId() == a.berkeley {
				continue
			}
			t.Errorf("grant %v is left at a location that is not", g)
		}
		_, err := a.client.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: a.id})
		if status.Code(err) != codes.OK {
			t.Error(err)
		}
	})
}
