package customer

import (
	"context"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

const teamNameTaken = "the customer has a team of that name"

// team returns a team of the customer, and what the caller may do with it, which is not nothing.
func (v view) team(ctx context.Context, id string) (Team, Decision, error) {
	if !resourceid.Is(teamPrefix, id) {
		return Team{}, Hidden, mesh.NotFound(aTeam, id)
	}
	t, err := v.Team(ctx, id)
	if err := found(err, aTeam, id); err != nil {
		return Team{}, Hidden, err
	}
	if t.CustomerID != v.who.CustomerID {
		return Team{}, Hidden, mesh.NotFound(aTeam, id)
	}
	d := DecideStaff(v.who)
	return t, d, seen(d, aTeam, id)
}

// teamToChange returns a team that the caller may change and of which etag is.
func (v view) teamToChange(ctx context.Context, id, etag string) (Team, error) {
	t, d, err := v.team(ctx, id)
	if err != nil {
		return Team{}, err
	}
	if err := managed(d, aTeam, id); err != nil {
		return Team{}, err
	}
	return t, t.match(etag)
}

// CreateTeam implements the RPC.
func (s *Service) CreateTeam(ctx context.Context, req *customerv1.CreateTeamRequest) (*customerv1.CreateTeamResponse, error) {
	if err := lines("name", req.GetName()); err != nil {
		return nil, err
	}
	t := Team{ID: resourceid.New(teamPrefix), Name: req.GetName()}
	err := s.change(ctx, req.GetCustomerId(), func(v view) error {
		if err := managed(DecideContents(v.who), aCustomer, v.who.CustomerID); err != nil {
			return err
		}
		t.CustomerID, t.Record = v.who.CustomerID, v.made()
		if err := unique(v.AddTeam(ctx, t), aTeam, teamNameTaken); err != nil {
			return err
		}
		return v.did(ctx, "team.create", t.ID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.CreateTeamResponse{Team: teamProto(t)}, nil
}

// GetTeam implements the RPC.
func (s *Service) GetTeam(ctx context.Context, req *customerv1.GetTeamRequest) (*customerv1.GetTeamResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	t, _, err := v.team(ctx, req.GetTeamId())
	if err != nil {
		return nil, err
	}
	return &customerv1.GetTeamResponse{Team: teamProto(t)}, nil
}

// ListTeams implements the RPC.
func (s *Service) ListTeams(ctx context.Context, req *customerv1.ListTeamsRequest) (*customerv1.ListTeamsResponse, error) {
	list := listOf(req.GetCustomerId(), "teams")
	r, err := rangeOf(list, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if DecideStaff(v.who) == Hidden {
		return &customerv1.ListTeamsResponse{}, nil
	}
	teams, err := v.Teams(ctx, v.who.CustomerID, r)
	if err != nil {
		return nil, err
	}
	teams, next := page.Cut(list, teams, r.Limit-1, func(t Team) []string { return placeOf(t.CreateTime, t.ID) })
	return &customerv1.ListTeamsResponse{Teams: each(teams, teamProto), NextPageToken: next}, nil
}

// UpdateTeam implements the RPC.
func (s *Service) UpdateTeam(ctx context.Context, req *customerv1.UpdateTeamRequest) (*customerv1.UpdateTeamResponse, error) {
	if err := lines("name", req.GetName()); err != nil {
		return nil, err
	}
	var t Team
	err := s.change(ctx, req.GetCustomerId(), func(v view) (err error) {
		if t, err = v.teamToChange(ctx, req.GetTeamId(), req.GetEtag()); err != nil {
			return err
		}
		t.Name, t.Record = req.GetName(), v.changed(t.Record)
		if err := unique(v.ReplaceTeam(ctx, t), aTeam, teamNameTaken); err != nil {
			return err
		}
		return v.did(ctx, "team.update", t.ID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.UpdateTeamResponse{Team: teamProto(t)}, nil
}

// RemoveTeam implements the RPC.
func (s *Service) RemoveTeam(ctx context.Context, req *customerv1.RemoveTeamRequest) (*customerv1.RemoveTeamResponse, error) {
	err := s.change(ctx, req.GetCustomerId(), func(v view) error {
		t, err := v.teamToChange(ctx, req.GetTeamId(), req.GetEtag())
		if err != nil {
			return err
		}
		if err := v.RemoveTeam(ctx, t.ID); err != nil {
			return err
		}
		return v.did(ctx, "team.remove", t.ID, nil)
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.RemoveTeamResponse{}, nil
}

// AddTeamMember changes the team's etag, unless the employee is a member already.
func (s *Service) AddTeamMember(ctx context.Context, req *customerv1.AddTeamMemberRequest) (*customerv1.AddTeamMemberResponse, error) {
	t, err := s.changeMember(ctx, req.GetCustomerId(), req.GetTeamId(), req.GetEmployeeId(), "team.member.add", Records.AddMember)
	if err != nil {
		return nil, err
	}
	return &customerv1.AddTeamMemberResponse{Team: teamProto(t)}, nil
}

// RemoveTeamMember changes the team's etag, unless the employee is no member.
func (s *Service) RemoveTeamMember(ctx context.Context, req *customerv1.RemoveTeamMemberRequest) (*customerv1.RemoveTeamMemberResponse, error) {
	t, err := s.changeMember(ctx, req.GetCustomerId(), req.GetTeamId(), req.GetEmployeeId(), "team.member.remove", Records.RemoveMember)
	if err != nil {
		return nil, err
	}
	return &customerv1.RemoveTeamMemberResponse{Team: teamProto(t)}, nil
}

func (s *Service) changeMember(
	ctx context.Context, customerID, teamID, employeeID, action string,
	apply func(Records, context.Context, Team, string) (bool, error),
) (t Team, err error) {
	err = s.change(ctx, customerID, func(v view) error {
		if t, err = v.teamToChange(ctx, teamID, ""); err != nil {
			return err
		}
		e, _, err := v.employee(ctx, employeeID)
		if err != nil {
			return err
		}
		changed, err := apply(v.Records, ctx, t, e.ID)
		if err != nil || !changed {
			return err
		}
		t.Record = v.changed(t.Record)
		if err := fresh(v.ReplaceTeam(ctx, t)); err != nil {
			return err
		}
		if t, err = v.Team(ctx, t.ID); err != nil {
			return err
		}
		return v.did(ctx, action, t.ID, map[string]string{"employee": e.ID})
	})
	return t, err
}
