package customer

import (
	"context"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
)

// ExplainAccess implements the RPC.
func (s *Service) ExplainAccess(ctx context.Context, req *customerv1.ExplainAccessRequest) (*customerv1.ExplainAccessResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if id := req.GetLocationId(); id != "" {
		if _, _, err := v.location(ctx, id); err != nil {
			return nil, err
		}
	}
	of, err := v.subject(ctx, req.GetEmployeeId(), req.GetApiKeyId())
	if err != nil {
		return nil, err
	}
	who, err := s.store.Standing(ctx, of, v.who.CustomerID, v.now)
	if err := found(err, aCustomer, v.who.CustomerID); err != nil {
		return nil, err
	}
	given, err := s.store.Given(ctx, of, v.who.CustomerID)
	if err != nil {
		return nil, err
	}
	var role Role
	if req.GetRole() != customerv1.Role_ROLE_UNSPECIFIED {
		role = roleOf(req.GetRole())
	}
	return explanationProto(Explain(who, req.GetLocationId(), role, given, v.now)), nil
}

// subject is about whom the caller may ask: about themselves, and about others as far as they may see them and their grants.
func (v view) subject(ctx context.Context, employeeID, keyID string) (Caller, error) {
	switch {
	case employeeID != "" && keyID != "":
		return Caller{}, mesh.InvalidField("apiKeyId", "excludes employeeId")
	case employeeID != "":
		e, _, err := v.employee(ctx, employeeID)
		if err != nil {
			return Caller{}, err
		}
		if employeeID == v.who.EmployeeID {
			return v.who.Caller, nil
		}
		return Caller{Kind: KindUser, ID: e.UserID}, nil
	case keyID != "" && !(v.who.OwnKey && keyID == v.who.ID):
		if err := seen(DecideStaff(v.who), aKey, keyID); err != nil {
			return Caller{}, err
		}
		return Caller{Kind: KindKey, ID: keyID}, v.checkKey(ctx, keyID)
	}
	return v.who.Caller, nil
}

func explanationProto(e Explanation) *customerv1.ExplainAccessResponse {
	return &customerv1.ExplainAccessResponse{
		Allowed: e.Allowed, Summary: e.Summary,
		Decision: map[Decision]string{Hidden: "hidden", Visible: "visible", Managed: "managed"}[e.Decision],
		Grants: each(e.Grants, func(g ExplainedGrant) *customerv1.ExplainedGrant {
			return &customerv1.ExplainedGrant{
				GrantId: g.GrantID, Role: roleProto(g.Role), LocationId: g.LocationID, TeamId: g.TeamID,
				StartTime: timeProto(g.Start), EndTime: timeProto(g.End), Allows: g.Allows, Because: g.Because,
			}
		}),
	}
}
