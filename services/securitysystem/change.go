package securitysystem

import (
	"context"
	"errors"
	"strings"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// caller returns who calls, and their rights as of now.
func (s *Service) caller(ctx context.Context) (mesh.Identity, Rights, error) {
	caller := mesh.Caller(ctx)
	rights, err := s.rights.RightsOf(ctx, caller)
	return caller, rights, err
}

// visible returns a system that the caller may view.
func (s *Service) visible(ctx context.Context, rights Rights, id string) (System, error) {
	if !storable(id) {
		return System{}, mesh.NotFound(resource, id)
	}
	system, err := s.systems.Get(ctx, id)
	if err != nil {
		return System{}, s.failureOf(ctx, err, id)
	}
	if MayView(rights, system) != Allowed {
		return System{}, mesh.NotFound(resource, id)
	}
	return system, nil
}

// manageable returns a system that the caller may manage.
func (s *Service) manageable(ctx context.Context, rights Rights, id string) (System, error) {
	system, err := s.visible(ctx, rights, id)
	if err != nil {
		return System{}, err
	}
	if MayManage(rights, system) != Allowed {
		return System{}, roleMissing("only a company admin manages systems")
	}
	return system, nil
}

// act does what the caller asks of a system: the right is decided first, then the etag, then the state. transition tells
// what it makes of the system, and whether that is any change.
func (s *Service) act(ctx context.Context, id, etag string, action Action, kind EventType,
	transition func(System) (System, bool, error),
) (*securitysystemv1.SecuritySystem, error) {
	caller, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	var result System
	err = s.race(ctx, func() error {
		system, err := s.visible(ctx, rights, id)
		if err != nil {
			return err
		}
		if May(rights, system, action) != Allowed {
			return mayNot(rights, action)
		}
		if err := checkETag(system, etag); err != nil {
			return err
		}
		result, err = s.apply(ctx, system, s.cause(ctx, kind), transition)
		return err
	})
	if err != nil {
		return nil, err
	}
	return view(caller, rights, result), nil
}

// apply makes a transition and returns the system after it. Where that changes nothing, nothing is written.
func (s *Service) apply(ctx context.Context, system System, c cause, transition func(System) (System, bool, error)) (
	System, error,
) {
	next, changed, err := transition(system)
	if err != nil || !changed {
		return system, err
	}
	change := step(system, next, c)
	if err := s.systems.Apply(ctx, change); err != nil {
		return System{}, err
	}
	return change.After, nil
}

// race runs f again for as long as another change comes first, and makes what it fails with a status. What f returns for
// the state it found is final; an etag that became stale is refused by f itself.
func (s *Service) race(ctx context.Context, f func() error) error {
	for range maxRaces {
		err := f()
		if err == nil {
			s.relay.Nudge()
		}
		if !errors.Is(err, errStale) {
			return s.failure(ctx, err)
		}
	}
	return mesh.Aborted("CONTENDED", "the system is being changed by many at once: try again")
}

// cause returns what makes a change on behalf of the caller.
func (s *Service) cause(ctx context.Context, kind EventType) cause {
	caller := mesh.Caller(ctx)
	return cause{
		eventID: resourceid.New("evt"), kind: kind, time: s.now(),
		actor: Actor{ID: caller.Subject, Name: caller.Name, ClientID: caller.ClientID},
	}
}

// view returns system as the caller gets it. An action that the token lacks the scope for is not one they may do.
func view(caller mesh.Identity, rights Rights, system System) *securitysystemv1.SecuritySystem {
	var allowed []Action
	for _, a := range AllowedActions(rights, system) {
		if caller.HasScope(scopes[a]) {
			allowed = append(allowed, a)
		}
	}
	return systemProto(system, allowed)
}

func checkETag(system System, etag string) error {
	if etag != "" && etag != system.ETag() {
		return mesh.Aborted(mesh.ReasonETagMismatch, "the system has changed since: read it again")
	}
	return nil
}

// mayNot tells who views a system why they may not do a to it.
func mayNot(r Rights, a Action) error {
	what := strings.ToLower(string(a))
	if r.platform { // or they would look for the grant that is missing, and there is none
		return roleMissing("who administers the platform may not, whatever is granted to them: " + what)
	}
	return roleMissing("your roles at this location do not include: " + what)
}

func roleMissing(message string) error { return mesh.PermissionDenied(mesh.ReasonRoleMissing, message) }

// failureOf is failure where the system that may be missing is known.
func (s *Service) failureOf(ctx context.Context, err error, id string) error {
	if errors.Is(err, errNoSystem) {
		return mesh.NotFound(resource, id)
	}
	return s.failure(ctx, err)
}

// failure makes a status of what the domain or the store says; anything else stays private. A status stays what it is.
func (s *Service) failure(ctx context.Context, err error) error {
	var refusal Refusal
	switch {
	case errors.As(err, &refusal):
		return mesh.FailedPrecondition(refusal.Reason, refusal.Message)
	case errors.Is(err, errOccupied):
		return mesh.AlreadyExists(resource, "the location has a security system already, or is being given one")
	case errors.Is(err, errLapsed):
		return mesh.Aborted("RESERVATION_LAPSED", "installing the system took too long: try again")
	case errors.Is(err, errTooManyRights):
		return mesh.FailedPrecondition("TOO_MANY_GRANTS", "too many separate grants to list: grant roles on the customer instead")
	case sqldb.IsUnavailable(err):
		s.log.ErrorContext(ctx, "the database cannot be reached", "request_id", mesh.RequestID(ctx), "error", err)
		return mesh.Unavailable("the database")
	}
	return err
}

// storable tells whether text can stand in a database at all: PostgreSQL knows no NUL.
func storable(text string) bool { return !strings.ContainsRune(text, 0) }
