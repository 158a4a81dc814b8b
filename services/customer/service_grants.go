package customer

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

// grant returns a grant of the customer, and what the caller may do with it, which is not nothing.
func (v view) grant(ctx context.Context, id string) (Grant, Decision, error) {
	if !resourceid.Is(grantPrefix, id) {
		return Grant{}, Hidden, mesh.NotFound(aGrant, id)
	}
	g, err := v.Grant(ctx, id)
	if err := found(err, aGrant, id); err != nil {
		return Grant{}, Hidden, err
	}
	if g.CustomerID != v.who.CustomerID {
		return Grant{}, Hidden, mesh.NotFound(aGrant, id)
	}
	d := DecideStaff(v.who)
	return g, d, seen(d, aGrant, id)
}

// grantToChange returns a grant that the caller may change and of which etag is.
func (v view) grantToChange(ctx context.Context, id, etag string) (Grant, error) {
	g, d, err := v.grant(ctx, id)
	if err != nil {
		return Grant{}, err
	}
	if err := managed(d, aGrant, id); err != nil {
		return Grant{}, err
	}
	return g, g.match(etag)
}

// CreateGrant implements the RPC.
func (s *Service) CreateGrant(ctx context.Context, req *customerv1.CreateGrantRequest) (*customerv1.CreateGrantResponse, error) {
	period, err := periodOf(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	g := Grant{
		ID:         resourceid.New(grantPrefix),
		Subject:    Subject{EmployeeID: req.GetEmployeeId(), TeamID: req.GetTeamId(), KeyID: req.GetApiKeyId()},
		Role:       roleOf(req.GetRole()),
		LocationID: req.GetLocationId(),
		Period:     period,
	}
	err = s.change(ctx, req.GetCustomerId(), func(v view) error {
		if err := managed(DecideContents(v.who), aCustomer, v.who.CustomerID); err != nil {
			return err
		}
		if field, description := g.fault(v.now); field != "" {
			return mesh.InvalidField(field, description)
		}
		if err := v.checkGrantRefers(ctx, g); err != nil {
			return err
		}
		g.CustomerID, g.Record = v.who.CustomerID, v.made()
		if err := unique(v.AddGrant(ctx, g), aGrant,
			"the subject was granted that role there already: change when, or remove it first"); err != nil {
			return err
		}
		return v.did(ctx, "grant.create", g.ID, g.more())
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.CreateGrantResponse{Grant: grantProto(g)}, nil
}

// checkGrantRefers refuses a subject or a place that is not of this customer. Whether it is of another is not told.
func (v view) checkGrantRefers(ctx context.Context, g Grant) error {
	var err error
	field := ""
	switch {
	case g.Subject.EmployeeID != "":
		field = "employeeId"
		_, _, err = v.employee(ctx, g.Subject.EmployeeID)
	case g.Subject.TeamID != "":
		field = "teamId"
		_, _, err = v.team(ctx, g.Subject.TeamID)
	default:
		field = "apiKeyId"
		err = v.checkKey(ctx, g.Subject.KeyID)
	}
	if err == nil && g.LocationID != "" {
		field = "locationId"
		_, _, err = v.location(ctx, g.LocationID)
	}
	if mesh.Reason(err) == mesh.ReasonNotFound {
		return mesh.InvalidField(field, "is none of this customer")
	}
	return err
}

// GetGrant implements the RPC.
func (s *Service) GetGrant(ctx context.Context, req *customerv1.GetGrantRequest) (*customerv1.GetGrantResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	g, _, err := v.grant(ctx, req.GetGrantId())
	if err != nil {
		return nil, err
	}
	return &customerv1.GetGrantResponse{Grant: grantProto(g)}, nil
}

// ListGrants implements the RPC.
func (s *Service) ListGrants(ctx context.Context, req *customerv1.ListGrantsRequest) (*customerv1.ListGrantsResponse, error) {
	list := listOf(req.GetCustomerId(), "grants")
	r, err := rangeOf(list, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if DecideStaff(v.who) == Hidden {
		return &customerv1.ListGrantsResponse{}, nil
	}
	grants, err := v.Grants(ctx, v.who.CustomerID, r)
	if err != nil {
		return nil, err
	}
	grants, next := page.Cut(list, grants, r.Limit-1, func(g Grant) []string { return placeOf(g.CreateTime, g.ID) })
	return &customerv1.ListGrantsResponse{Grants: each(grants, grantProto), NextPageToken: next}, nil
}

// UpdateGrant implements the RPC.
func (s *Service) UpdateGrant(ctx context.Context, req *customerv1.UpdateGrantRequest) (*customerv1.UpdateGrantResponse, error) {
	period, err := periodOf(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	var g Grant
	err = s.change(ctx, req.GetCustomerId(), func(v view) (err error) {
		if g, err = v.grantToChange(ctx, req.GetGrantId(), req.GetEtag()); err != nil {
			return err
		}
		g.Period, g.Record = period, v.changed(g.Record)
		if field, description := g.fault(v.now); field != "" {
			return mesh.InvalidField(field, description)
		}
		if err := fresh(v.ReplaceGrant(ctx, g)); err != nil {
			return err
		}
		if err := v.keepsAdmin(ctx); err != nil {
			return err
		}
		return v.did(ctx, "grant.update", g.ID, g.more())
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.UpdateGrantResponse{Grant: grantProto(g)}, nil
}

// RemoveGrant implements the RPC.
func (s *Service) RemoveGrant(ctx context.Context, req *customerv1.RemoveGrantRequest) (*customerv1.RemoveGrantResponse, error) {
	err := s.change(ctx, req.GetCustomerId(), func(v view) error {
		g, err := v.grantToChange(ctx, req.GetGrantId(), req.GetEtag())
		if err != nil {
			return err
		}
		if err := v.RemoveGrant(ctx, g.ID); err != nil {
			return err
		}
		if err := v.keepsAdmin(ctx); err != nil {
			return err
		}
		return v.did(ctx, "grant.remove", g.ID, g.more())
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.RemoveGrantResponse{}, nil
}

// ListMyGrants implements the RPC.
func (s *Service) ListMyGrants(ctx context.Context, _ *customerv1.ListMyGrantsRequest) (*customerv1.ListMyGrantsResponse, error) {
	held, err := s.store.HeldBy(ctx, callerOf(ctx), s.now())
	if err != nil {
		return nil, err
	}
	return &customerv1.ListMyGrantsResponse{Grants: each(held, heldProto)}, nil
}

// ListRecipients implements the RPC. The rule admits the notification service alone, which looks at every customer.
func (s *Service) ListRecipients(ctx context.Context, req *customerv1.ListRecipientsRequest) (*customerv1.ListRecipientsResponse, error) {
	at, err := s.locationOfAny(ctx, req.GetLocationId())
	if err != nil {
		return nil, err
	}
	recipients, err := s.store.Recipients(ctx, at, s.now())
	if err != nil {
		return nil, err
	}
	return &customerv1.ListRecipientsResponse{Recipients: each(recipients, recipientProto)}, nil
}

// periodOf reads when a grant is to be in force.
func periodOf(start, end *timestamppb.Timestamp) (p Period, err error) {
	if p.Start, err = timeOf("startTime", start); err != nil {
		return Period{}, err
	}
	p.End, err = timeOf("endTime", end)
	return p, err
}

// timeOf reads a time, to the microsecond that is stored. Unset is the zero time.
func timeOf(field string, at *timestamppb.Timestamp) (time.Time, error) {
	if at == nil {
		return time.Time{}, nil
	}
	if !at.IsValid() {
		return time.Time{}, mesh.InvalidField(field, "is not a time")
	}
	return at.AsTime().Truncate(time.Microsecond), nil
}
