package securitysystem

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/trail"
)

// resource is what errors call a security system.
const resource = "security system"

// maxRaces is how often a change without an etag starts over because another one came first.
const maxRaces = 16

// scopes are what the token needs for an action, as the contract's rules say.
var scopes = map[Action]string{
	Arm: "securitysystem.arm", Disarm: "securitysystem.disarm", Acknowledge: "securitysystem.disarm",
}

// Service implements SecuritySystemService, and PanelService by [panelService].
type Service struct {
	securitysystemv1.UnsafeSecuritySystemServiceServer

	systems     SystemStore
	places      PlaceStore
	panels      PanelStore
	rights      RightsSource
	directory   Directory
	credentials *credentials
	relay       *outbox.Relay
	trail       *trail.Trail
	feed        *feed
	shared      *sharedRights
	positions   *positions
	log         *slog.Logger
	now         func() time.Time
}

// CreateSecuritySystem implements SecuritySystemService.
func (s *Service) CreateSecuritySystem(ctx context.Context, req *securitysystemv1.CreateSecuritySystemRequest) (
	*securitysystemv1.CreateSecuritySystemResponse, error,
) {
	caller, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	system, err := s.install(ctx, rights, req.GetLocationId())
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.CreateSecuritySystemResponse{SecuritySystem: view(caller, rights, system)}, nil
}

// GetSecuritySystem implements SecuritySystemService.
func (s *Service) GetSecuritySystem(ctx context.Context, req *securitysystemv1.GetSecuritySystemRequest) (
	*securitysystemv1.GetSecuritySystemResponse, error,
) {
	caller, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	system, err := s.visible(ctx, rights, req.GetSecuritySystemId())
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.GetSecuritySystemResponse{SecuritySystem: view(caller, rights, system)}, nil
}

// ListSecuritySystems implements SecuritySystemService.
func (s *Service) ListSecuritySystems(ctx context.Context, req *securitysystemv1.ListSecuritySystemsRequest) (
	*securitysystemv1.ListSecuritySystemsResponse, error,
) {
	const list page.List = "securitysystems"
	var after Place
	key, err := list.After(req.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	if key != nil {
		after = Place{LocationName: key[0], ID: key[1]}
	}
	caller, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	systems, err := s.systems.List(ctx, VisibleTo(rights), after, size+1)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	systems, next := page.Cut(list, systems, size, func(s System) []string { return []string{s.LocationName, s.ID} })
	answer := &securitysystemv1.ListSecuritySystemsResponse{NextPageToken: next}
	for _, system := range systems {
		answer.SecuritySystems = append(answer.SecuritySystems, view(caller, rights, system))
	}
	return answer, nil
}

// ArmSecuritySystem implements SecuritySystemService.
func (s *Service) ArmSecuritySystem(ctx context.Context, req *securitysystemv1.ArmSecuritySystemRequest) (
	*securitysystemv1.ArmSecuritySystemResponse, error,
) {
	mode := modeOf(req.GetMode())
	system, err := s.act(ctx, req.GetSecuritySystemId(), req.GetEtag(), Arm, SystemArmed,
		func(system System) (System, bool, error) { return system.Arm(mode) })
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.ArmSecuritySystemResponse{SecuritySystem: system}, nil
}

// DisarmSecuritySystem implements SecuritySystemService.
func (s *Service) DisarmSecuritySystem(ctx context.Context, req *securitysystemv1.DisarmSecuritySystemRequest) (
	*securitysystemv1.DisarmSecuritySystemResponse, error,
) {
	system, err := s.act(ctx, req.GetSecuritySystemId(), req.GetEtag(), Disarm, SystemDisarmed, System.Disarm)
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.DisarmSecuritySystemResponse{SecuritySystem: system}, nil
}

// AcknowledgeAlarm implements SecuritySystemService.
func (s *Service) AcknowledgeAlarm(ctx context.Context, req *securitysystemv1.AcknowledgeAlarmRequest) (
	*securitysystemv1.AcknowledgeAlarmResponse, error,
) {
	system, err := s.act(ctx, req.GetSecuritySystemId(), req.GetEtag(), Acknowledge, AlarmAcknowledged, System.Acknowledge)
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.AcknowledgeAlarmResponse{SecuritySystem: system}, nil
}

// ListEvents implements SecuritySystemService.
func (s *Service) ListEvents(ctx context.Context, req *securitysystemv1.ListEventsRequest) (
	*securitysystemv1.ListEventsResponse, error,
) {
	list := page.List("securitysystems/" + req.GetSecuritySystemId() + "/events")
	var before int64
	key, err := list.After(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	if key != nil {
		if before, err = strconv.ParseInt(key[0], 10, 64); err != nil || before <= 0 {
			return nil, page.InvalidToken()
		}
	}
	_, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	system, err := s.visible(ctx, rights, req.GetSecuritySystemId())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	events, err := s.systems.Events(ctx, system.ID, before, size+1)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	events, next := page.Cut(list, events, size, func(e Event) []string { return []string{strconv.FormatInt(e.Version, 10)} })
	answer := &securitysystemv1.ListEventsResponse{NextPageToken: next}
	for _, e := range events {
		answer.Events = append(answer.Events, eventProto(e))
	}
	return answer, nil
}

// RemoveSecuritySystem implements SecuritySystemService.
func (s *Service) RemoveSecuritySystem(ctx context.Context, req *securitysystemv1.RemoveSecuritySystemRequest) (
	*securitysystemv1.RemoveSecuritySystemResponse, error,
) {
	_, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	err = s.race(ctx, func() error {
		system, err := s.manageable(ctx, rights, req.GetSecuritySystemId())
		if err != nil {
			return err
		}
		if err := checkETag(system, req.GetEtag()); err != nil {
			return err
		}
		if err := system.Removable(); err != nil {
			return err
		}
		removed := system
		removed.PanelClientID = ""
		return s.systems.Remove(ctx, step(system, removed, s.cause(ctx, SystemRemoved)))
	})
	if err != nil {
		return nil, err
	}
	s.credentials.Nudge()
	return &securitysystemv1.RemoveSecuritySystemResponse{}, nil
}

// HasSystemAt implements SecuritySystemService.
func (s *Service) HasSystemAt(ctx context.Context, req *securitysystemv1.HasSystemAtRequest) (
	*securitysystemv1.HasSystemAtResponse, error,
) {
	if !storable(req.GetLocationId()) {
		return &securitysystemv1.HasSystemAtResponse{}, nil
	}
	occupied, err := s.places.Occupied(ctx, req.GetLocationId(), s.now())
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	return &securitysystemv1.HasSystemAtResponse{Installed: occupied}, nil
}

// RegisterPanel implements SecuritySystemService.
func (s *Service) RegisterPanel(ctx context.Context, req *securitysystemv1.RegisterPanelRequest) (
	*securitysystemv1.RegisterPanelResponse, error,
) {
	_, rights, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	// Asked before anything is made, and again below on what is then there.
	system, err := s.manageable(ctx, rights, req.GetSecuritySystemId())
	if err != nil {
		return nil, err
	}
	panel, err := s.credentials.Issue(ctx, system)
	if err != nil {
		return nil, err
	}
	err = s.race(ctx, func() error {
		system, err := s.manageable(ctx, rights, req.GetSecuritySystemId())
		if err != nil {
			return err
		}
		after := system
		after.PanelClientID = panel.GetClientId()
		return s.systems.Apply(ctx, step(system, after, s.cause(ctx, PanelRegistered)))
	})
	if err != nil {
		// Nobody will ever learn these.
		s.credentials.Discard(ctx, panel.GetClientId())
		return nil, err
	}
	s.credentials.Nudge()
	return &securitysystemv1.RegisterPanelResponse{ClientId: panel.GetClientId(), ClientSecret: panel.GetClientSecret()}, nil
}
