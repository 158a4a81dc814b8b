package customer_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
)

func TestWhyMaySomebodyDoThis(t *testing.T) {
	a := newAcme(t, newWorld(t))
	hour := a.clock.Now().Add(time.Hour)
	request := func(name string, role customerv1.Role, place string) *customerv1.ExplainAccessRequest {
		r := &customerv1.ExplainAccessRequest{CustomerId: a.id, LocationId: place, Role: role}
		if name == "key" {
			r.ApiKeyId = a.key
		} else {
			r.EmployeeId = a.employees[name]
		}
		return r
	}
	later := grantRequest(a.id, toEmployee(a.employees["eve"]), armer, a.hayward)
	later.StartTime, later.EndTime = timestamppb.New(hour), timestamppb.New(hour.Add(time.Hour))
	eve := must(a.client.CreateGrant(a.as("alice"), later))(t).GetGrant().GetId()

	for _, tt := range []struct {
		name     string
		request  *customerv1.ExplainAccessRequest
		allowed  bool
		decision string
		// summary and because, of the one grant that there is, have this in them.
		summary, because string
	}{
		{"directly", request("mary", armer, a.oakland), true, "visible", "Allowed by " + a.grants["mary oakland"], "directly, for this location"},
		{"by a team", request("charlie", disarmer, a.berkeley), true, "visible", "Allowed by", "to the team " + a.night},
		{"inherited from the customer", request("victor", viewer, a.hayward), true, "visible", "Allowed by", "for every location of the customer"},
		{"an API key", request("key", viewer, a.oakland), true, "visible", "Allowed by", "directly"},
		{"a company admin manages", request("alice", companyAdmin, a.hayward), true, "managed", "Allowed by", "for every location"},
		{"another role", request("victor", armer, a.oakland), false, "visible", "Missing: SECURITY_SYSTEM_ARMER", "another role"},
		{"another location", request("mary", armer, a.hayward), false, "hidden", "Missing: SECURITY_SYSTEM_ARMER", "another location"},
		{"for the customer as a whole", request("mary", armer, ""), false, "visible", "Missing", "one location only"},
		{"not yet", request("eve", armer, a.hayward), false, "hidden", "Missing", "It begins at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, asker := range []string{"alice", "admin"} {
				got := must(a.client.ExplainAccess(a.as(asker), tt.request))(t)
				if got.GetAllowed() != tt.allowed || got.GetDecision() != tt.decision || !strings.Contains(got.GetSummary(), tt.summary) ||
					len(got.GetGrants()) != 1 || !strings.Contains(got.GetGrants()[0].GetBecause(), tt.because) || got.GetGrants()[0].GetAllows() != tt.allowed {
					t.Errorf("%s is told %v", asker, got)
				}
			}
		})
	}
	a.clock.Advance(90 * time.Minute)
	if got := must(a.client.ExplainAccess(a.as("eve"), &customerv1.ExplainAccessRequest{CustomerId: a.id, LocationId: a.hayward, Role: armer}))(t); !got.GetAllowed() ||
		!strings.Contains(got.GetSummary(), eve) || !strings.Contains(got.GetGrants()[0].GetBecause(), "until ") {
		t.Errorf("in force: %v", got)
	}
	a.clock.Advance(time.Hour)
	if got := must(a.client.ExplainAccess(a.as("alice"), request("eve", armer, a.hayward)))(t); got.GetAllowed() || !strings.Contains(got.GetGrants()[0].GetBecause(), "It ended at") {
		t.Errorf("over: %v", got)
	}
	if got := must(a.client.ExplainAccess(a.as("admin"), &customerv1.ExplainAccessRequest{CustomerId: a.id, LocationId: a.hayward}))(t); !got.GetAllowed() ||
		!strings.Contains(got.GetSummary(), "REALGUARDIO_ADMIN") || len(got.GetGrants()) != 0 {
		t.Errorf("a platform admin: %v", got)
	}
}

func TestAnExplanationRevealsNothing(t *testing.T) {
	a := newAcme(t, newWorld(t))
	about := func(change func(*customerv1.ExplainAccessRequest)) *customerv1.ExplainAccessRequest {
		r := &customerv1.ExplainAccessRequest{CustomerId: a.id, Role: armer}
		change(r)
		return r
	}
	mary := func(r *customerv1.ExplainAccessRequest) { r.EmployeeId = a.employees["mary"] }
	for _, tt := range []struct {
		name, as string
		change   func(*customerv1.ExplainAccessRequest)
		want     codes.Code
	}{
		{"oneself", "mary", mary, codes.OK},
		{"a colleague", "eve", mary, codes.NotFound},
		{"an employee of another company", "bob", mary, codes.NotFound},
		{"a key of one's company", "mary", func(r *customerv1.ExplainAccessRequest) { r.ApiKeyId = a.key }, codes.NotFound},
		{"a key that is not there", "alice", func(r *customerv1.ExplainAccessRequest) { r.ApiKeyId = "rgk_none" }, codes.NotFound},
		{"somebody who is not there", "alice", func(r *customerv1.ExplainAccessRequest) { r.EmployeeId = a.grants["alice"] }, codes.NotFound},
		{"a location that one may not see", "mary", func(r *customerv1.ExplainAccessRequest) { r.LocationId = a.hayward }, codes.NotFound},
		{"a location of another customer", "alice", func(r *customerv1.ExplainAccessRequest) { r.LocationId = a.fooLoc }, codes.NotFound},
		{"a customer that one may not see", "mary", func(r *customerv1.ExplainAccessRequest) { r.CustomerId = a.foo }, codes.NotFound},
		{"two at once", "alice", func(r *customerv1.ExplainAccessRequest) { mary(r); r.ApiKeyId = a.key }, codes.InvalidArgument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := a.client.ExplainAccess(a.as(tt.as), about(tt.change)); status.Code(err) != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := a.client.ExplainAccess(a.asKey(a.key), about(func(r *customerv1.ExplainAccessRequest) { r.ApiKeyId, r.LocationId = a.key, a.oakland })); err != nil {
		t.Errorf("a key about itself: %v", err)
	}
}
