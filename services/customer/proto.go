package customer

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
)

func customerProto(c Customer) *customerv1.Customer {
	return &customerv1.Customer{
		Id:         c.ID,
		Name:       c.Name,
		Etag:       c.etag(),
		CreateTime: timeProto(c.CreateTime),
		UpdateTime: timeProto(c.UpdateTime),
	}
}

func locationProto(l Location) *customerv1.Location {
	return &customerv1.Location{
		Id:         l.ID,
		CustomerId: l.CustomerID,
		Name:       l.Name,
		Address:    l.Address,
		Etag:       l.etag(),
		CreateTime: timeProto(l.CreateTime),
		UpdateTime: timeProto(l.UpdateTime),
	}
}

func employeeProto(e Employee) *customerv1.Employee {
	return &customerv1.Employee{
		Id:         e.ID,
		CustomerId: e.CustomerID,
		UserId:     e.UserID,
		Name:       e.Name,
		Email:      e.Email,
		Etag:       e.etag(),
		CreateTime: timeProto(e.CreateTime),
		UpdateTime: timeProto(e.UpdateTime),
	}
}

func teamProto(t Team) *customerv1.Team {
	return &customerv1.Team{
		Id:          t.ID,
		CustomerId:  t.CustomerID,
		Name:        t.Name,
		EmployeeIds: t.Members,
		Etag:        t.etag(),
		CreateTime:  timeProto(t.CreateTime),
		UpdateTime:  timeProto(t.UpdateTime),
	}
}

func grantProto(g Grant) *customerv1.Grant {
	p := &customerv1.Grant{
		Id:         g.ID,
		CustomerId: g.CustomerID,
		Role:       roleProto(g.Role),
		LocationId: g.LocationID,
		StartTime:  timeProto(g.Start),
		EndTime:    timeProto(g.End),
		Etag:       g.etag(),
		CreateTime: timeProto(g.CreateTime),
		UpdateTime: timeProto(g.UpdateTime),
	}
	switch {
	case g.Subject.EmployeeID != "":
		p.Subject = &customerv1.Grant_EmployeeId{EmployeeId: g.Subject.EmployeeID}
	case g.Subject.TeamID != "":
		p.Subject = &customerv1.Grant_TeamId{TeamId: g.Subject.TeamID}
	default:
		p.Subject = &customerv1.Grant_ApiKeyId{ApiKeyId: g.Subject.KeyID}
	}
	return p
}

func heldProto(h Held) *customerv1.EffectiveGrant {
	return &customerv1.EffectiveGrant{
		Role:       roleProto(h.Role),
		CustomerId: h.CustomerID,
		LocationId: h.LocationID,
		GrantId:    h.GrantID,
		TeamId:     h.TeamID,
		EndTime:    timeProto(h.End),
	}
}

func recipientProto(r Recipient) *customerv1.Recipient {
	return &customerv1.Recipient{UserId: r.UserID, Name: r.Name, Email: r.Email}
}

func keyProto(k *tokenv1.ApiKey) *customerv1.ApiKey {
	return &customerv1.ApiKey{
		Id:         k.GetId(),
		Name:       k.GetName(),
		Scopes:     k.GetScopes(),
		CreateTime: k.GetCreateTime(),
		RevokeTime: k.GetRevokeTime(),

		ExpireTime: k.GetExpireTime(), LastUseTime: k.GetLastUseTime(), SecretPrefix: k.GetSecretPrefix(),
	}
}

// Roles have the same names in the API and in the domain.
func roleProto(r Role) customerv1.Role { return customerv1.Role(customerv1.Role_value[string(r)]) }
func roleOf(r customerv1.Role) Role    { return Role(r.String()) }

// timeProto leaves the zero time unset.
func timeProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
