package customer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/audit/audittest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

// entries returns what was recorded of an action, the oldest first.
func (w *world) entries(action string) []audit.Entry {
	w.t.Helper()
	return audittest.Entries(w.t, w.db, audit.Filter{Action: action})
}

// TestWhatPeopleChangeIsRecorded makes every change that there is.
func TestWhatPeopleChangeIsRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		a := newAcme(t, worldOver(t, open()))
		before := len(a.entries(""))
		alice, mary, c := a.as("alice"), a.employees["mary"], a.client
		must(c.UpdateCustomer(alice, &customerv1.UpdateCustomerRequest{CustomerId: a.id, Name: "Acme"}))(t)
		must(c.UpdateLocation(alice, &customerv1.UpdateLocationRequest{CustomerId: a.id, LocationId: a.hayward, Name: "Hayward 2", Address: "Road 2"}))(t)
		must(c.RemoveLocation(alice, &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: a.hayward}))(t)
		must(c.UpdateTeam(alice, &customerv1.UpdateTeamRequest{CustomerId: a.id, TeamId: a.night, Name: "Day shift"}))(t)
		for range 2 { // the second time nothing changes
			must(c.AddTeamMember(alice, &customerv1.AddTeamMemberRequest{CustomerId: a.id, TeamId: a.night, EmployeeId: mary}))(t)
		}
		must(c.RemoveTeamMember(alice, &customerv1.RemoveTeamMemberRequest{CustomerId: a.id, TeamId: a.night, EmployeeId: mary}))(t)
		must(c.UpdateGrant(alice, &customerv1.UpdateGrantRequest{CustomerId: a.id, GrantId: a.grants["mary oakland"]}))(t)
		must(c.RemoveGrant(alice, &customerv1.RemoveGrantRequest{CustomerId: a.id, GrantId: a.grants["mary oakland"]}))(t)
		must(c.UpdateEmployee(alice, &customerv1.UpdateEmployeeRequest{CustomerId: a.id, EmployeeId: mary, Name: "Mary"}))(t)
		must(c.RemoveEmployee(alice, &customerv1.RemoveEmployeeRequest{CustomerId: a.id, EmployeeId: mary}))(t)
		must(c.RemoveTeam(alice, &customerv1.RemoveTeamRequest{CustomerId: a.id, TeamId: a.night}))(t)
		must(c.RotateApiKey(alice, &customerv1.RotateApiKeyRequest{CustomerId: a.id, ApiKeyId: a.key}))(t)
		must(c.RevokeApiKey(alice, &customerv1.RevokeApiKeyRequest{CustomerId: a.id, ApiKeyId: a.key}))(t)
		must(c.RemoveCustomer(a.as("admin"), &customerv1.RemoveCustomerRequest{CustomerId: a.empty}))(t)
		var got []string
		for _, e := range a.entries("")[before:] {
			if e.ClientID != "test-client" || !slices.Equal(e.Via, []string{"test-client"}) || e.RequestID == "" || e.Details["customer"] == "" {
				t.Errorf("%+v", e)
			}
			got = append(got, fmt.Sprint(e.Action, " ", e.Actor, " ", e.Target))
		}
		want := []string{
			"customer.update u-alice " + a.id,
			"location.update u-alice " + a.hayward, "location.remove u-alice " + a.hayward,
			"team.update u-alice " + a.night, "team.member.add u-alice " + a.night, "team.member.remove u-alice " + a.night,
			"grant.update u-alice " + a.grants["mary oakland"], "grant.remove u-alice " + a.grants["mary oakland"],
			"employee.update u-alice " + mary, "employee.remove u-alice " + mary, "team.remove u-alice " + a.night,
			"key.rotate u-alice " + a.key, "key.revoke u-alice " + a.key, "customer.remove u-admin " + a.empty,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for action, n := range map[string]int{"customer.create": 3, "location.create": 4, "employee.create": 4, "team.create": 1, "grant.create": 4, "key.create": 1} {
			if got := a.entries(action); len(got) != n {
				t.Errorf("%s is recorded %d times", action, len(got))
			}
		}
		grant := a.entries("grant.create")[0]
		if grant.Details["employee"] != mary || grant.Details["location"] != a.oakland || grant.Details["role"] != "SECURITY_SYSTEM_ARMER" {
			t.Errorf("%+v", grant)
		}
		for _, e := range a.entries("") {
			if text := fmt.Sprint(e); strings.Contains(text, "@") || strings.Contains(text, "Ms. ") || strings.Contains(text, "street") {
				t.Errorf("it tells of people what nobody can take out again: %s", text)
			}
		}
	})
}

// TestWhoGoesIsRecordedAllTheSame: they change a key at the identity provider, and go before it has answered.
func TestWhoGoesIsRecordedAllTheSame(t *testing.T) {
	a := newAcme(t, newWorld(t))
	for _, tt := range []struct {
		action string
		call   func(context.Context) error
	}{
		{"key.rotate", func(ctx context.Context) error {
			_, err := a.client.RotateApiKey(ctx, &customerv1.RotateApiKeyRequest{CustomerId: a.id, ApiKeyId: a.key})
			return err
		}},
		{"key.revoke", func(ctx context.Context) error {
			_, err := a.client.RevokeApiKey(ctx, &customerv1.RevokeApiKeyRequest{CustomerId: a.id, ApiKeyId: a.key})
			return err
		}},
	} {
		t.Run(tt.action, func(t *testing.T) {
			ctx, leave := context.WithCancel(a.as("alice"))
			defer leave()
			a.accounts.afterKey = leave
			if err := tt.call(ctx); err != nil && status.Code(err) != codes.Canceled {
				t.Fatal(err)
			}
			meshtest.Await(t, "it is recorded", func() bool { return len(a.entries(tt.action)) == 1 })
		})
	}
}

// TestWhatIsRefusedChangesNothingAndIsRecorded has it refused by the customer, and for whom there is none.
func TestWhatIsRefusedChangesNothingAndIsRecorded(t *testing.T) {
	a := newAcme(t, newWorld(t))
	before := len(a.entries(""))
	_, err := a.client.CreateTeam(a.as("mary"), &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "Mine"})
	if status.Code(err) != codes.PermissionDenied {
		t.Fatal(err)
	}
	_, err = a.client.CreateTeam(a.as("bob"), &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "Mine"})
	if status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	_, err = a.client.CreateTeam(a.as("alice"), &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "Night shift"})
	if status.Code(err) != codes.AlreadyExists {
		t.Fatal(err)
	}
	meshtest.Await(t, "the denial is recorded", func() bool { return len(a.entries("call.deny")) == 1 })
	if e := a.entries("call.deny")[0]; e.Actor != "u-mary" || e.Result != mesh.ReasonRoleMissing || !strings.HasSuffix(e.Target, "/CreateTeam") || e.RequestID == "" {
		t.Errorf("%+v", e)
	}
	if got := len(a.entries("")); got != before+1 {
		t.Errorf("%d entries after %d", got, before)
	}
}

// TestNobodyOfACompanyReadsWhatWasRecorded has them ask for their own company's; a platform admin reads of all.
func TestNobodyOfACompanyReadsWhatWasRecorded(t *testing.T) {
	a := newAcme(t, newWorld(t))
	log := auditv1.NewAuditServiceClient(a.server.Dial(t))
	read := []string{"audit.read", "customer.read"}
	for who, roles := range map[string][]string{"u-alice": nil, "u-bob": {"REALGUARDIO_CUSTOMER_EMPLOYEE"}, "u-eve": nil} {
		ctx := meshtest.As(t.Context(), a.issuer.Token(t, meshtest.Claims{Subject: who, Scopes: read, Roles: roles}))
		if _, err := log.ListEntries(ctx, &auditv1.ListEntriesRequest{Part: "customer", Target: a.id}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", who, err)
		}
	}
	ctx := meshtest.As(t.Context(), a.issuer.Token(t, meshtest.Claims{Subject: "u-admin", Scopes: read, Roles: []string{"REALGUARDIO_ADMIN"}}))
	answer, err := log.ListEntries(ctx, &auditv1.ListEntriesRequest{Part: "customer", Action: "customer.create"})
	if err != nil || len(answer.GetEntries()) != 3 {
		t.Errorf("%v, %v", answer, err)
	}
}
