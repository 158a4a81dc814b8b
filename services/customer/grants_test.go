package customer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// rights are what ListMyGrants shows, as "role place", in order.
func (a *acme) rights(ctx context.Context) []string {
	a.t.Helper()
	places := map[string]string{
		"": "everywhere", a.oakland: "oakland", a.berkeley: "berkeley", a.hayward: "hayward", a.fooLoc: "springfield",
	}
	rights := []string{}
	for _, g := range must(a.client.ListMyGrants(ctx, &customerv1.ListMyGrantsRequest{}))(a.t).GetGrants() {
		right := fmt.Sprint(g.GetRole(), " ", places[g.GetLocationId()])
		if g.GetTeamId() != "" {
			right += " by team"
		}
		rights = append(rights, right)
	}
	slices.Sort(rights)
	return rights
}

func (a *acme) holds(t *testing.T, ctx context.Context, want ...string) {
	t.Helper()
	if got := a.rights(ctx); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("holds %q, want %q", got, want)
	}
}

func TestGrantsInForce(t *testing.T) {
	a := newAcme(t, newWorld(t))
	a.holds(t, a.as("alice"), "COMPANY_ROLE_ADMIN everywhere")
	a.holds(t, a.as("mary"), "SECURITY_SYSTEM_ARMER oakland")
	a.holds(t, a.as("charlie"), "SECURITY_SYSTEM_DISARMER berkeley by team")
	a.holds(t, a.as("victor"), "SECURITY_SYSTEM_VIEWER everywhere")
	a.holds(t, a.as("eve"))
	a.holds(t, a.as("admin"))
	a.holds(t, a.asKey(a.key), "SECURITY_SYSTEM_VIEWER oakland")
}

func TestWhoWorksForTwoCompaniesHoldsTheGrantsOfBoth(t *testing.T) {
	a := newAcme(t, newWorld(t))
	mary := must(a.client.CreateEmployee(a.as("bob"), &customerv1.CreateEmployeeRequest{
		CustomerId: a.foo, Name: "Mary", Email: "mary@acme.example",
	}))(t).GetEmployee()
	a.holds(t, a.as("mary"), "SECURITY_SYSTEM_ARMER oakland")
	must(a.client.CreateGrant(a.as("bob"), grantRequest(a.foo, toEmployee(mary.GetId()), viewer, a.fooLoc)))(t)
	a.holds(t, a.as("mary"), "SECURITY_SYSTEM_ARMER oakland", "SECURITY_SYSTEM_VIEWER springfield")
}

// A person whose subject reads like a key's id, or a key that reads like a person's, holds nothing of the other.
func TestPeopleAndKeysDoNotHoldEachOthersGrants(t *testing.T) {
	a := newAcme(t, newWorld(t))
	person := meshtest.As(t.Context(), a.issuer.Token(t, meshtest.Claims{Subject: a.key, ClientID: "app", Scopes: bothScopes}))
	for name, ctx := range map[string]context.Context{"a person": person, "a key": a.asKey("u-victor")} {
		a.holds(t, ctx)
		if customers := must(a.client.ListCustomers(ctx, &customerv1.ListCustomersRequest{}))(t).GetCustomers(); len(customers) > 0 {
			t.Errorf("%s sees %v", name, customers)
		}
		_, err := a.client.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: a.id})
		refused(t, err, codes.NotFound, "NOT_FOUND")
	}
	// Nor does a person hold what the application they use was granted.
	through := meshtest.As(t.Context(), a.issuer.Token(t, meshtest.Claims{Subject: "u-eve", ClientID: a.key, Scopes: bothScopes}))
	a.holds(t, through)
}

func TestEachWithdrawalEndsTheRight(t *testing.T) {
	for _, test := range []struct {
		name, who string
		withdraw  func(a *acme, ctx context.Context) error
	}{
		{"the grant is removed", "mary", func(a *acme, ctx context.Context) error {
			_, err := a.client.RemoveGrant(ctx, &customerv1.RemoveGrantRequest{CustomerId: a.id, GrantId: a.grants["mary oakland"]})
			return err
		}},
		{"the employee is removed", "mary", func(a *acme, ctx context.Context) error {
			_, err := a.client.RemoveEmployee(ctx, &customerv1.RemoveEmployeeRequest{CustomerId: a.id, EmployeeId: a.employees["mary"]})
			return err
		}},
		{"the location is removed", "mary", func(a *acme, ctx context.Context) error {
			_, err := a.client.RemoveLocation(ctx, &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: a.oakland})
			return err
		}},
		{"the member leaves the team", "charlie", func(a *acme, ctx context.Context) error {
			_, err := a.client.RemoveTeamMember(ctx, &customerv1.RemoveTeamMemberRequest{
				CustomerId: a.id, TeamId: a.night, EmployeeId: a.employees["charlie"],
			})
			return err
		}},
		{"the team is removed", "charlie", func(a *acme, ctx context.Context) error {
			_, err := a.client.RemoveTeam(ctx, &customerv1.RemoveTeamRequest{CustomerId: a.id, TeamId: a.night})
			return err
		}},
		{"the team's grant is removed", "charlie", func(a *acme, ctx context.Context) error {
			_, err := a.client.RemoveGrant(ctx, &customerv1.RemoveGrantRequest{CustomerId: a.id, GrantId: a.grants["night berkeley"]})
			return err
		}},
		{"the grant is to begin later", "mary", func(a *acme, ctx context.Context) error {
			_, err := a.client.UpdateGrant(ctx, &customerv1.UpdateGrantRequest{
				CustomerId: a.id, GrantId: a.grants["mary oakland"], StartTime: timestamppb.New(a.clock.Now().Add(time.Hour)),
			})
			return err
		}},
		{"the key is revoked", "key", func(a *acme, ctx context.Context) error {
			_, err := a.client.RevokeApiKey(ctx, &customerv1.RevokeApiKeyRequest{CustomerId: a.id, ApiKeyId: a.key})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAcme(t, newWorld(t))
			ctx := a.as(test.who)
			if test.who == "key" {
				ctx = a.asKey(a.key)
			}
			if len(a.rights(ctx)) != 1 {
				t.Fatalf("holds %q at first", a.rights(ctx))
			}
			if err := test.withdraw(a, a.as("alice")); err != nil {
				t.Fatal(err)
			}
			a.holds(t, ctx)
			for _, id := range []string{a.oakland, a.berkeley} {
				_, err := a.client.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: a.id, LocationId: id})
				refused(t, err, codes.NotFound, "NOT_FOUND")
				_, err = a.client.LookupLocation(ctx, &customerv1.LookupLocationRequest{LocationId: id})
				refused(t, err, codes.NotFound, "NOT_FOUND")
			}
		})
	}
}

func TestAGrantIsInForceFromItsStartUntilItsEnd(t *testing.T) {
	a := newAcme(t, newWorld(t))
	start := a.clock.Now().Add(time.Hour)
	end := start.Add(time.Hour)
	req := grantRequest(a.id, toEmployee(a.employees["eve"]), viewer, a.hayward)
	req.StartTime, req.EndTime = timestamppb.New(start), timestamppb.New(end)
	must(a.client.CreateGrant(a.as("alice"), req))(t)

	sees := func() bool {
		_, err := a.client.GetLocation(a.as("eve"), &customerv1.GetLocationRequest{CustomerId: a.id, LocationId: a.hayward})
		return err == nil
	}
	for _, test := range []struct {
		name string
		now  time.Time
		want bool
	}{
		{"before", start.Add(-time.Second), false},
		{"from the start on", start, true},
		{"until the end", end.Add(-time.Second), true},
		{"at the end", end, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.clock.Set(test.now.Add(-time.Microsecond))
			if got := sees(); got != test.want {
				t.Errorf("seen: %v, want %v", got, test.want)
			}
			a.clock.Set(test.now.Add(-time.Microsecond))
			if got := a.rights(a.as("eve")); (len(got) == 1) != test.want {
				t.Errorf("holds %q, want any: %v", got, test.want)
			}
		})
	}
}

func TestAGrantThatMakesNoSenseIsRefused(t *testing.T) {
	a := newAcme(t, newWorld(t))
	mary := toEmployee(a.employees["mary"])
	bobs := must(a.client.ListEmployees(a.as("bob"), &customerv1.ListEmployeesRequest{CustomerId: a.foo}))(t).GetEmployees()[0].GetId()
	foosTeam := must(a.client.CreateTeam(a.as("bob"), &customerv1.CreateTeamRequest{CustomerId: a.foo, Name: "x"}))(t).GetTeam().GetId()
	foosKey := must(a.client.CreateApiKey(a.as("bob"), &customerv1.CreateApiKeyRequest{
		CustomerId: a.foo, Name: "x", Scopes: []string{"customer.read"},
	}))(t).GetApiKey().GetId()
	now := a.clock.Now()
	for _, test := range []struct {
		name, field string
		subject     to
		role        customerv1.Role
		location    string
		start, end  time.Time
	}{
		{name: "to an employee of another company", field: "employeeId", subject: toEmployee(bobs), role: viewer},
		{name: "to an employee who is none", field: "employeeId", subject: toEmployee("emp_00000000000000000000000000"), role: viewer},
		{name: "to an employee of another form of id", field: "employeeId", subject: toEmployee("'\x00"), role: viewer},
		{name: "to a team of another company", field: "teamId", subject: toTeam(foosTeam), role: viewer},
		{name: "to a key of another company", field: "apiKeyId", subject: toKey(foosKey), role: viewer},
		{name: "to a key of another form of id", field: "apiKeyId", subject: toKey("rgk_\x00"), role: viewer},
		{name: "at a location of another company", field: "locationId", subject: mary, role: viewer, location: a.fooLoc},
		{name: "at a location that is none", field: "locationId", subject: mary, role: viewer, location: "loc_x"},
		{name: "of no role", field: "role", subject: mary},
		{name: "of an unknown role", field: "role", subject: mary, role: 99},
		{name: "of administration at one location", field: "locationId", subject: mary, role: companyAdmin, location: a.oakland},
		{name: "of administration to a team", field: "role", subject: toTeam(a.night), role: companyAdmin},
		{name: "of administration to a key", field: "role", subject: toKey(a.key), role: companyAdmin},
		{name: "that ends before it starts", field: "endTime", subject: mary, role: viewer, start: now.Add(2 * time.Hour), end: now.Add(time.Hour)},
		{name: "that ends when it starts", field: "endTime", subject: mary, role: viewer, start: now.Add(time.Hour), end: now.Add(time.Hour)},
		{name: "that has ended", field: "endTime", subject: mary, role: viewer, end: now.Add(-time.Hour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := grantRequest(a.id, test.subject, test.role, test.location)
			if !test.start.IsZero() {
				req.StartTime = timestamppb.New(test.start)
			}
			if !test.end.IsZero() {
				req.EndTime = timestamppb.New(test.end)
			}
			a.unchanged(t, func() {
				_, err := a.client.CreateGrant(a.as("alice"), req)
				refusedField(t, err, test.field)
			})
		})
	}
	a.unchanged(t, func() {
		_, err := a.client.CreateGrant(a.as("alice"), &customerv1.CreateGrantRequest{CustomerId: a.id, Role: viewer})
		refusedField(t, err, "subject")
		_, err = a.client.UpdateGrant(a.as("alice"), &customerv1.UpdateGrantRequest{
			CustomerId: a.id, GrantId: a.grants["victor"], EndTime: timestamppb.New(now.Add(-time.Hour)),
		})
		refusedField(t, err, "endTime")
		_, err = a.client.UpdateGrant(a.as("alice"), &customerv1.UpdateGrantRequest{
			CustomerId: a.id, GrantId: a.grants["victor"], StartTime: &timestamppb.Timestamp{Seconds: 1 << 60},
		})
		refusedField(t, err, "startTime")
	})
}

func TestACompanyKeepsALastingAdmin(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	removeGrant := func(name string) error {
		_, err := a.client.RemoveGrant(ctx, &customerv1.RemoveGrantRequest{CustomerId: a.id, GrantId: a.grants[name]})
		return err
	}
	removeAlice := func() error {
		_, err := a.client.RemoveEmployee(ctx, &customerv1.RemoveEmployeeRequest{CustomerId: a.id, EmployeeId: a.employees["alice"]})
		return err
	}
	update := func(name string, start, end time.Duration) error {
		req := &customerv1.UpdateGrantRequest{CustomerId: a.id, GrantId: a.grants[name]}
		if start != 0 {
			req.StartTime = timestamppb.New(a.clock.Now().Add(start))
		}
		if end != 0 {
			req.EndTime = timestamppb.New(a.clock.Now().Add(end))
		}
		_, err := a.client.UpdateGrant(ctx, req)
		return err
	}
	last := func(t *testing.T) {
		t.Helper()
		a.unchanged(t, func() {
			refused(t, removeGrant("alice"), codes.FailedPrecondition, "LAST_COMPANY_ADMIN")
			refused(t, removeAlice(), codes.FailedPrecondition, "LAST_COMPANY_ADMIN")
			refused(t, update("alice", 0, time.Hour), codes.FailedPrecondition, "LAST_COMPANY_ADMIN")
			refused(t, update("alice", time.Hour, 0), codes.FailedPrecondition, "LAST_COMPANY_ADMIN")
		})
	}
	t.Run("the only one", last)

	req := grantRequest(a.id, toEmployee(a.employees["mary"]), companyAdmin, "")
	req.EndTime = timestamppb.New(a.clock.Now().Add(24 * time.Hour))
	a.grants["mary"] = must(a.client.CreateGrant(ctx, req))(t).GetGrant().GetId()
	t.Run("beside one whose time ends", last)

	if err := update("mary", time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	t.Run("beside one whose time has not come", last)

	if err := update("mary", 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := removeAlice(); err != nil {
		t.Errorf("beside a lasting one: %v", err)
	}
	_, err := a.client.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: a.id})
	refused(t, err, codes.NotFound, "NOT_FOUND")
}

func TestRecipientsArePeopleWithARoleThere(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := meshtest.As(t.Context(), a.issuer.Workload(t, "notification"))
	client := customerv1.NewCustomerServiceClient(a.server.DialAs(t, "notification"))
	recipients := func(location string) []string {
		ids := []string{}
		for _, r := range must(client.ListRecipients(ctx, &customerv1.ListRecipientsRequest{LocationId: location}))(t).GetRecipients() {
			ids = append(ids, r.GetUserId())
			if r.GetName() == "" || r.GetEmail() == "" {
				t.Errorf("recipient %v cannot be written to", r)
			}
		}
		return ids
	}
	for location, want := range map[string][]string{
		a.oakland:  {"u-alice", "u-mary", "u-victor"},
		a.berkeley: {"u-alice", "u-charlie", "u-victor"},
		a.hayward:  {"u-alice", "u-victor"},
		a.fooLoc:   {"u-bob"},
	} {
		if got := recipients(location); !slices.Equal(got, want) {
			t.Errorf("recipients are %q, want %q", got, want)
		}
	}
	// Somebody with two roles is told once.
	a.grant("mary everywhere", toEmployee(a.employees["mary"]), viewer, "")
	if got := recipients(a.oakland); !slices.Equal(got, []string{"u-alice", "u-mary", "u-victor"}) {
		t.Errorf("recipients are %q", got)
	}
	for _, id := range []string{"loc_00000000000000000000000000", "x", "\x00"} {
		_, err := client.ListRecipients(ctx, &customerv1.ListRecipientsRequest{LocationId: id})
		refused(t, err, codes.NotFound, "NOT_FOUND")
	}
}

func TestRecipientsAreForTheNotificationServiceAlone(t *testing.T) {
	a := newAcme(t, newWorld(t))
	req := &customerv1.ListRecipientsRequest{LocationId: a.oakland}
	_, err := a.client.ListRecipients(a.as("admin"), req)
	refused(t, err, codes.PermissionDenied, "CALLER_KIND")
	_, err = a.client.ListRecipients(a.asKey(a.key), req)
	refused(t, err, codes.PermissionDenied, "CALLER_KIND")
	for _, part := range []string{"securitysystem", "gateway"} {
		client := customerv1.NewCustomerServiceClient(a.server.DialAs(t, part))
		_, err = client.ListRecipients(meshtest.As(t.Context(), a.issuer.Workload(t, part)), req)
		refused(t, err, codes.PermissionDenied, mesh.ReasonWorkload)
		// The token of the right part from the wrong one.
		_, err = client.ListRecipients(meshtest.As(t.Context(), a.issuer.Workload(t, "notification")), req)
		refused(t, err, codes.PermissionDenied, mesh.ReasonWorkload)
	}
}
