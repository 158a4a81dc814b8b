package demo

import (
	"cmp"
	"context"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
)

// builder builds one company. Its maps lead from names to ids.
type builder struct {
	*Seeder
	ctx                                          context.Context
	company                                      company
	customerID                                   string
	locationIDs, employeeIDs, teamIDs, systemIDs map[string]string
	apiKeyID                                     string
	made                                         Made
}

func (b *builder) addLocations() error {
	existing, err := all(func(token string) ([]*customerv1.Location, string, error) {
		r, err := b.customers().ListLocations(b.ctx, &customerv1.ListLocationsRequest{CustomerId: b.customerID, PageSize: 200, PageToken: token})
		return r.GetLocations(), r.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	b.locationIDs = map[string]string{}
	for _, l := range missing(b.company.locations, func(l location) string { return l.name }, existing,
		func(e *customerv1.Location) (string, string) { return e.GetName(), e.GetId() }, b.locationIDs) {
		r, err := b.customers().CreateLocation(b.ctx, &customerv1.CreateLocationRequest{CustomerId: b.customerID, Name: l.name, Address: l.address})
		if err != nil {
			return err
		}
		b.locationIDs[l.name] = r.GetLocation().GetId()
	}
	return nil
}

func (b *builder) addEmployees() error {
	existing, err := all(func(token string) ([]*customerv1.Employee, string, error) {
		r, err := b.customers().ListEmployees(b.ctx, &customerv1.ListEmployeesRequest{CustomerId: b.customerID, PageSize: 200, PageToken: token})
		return r.GetEmployees(), r.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	b.employeeIDs = map[string]string{}
	for _, email := range missing(b.company.employees, func(email string) string { return email }, existing,
		func(e *customerv1.Employee) (string, string) { return e.GetEmail(), e.GetId() }, b.employeeIDs) {
		r, err := b.customers().CreateEmployee(b.ctx, &customerv1.CreateEmployeeRequest{CustomerId: b.customerID, Name: nameOf(email), Email: email})
		if err != nil {
			return err
		}
		b.employeeIDs[email] = r.GetEmployee().GetId()
	}
	return nil
}

func (b *builder) addTeams() error {
	existing, err := all(func(token string) ([]*customerv1.Team, string, error) {
		r, err := b.customers().ListTeams(b.ctx, &customerv1.ListTeamsRequest{CustomerId: b.customerID, PageSize: 200, PageToken: token})
		return r.GetTeams(), r.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	b.teamIDs = map[string]string{}
	for _, t := range missing(b.company.teams, func(t team) string { return t.name }, existing,
		func(e *customerv1.Team) (string, string) { return e.GetName(), e.GetId() }, b.teamIDs) {
		r, err := b.customers().CreateTeam(b.ctx, &customerv1.CreateTeamRequest{CustomerId: b.customerID, Name: t.name})
		if err != nil {
			return err
		}
		b.teamIDs[t.name] = r.GetTeam().GetId()
	}
	for _, t := range b.company.teams { // idempotent: a member is one once
		for _, email := range t.members {
			member := &customerv1.AddTeamMemberRequest{CustomerId: b.customerID, TeamId: b.teamIDs[t.name], EmployeeId: b.employeeIDs[email]}
			if _, err := b.customers().AddTeamMember(b.ctx, member); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) addSystems() error {
	existing, err := all(func(token string) ([]*securitysystemv1.SecuritySystem, string, error) {
		r, err := b.systems().ListSecuritySystems(b.ctx, &securitysystemv1.ListSecuritySystemsRequest{PageSize: 200, PageToken: token})
		return r.GetSecuritySystems(), r.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	b.systemIDs = map[string]string{}
	byLocation := map[string]string{}
	for _, system := range existing {
		byLocation[system.GetLocationId()] = system.GetId()
	}
	for _, l := range b.company.locations {
		at := b.locationIDs[l.name]
		if b.systemIDs[l.name] = byLocation[at]; b.systemIDs[l.name] != "" {
			continue
		}
		r, err := b.systems().CreateSecuritySystem(b.ctx, &securitysystemv1.CreateSecuritySystemRequest{LocationId: at})
		if err != nil {
			return err
		}
		b.systemIDs[l.name] = r.GetSecuritySystem().GetId()
	}
	return nil
}

// addPanel gives the panel credentials, unless those that are known still hold.
func (b *builder) addPanel() error {
	if b.company.panelAt == "" {
		return nil
	}
	for _, c := range Panels(*b.Known) {
		if valid, err := b.Valid(b.ctx, c.ID, c.Secret); err != nil {
			return err
		} else if valid {
			b.made.Panels = []readyfile.Client{c}
			return nil
		}
	}
	r, err := b.systems().RegisterPanel(b.ctx, &securitysystemv1.RegisterPanelRequest{SecuritySystemId: b.systemIDs[b.company.panelAt]})
	if err != nil {
		return err
	}
	b.made.Panels = []readyfile.Client{{
		ID: r.GetClientId(), Secret: r.GetClientSecret(), GrantTypes: []string{"client_credentials"},
		RedirectURIs: []string{}, PostLogoutRedirectURIs: []string{}, Scopes: []string{panelScope},
	}}
	return nil
}

// addAPIKey makes the key, unless the one that is known still holds. One whose secret was lost is replaced.
func (b *builder) addAPIKey() error {
	if b.company.apiKey == nil {
		return nil
	}
	for _, k := range b.Known.APIKeys {
		if k.Customer != b.company.name {
			continue
		}
		if valid, err := b.Valid(b.ctx, k.Key, k.Secret); err != nil {
			return err
		} else if valid {
			b.apiKeyID, b.made.APIKeys = k.Key, []readyfile.APIKey{k}
			return nil
		}
	}
	existing, err := b.customers().ListApiKeys(b.ctx, &customerv1.ListApiKeysRequest{CustomerId: b.customerID})
	if err != nil {
		return err
	}
	for _, k := range existing.GetApiKeys() {
		if k.GetName() == b.company.apiKey.name && k.GetRevokeTime() == nil {
			if _, err := b.customers().RevokeApiKey(b.ctx, &customerv1.RevokeApiKeyRequest{CustomerId: b.customerID, ApiKeyId: k.GetId()}); err != nil {
				return err
			}
		}
	}
	r, err := b.customers().CreateApiKey(b.ctx, &customerv1.CreateApiKeyRequest{CustomerId: b.customerID, Name: b.company.apiKey.name, Scopes: b.company.apiKey.scopes})
	if err != nil {
		return err
	}
	b.apiKeyID = r.GetApiKey().GetId()
	b.made.APIKeys = []readyfile.APIKey{{Key: b.apiKeyID, Secret: r.GetSecret(), Customer: b.company.name}}
	return nil
}

func (b *builder) addGrants() error {
	existing, err := all(func(token string) ([]*customerv1.Grant, string, error) {
		r, err := b.customers().ListGrants(b.ctx, &customerv1.ListGrantsRequest{CustomerId: b.customerID, PageSize: 200, PageToken: token})
		return r.GetGrants(), r.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	type key struct {
		subject, location string
		role              customerv1.Role
	}
	have := map[key]bool{}
	for _, g := range existing {
		have[key{cmp.Or(g.GetEmployeeId(), g.GetTeamId(), g.GetApiKeyId()), g.GetLocationId(), g.GetRole()}] = true
	}
	for _, g := range b.company.grants {
		request := &customerv1.CreateGrantRequest{CustomerId: b.customerID, Role: g.role, LocationId: b.locationIDs[g.location]}
		var subject string
		switch {
		case g.employee != "":
			subject = b.employeeIDs[g.employee]
			request.Subject = &customerv1.CreateGrantRequest_EmployeeId{EmployeeId: subject}
		case g.team != "":
			subject = b.teamIDs[g.team]
			request.Subject = &customerv1.CreateGrantRequest_TeamId{TeamId: subject}
		default:
			subject = b.apiKeyID
			request.Subject = &customerv1.CreateGrantRequest_ApiKeyId{ApiKeyId: subject}
		}
		if have[key{subject, request.LocationId, g.role}] {
			continue
		}
		if _, err := b.customers().CreateGrant(b.ctx, request); err != nil {
			return err
		}
	}
	return nil
}
