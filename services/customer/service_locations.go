package customer

import (
	"context"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

const locationNameTaken = "the customer has a location of that name"

// location returns a location of the customer, and what the caller may do with it, which is not nothing.
func (v view) location(ctx context.Context, id string) (Location, Decision, error) {
	if !resourceid.Is(locationPrefix, id) {
		return Location{}, Hidden, mesh.NotFound(aLocation, id)
	}
	l, err := v.Location(ctx, id)
	if err := found(err, aLocation, id); err != nil {
		return Location{}, Hidden, err
	}
	if l.CustomerID != v.who.CustomerID {
		return Location{}, Hidden, mesh.NotFound(aLocation, id)
	}
	d := DecideLocation(v.who, id)
	return l, d, seen(d, aLocation, id)
}

// locationToChange returns a location that the caller may change and of which etag is.
func (v view) locationToChange(ctx context.Context, id, etag string) (Location, error) {
	l, d, err := v.location(ctx, id)
	if err != nil {
		return Location{}, err
	}
	if err := managed(d, aLocation, id); err != nil {
		return Location{}, err
	}
	return l, l.match(etag)
}

// CreateLocation implements the RPC.
func (s *Service) CreateLocation(ctx context.Context, req *customerv1.CreateLocationRequest) (*customerv1.CreateLocationResponse, error) {
	if err := lines("name", req.GetName(), "address", req.GetAddress()); err != nil {
		return nil, err
	}
	l := Location{ID: resourceid.New(locationPrefix), Name: req.GetName(), Address: req.GetAddress()}
	err := s.change(ctx, req.GetCustomerId(), func(v view) error {
		if err := managed(DecideContents(v.who), aCustomer, v.who.CustomerID); err != nil {
			return err
		}
		l.CustomerID, l.Record = v.who.CustomerID, v.made()
		if err := unique(v.AddLocation(ctx, l), aLocation, locationNameTaken); err != nil {
			return err
		}
		return v.did(ctx, "location.create", l.ID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.CreateLocationResponse{Location: locationProto(l)}, nil
}

// GetLocation implements the RPC.
func (s *Service) GetLocation(ctx context.Context, req *customerv1.GetLocationRequest) (*customerv1.GetLocationResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	l, _, err := v.location(ctx, req.GetLocationId())
	if err != nil {
		return nil, err
	}
	return &customerv1.GetLocationResponse{Location: locationProto(l)}, nil
}

// LookupLocation implements the RPC.
func (s *Service) LookupLocation(ctx context.Context, req *customerv1.LookupLocationRequest) (*customerv1.LookupLocationResponse, error) {
	l, err := s.locationOfAny(ctx, req.GetLocationId())
	if err != nil {
		return nil, err
	}
	// Nothing that is refused here may tell that there is such a location.
	v, err := s.look(ctx, l.CustomerID)
	if err == nil {
		l, _, err = v.location(ctx, l.ID)
	}
	if err == nil {
		err = s.open(ctx, l, v.now)
	}
	if mesh.Reason(err) == mesh.ReasonNotFound {
		err = mesh.NotFound(aLocation, req.GetLocationId())
	}
	if err != nil {
		return nil, err
	}
	return &customerv1.LookupLocationResponse{Location: locationProto(l)}, nil
}

// locationOfAny returns a location whoever asks.
func (s *Service) locationOfAny(ctx context.Context, id string) (Location, error) {
	if !resourceid.Is(locationPrefix, id) {
		return Location{}, mesh.NotFound(aLocation, id)
	}
	l, err := s.store.Location(ctx, id)
	return l, found(err, aLocation, id)
}

// ListLocations implements the RPC.
func (s *Service) ListLocations(ctx context.Context, req *customerv1.ListLocationsRequest) (*customerv1.ListLocationsResponse, error) {
	list := listOf(req.GetCustomerId(), "locations")
	r, err := rangeOf(list, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	locations, err := v.LocationsFor(ctx, v.who, v.now, r)
	if err != nil {
		return nil, err
	}
	locations, next := page.Cut(list, locations, r.Limit-1, func(l Location) []string { return placeOf(l.CreateTime, l.ID) })
	return &customerv1.ListLocationsResponse{Locations: each(locations, locationProto), NextPageToken: next}, nil
}

// UpdateLocation implements the RPC.
func (s *Service) UpdateLocation(ctx context.Context, req *customerv1.UpdateLocationRequest) (*customerv1.UpdateLocationResponse, error) {
	if err := lines("name", req.GetName(), "address", req.GetAddress()); err != nil {
		return nil, err
	}
	var l Location
	err := s.change(ctx, req.GetCustomerId(), func(v view) (err error) {
		if l, err = v.locationToChange(ctx, req.GetLocationId(), req.GetEtag()); err != nil {
			return err
		}
		l.Name, l.Address, l.Record = req.GetName(), req.GetAddress(), v.changed(l.Record)
		if err := unique(v.ReplaceLocation(ctx, l), aLocation, locationNameTaken); err != nil {
			return err
		}
		return v.did(ctx, "location.update", l.ID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.UpdateLocationResponse{Location: locationProto(l)}, nil
}
