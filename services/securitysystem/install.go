package securitysystem

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

const (
	// reservationTime is after how long a reservation is nobody's: whoever made it has died. Installing takes much less.
	reservationTime = time.Minute
	// releaseTime is how long ending a reservation may take once the caller has gone.
	releaseTime = 5 * time.Second
)

// install makes a system at a location, which the customer service must not remove meanwhile. As it cannot be locked, it is
// reserved first and looked up then, while RemoveLocation closes it first and asks for a system then: a lookup that found
// it open came before it was closed, so the reservation did, so HasSystemAt sees the reservation or the system. One that
// has run out is taken away by whoever finds it, and the system of its owner is then not made, whatever the clocks say.
func (s *Service) install(ctx context.Context, rights Rights, locationID string) (System, error) {
	// Asked before anything is written: only who may install can hold up others, or learn that there is a system.
	if _, err := s.installable(ctx, rights, locationID); err != nil {
		return System{}, err
	}
	c, id := s.cause(ctx, SystemCreated), resourceid.New("sys")
	if err := s.places.Reserve(ctx, locationID, id, c.time, c.time.Add(reservationTime)); err != nil {
		return System{}, s.failure(ctx, err)
	}
	location, err := s.installable(ctx, rights, locationID)
	if err != nil {
		s.release(ctx, locationID, id)
		return System{}, err
	}
	change := step(System{}, System{
		ID: id, CustomerID: location.CustomerID, LocationID: locationID, LocationName: location.Name,
		State: Disarmed, CreateTime: c.time,
	}, c)
	if err := s.systems.Create(ctx, change); err != nil {
		s.release(ctx, locationID, id)
		return System{}, s.failure(ctx, err)
	}
	s.relay.Nudge()
	return change.After, nil
}

// installable returns a location that exists, stays, and where the caller may install.
func (s *Service) installable(ctx context.Context, rights Rights, id string) (Location, error) {
	location, err := s.directory.Location(ctx, id)
	if err != nil {
		return Location{}, err
	}
	if !MayInstall(rights, location.CustomerID) {
		return Location{}, roleMissing("only a company admin installs systems")
	}
	return location, nil
}

// release ends a reservation, also for a caller who has gone. Where it cannot, the reservation runs out.
func (s *Service) release(ctx context.Context, locationID, systemID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := s.places.Release(ctx, locationID, systemID); err != nil {
		s.log.WarnContext(ctx, "a location stays reserved for a while", "location", locationID,
			"request_id", mesh.RequestID(ctx), "error", err)
	}
}
