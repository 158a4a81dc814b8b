package customer_test

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
)

// call is one RPC about things of Acme, in a customer that may be another.
type call struct {
	name string
	// of is what the RPC is about: the customer as a whole, or one thing of it.
	of    string
	write bool
	run   func(ctx context.Context, customerID string) error
}

// calls are all RPCs that are about one customer.
func (a *acme) calls() []call {
	c := a.client
	mary := a.employees["mary"]
	return []call{
		{"GetCustomer", "customer", false, func(ctx context.Context, id string) error {
			_, err := c.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: id})
			return err
		}},
		{"UpdateCustomer", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.UpdateCustomer(ctx, &customerv1.UpdateCustomerRequest{CustomerId: id, Name: "Mine"})
			return err
		}},
		{"CreateLocation", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: id, Name: "Mine"})
			return err
		}},
		{"GetLocation", "location", false, func(ctx context.Context, id string) error {
			_, err := c.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: id, LocationId: a.oakland})
			return err
		}},
		{"ListLocations", "customer", false, func(ctx context.Context, id string) error {
			_, err := c.ListLocations(ctx, &customerv1.ListLocationsRequest{CustomerId: id})
			return err
		}},
		{"UpdateLocation", "location", true, func(ctx context.Context, id string) error {
			_, err := c.UpdateLocation(ctx, &customerv1.UpdateLocationRequest{CustomerId: id, LocationId: a.oakland, Name: "Renamed"})
			return err
		}},
		{"RemoveLocation", "location", true, func(ctx context.Context, id string) error {
			_, err := c.RemoveLocation(ctx, &customerv1.RemoveLocationRequest{CustomerId: id, LocationId: a.oakland})
			return err
		}},
		{"CreateEmployee", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{CustomerId: id, Name: "Me", Email: "me@evil.example"})
			return err
		}},
		{"GetEmployee", "employee", false, func(ctx context.Context, id string) error {
			_, err := c.GetEmployee(ctx, &customerv1.GetEmployeeRequest{CustomerId: id, EmployeeId: mary})
			return err
		}},
		{"ListEmployees", "customer", false, func(ctx context.Context, id string) error {
			_, err := c.ListEmployees(ctx, &customerv1.ListEmployeesRequest{CustomerId: id})
			return err
		}},
		{"UpdateEmployee", "employee", true, func(ctx context.Context, id string) error {
			_, err := c.UpdateEmployee(ctx, &customerv1.UpdateEmployeeRequest{CustomerId: id, EmployeeId: mary, Name: "Me"})
			return err
		}},
		{"RemoveEmployee", "employee", true, func(ctx context.Context, id string) error {
			_, err := c.RemoveEmployee(ctx, &customerv1.RemoveEmployeeRequest{CustomerId: id, EmployeeId: mary})
			return err
		}},
		{"CreateTeam", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: id, Name: "Mine"})
			return err
		}},
		{"GetTeam", "team", false, func(ctx context.Context, id string) error {
			_, err := c.GetTeam(ctx, &customerv1.GetTeamRequest{CustomerId: id, TeamId: a.night})
			return err
		}},
		{"ListTeams", "customer", false, func(ctx context.Context, id string) error {
			_, err := c.ListTeams(ctx, &customerv1.ListTeamsRequest{CustomerId: id})
			return err
		}},
		{"UpdateTeam", "team", true, func(ctx context.Context, id string) error {
			_, err := c.UpdateTeam(ctx, &customerv1.UpdateTeamRequest{CustomerId: id, TeamId: a.night, Name: "Renamed"})
			return err
		}},
		{"RemoveTeam", "team", true, func(ctx context.Context, id string) error {
			_, err := c.RemoveTeam(ctx, &customerv1.RemoveTeamRequest{CustomerId: id, TeamId: a.night})
			return err
		}},
		{"AddTeamMember", "team", true, func(ctx context.Context, id string) error {
			_, err := c.AddTeamMember(ctx, &customerv1.AddTeamMemberRequest{CustomerId: id, TeamId: a.night, EmployeeId: mary})
			return err
		}},
		{"RemoveTeamMember", "team", true, func(ctx context.Context, id string) error {
			_, err := c.RemoveTeamMember(ctx, &customerv1.RemoveTeamMemberRequest{
				CustomerId: id, TeamId: a.night, EmployeeId: a.employees["charlie"],
			})
			return err
		}},
		{"CreateGrant", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.CreateGrant(ctx, grantRequest(id, toEmployee(mary), disarmer, a.oakland))
			return err
		}},
		{"GetGrant", "grant", false, func(ctx context.Context, id string) error {
			_, err := c.GetGrant(ctx, &customerv1.GetGrantRequest{CustomerId: id, GrantId: a.grants["mary oakland"]})
			return err
		}},
		{"ListGrants", "customer", false, func(ctx context.Context, id string) error {
			_, err := c.ListGrants(ctx, &customerv1.ListGrantsRequest{CustomerId: id})
			return err
		}},
		{"UpdateGrant", "grant", true, func(ctx context.Context, id string) error {
			_, err := c.UpdateGrant(ctx, &customerv1.UpdateGrantRequest{
				CustomerId: id, GrantId: a.grants["mary oakland"], StartTime: timestamppb.Now(),
			})
			return err
		}},
		{"RemoveGrant", "grant", true, func(ctx context.Context, id string) error {
			_, err := c.RemoveGrant(ctx, &customerv1.RemoveGrantRequest{CustomerId: id, GrantId: a.grants["mary oakland"]})
			return err
		}},
		{"CreateApiKey", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{CustomerId: id, Name: "mine", Scopes: []string{"customer.read"}})
			return err
		}},
		// Who may not manage keys may not look at them either.
		{"ListApiKeys", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.ListApiKeys(ctx, &customerv1.ListApiKeysRequest{CustomerId: id})
			return err
		}},
		{"RotateApiKey", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.RotateApiKey(ctx, &customerv1.RotateApiKeyRequest{CustomerId: id, ApiKeyId: a.key})
			return err
		}},
		{"RevokeApiKey", "customer", true, func(ctx context.Context, id string) error {
			_, err := c.RevokeApiKey(ctx, &customerv1.RevokeApiKeyRequest{CustomerId: id, ApiKeyId: a.key})
			return err
		}},
	}
}
