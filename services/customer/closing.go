package customer

import (
	"context"
	"errors"
	"time"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
)

// No location is removed under a security system, although systems are in another service's database, which is not locked
// together with this one. Both sides announce first and look then:
//
//	RemoveLocation                       CreateSecuritySystem
//	1. mark the location as closing      1. reserve the location
//	2. HasSystemAt                       2. LookupLocation
//	3. delete, if the mark is there      3. make the system, if the reservation is there
//
// A lookup that saw no mark came before the mark, so its reservation did, so HasSystemAt sees the reservation or the
// system that came of it. Who dies leaves a mark or a reservation that ends by itself. Clocks have no say in this: whoever
// finds one that has run out takes it away before relying on that, and step 3 then fails.
const (
	// closingTime is how long a location stays closed where the attempt to remove it died.
	closingTime = 30 * time.Second
	// reopenTime is how long opening it again may take once the caller has gone.
	reopenTime = 5 * time.Second
)

func errClosing() error {
	return mesh.FailedPrecondition("LOCATION_CLOSING", "the location is being removed")
}

// RemoveLocation implements the RPC.
func (s *Service) RemoveLocation(ctx context.Context, req *customerv1.RemoveLocationRequest) (*customerv1.RemoveLocationResponse, error) {
	mark, err := s.closeLocation(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.removeClosed(ctx, req, mark); err != nil {
		s.reopen(ctx, req.GetLocationId(), mark)
		return nil, err
	}
	return &customerv1.RemoveLocationResponse{}, nil
}

// closeLocation marks the location as closing and returns the mark.
func (s *Service) closeLocation(ctx context.Context, req *customerv1.RemoveLocationRequest) (mark time.Time, err error) {
	err = s.change(ctx, req.GetCustomerId(), func(v view) error {
		l, err := v.locationToChange(ctx, req.GetLocationId(), req.GetEtag())
		if err != nil {
			return err
		}
		if l.ClosingUntil.After(v.now) {
			return errClosing()
		}
		mark = v.now.Add(closingTime)
		return fresh(v.SetClosing(ctx, l.ID, l.ClosingUntil, mark))
	})
	return mark, err
}

// removeClosed removes a location that has no system, and where nobody has taken the mark away.
func (s *Service) removeClosed(ctx context.Context, req *customerv1.RemoveLocationRequest, mark time.Time) error {
	answer, err := s.systems.HasSystemAt(ctx, &securitysystemv1.HasSystemAtRequest{LocationId: req.GetLocationId()})
	if err != nil {
		return remote(ctx, "the security system service", "ask for a system", err)
	}
	if answer.GetInstalled() {
		return mesh.FailedPrecondition("SECURITY_SYSTEM_INSTALLED", "remove the security system at the location first")
	}
	return s.change(ctx, req.GetCustomerId(), func(v view) error {
		l, err := v.locationToChange(ctx, req.GetLocationId(), req.GetEtag())
		if err != nil {
			return err
		}
		if !l.ClosingUntil.Equal(mark) {
			return mesh.Aborted("CLOSING_LAPSED", "removing the location took too long: try again")
		}
		if err := v.RemoveLocation(ctx, l.ID); err != nil {
			return err
		}
		return v.did(ctx, "location.remove", l.ID, nil)
	})
}

// reopen takes the mark away, also for a caller who has gone. Where it cannot, the mark runs out.
func (s *Service) reopen(ctx context.Context, id string, mark time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reopenTime)
	defer cancel()
	err := s.store.SetClosing(ctx, id, mark, time.Time{})
	if err != nil && !errors.Is(err, errStale) {
		s.log.WarnContext(ctx, "a location stays closed for a while", "location", id, "error", err)
	}
}

// open refuses a location that is closing. A mark that has run out is taken away first: its owner may still be there, and
// must not delete what others now rely on.
func (s *Service) open(ctx context.Context, l Location, now time.Time) error {
	if l.ClosingUntil.IsZero() {
		return nil
	}
	return s.store.Tx(ctx, func(r Records) error {
		stored, err := r.Location(ctx, l.ID)
		switch until := stored.ClosingUntil; {
		case err != nil:
			return found(err, aLocation, l.ID)
		case until.After(now):
			return errClosing()
		case until.IsZero():
			return nil
		default:
			return fresh(r.SetClosing(ctx, l.ID, until, time.Time{}))
		}
	})
}
