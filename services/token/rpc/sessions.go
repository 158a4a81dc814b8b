package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/token/account"
)

// mostSessions bounds how many of a person's login sessions are shown: the newest.
const mostSessions = 200

// sessions are the live login sessions of a person.
func (c *Config) sessions(ctx context.Context, user string) ([]*tokenv1.LoginSession, error) {
	sessions, err := c.Access.UserSessions(ctx, user, c.Now(), mostSessions)
	if err != nil {
		return nil, leaving(err)
	}
	clients, err := c.Access.SessionClients(ctx, user)
	if err != nil {
		return nil, leaving(err)
	}
	current := mesh.Caller(ctx).SessionID
	var all []*tokenv1.LoginSession
	for _, s := range sessions {
		all = append(all, &tokenv1.LoginSession{
			Id: s.ID, AuthTime: timestamppb.New(s.AuthTime), ExpireTime: timestamppb.New(s.Expires), Address: s.Address,
			UserAgent: s.UserAgent, Current: s.ID == current, ClientIds: clients[s.ID],
		})
	}
	return all, nil
}

// endSession ends a login session, if it is that person's.
func (c *Config) endSession(ctx context.Context, user, id string) error {
	err := c.OAuth.EndSessionOf(ctx, user, id)
	if errors.Is(err, account.ErrNotFound) {
		return mesh.NotFound("session", id)
	}
	if err != nil {
		return leaving(err)
	}
	c.Logger.InfoContext(ctx, "session ended", "subject", user, "session", id, "by", mesh.Caller(ctx).Subject)
	return nil
}

// signOut ends everything of a person.
func (c *Config) signOut(ctx context.Context, user string) error {
	err := c.OAuth.SignOutUser(ctx, user, "")
	if errors.Is(err, account.ErrNotFound) {
		return mesh.NotFound("account", user)
	}
	if err != nil {
		return leaving(err)
	}
	c.Logger.InfoContext(ctx, "person signed out everywhere", "subject", user, "by", mesh.Caller(ctx).Subject)
	return nil
}

// exists refuses what is no account.
func (c *Config) exists(ctx context.Context, user string) error {
	_, err := c.People.User(ctx, user)
	if errors.Is(err, account.ErrNotFound) {
		return mesh.NotFound("account", user)
	}
	return leaving(err)
}

// ListUserSessions implements AdminService.
func (a *admin) ListUserSessions(ctx context.Context, req *tokenv1.ListUserSessionsRequest) (*tokenv1.ListUserSessionsResponse, error) {
	if err := a.exists(ctx, req.GetUserId()); err != nil {
		return nil, err
	}
	sessions, err := a.sessions(ctx, req.GetUserId())
	return &tokenv1.ListUserSessionsResponse{Sessions: sessions}, err
}

// EndUserSession implements AdminService.
func (a *admin) EndUserSession(ctx context.Context, req *tokenv1.EndUserSessionRequest) (*tokenv1.EndUserSessionResponse, error) {
	return &tokenv1.EndUserSessionResponse{}, a.endSession(ctx, req.GetUserId(), req.GetSessionId())
}

// SignOutUser implements AdminService.
func (a *admin) SignOutUser(ctx context.Context, req *tokenv1.SignOutUserRequest) (*tokenv1.SignOutUserResponse, error) {
	return &tokenv1.SignOutUserResponse{}, a.signOut(ctx, req.GetUserId())
}

// ListMySessions implements AccountService.
func (s *self) ListMySessions(ctx context.Context, _ *tokenv1.ListMySessionsRequest) (*tokenv1.ListMySessionsResponse, error) {
	sessions, err := s.sessions(ctx, mesh.Caller(ctx).Subject)
	return &tokenv1.ListMySessionsResponse{Sessions: sessions}, err
}

// EndMySession implements AccountService.
func (s *self) EndMySession(ctx context.Context, req *tokenv1.EndMySessionRequest) (*tokenv1.EndMySessionResponse, error) {
	return &tokenv1.EndMySessionResponse{}, s.endSession(ctx, mesh.Caller(ctx).Subject, req.GetSessionId())
}

// SignOutEverywhere implements AccountService.
func (s *self) SignOutEverywhere(ctx context.Context, _ *tokenv1.SignOutEverywhereRequest) (*tokenv1.SignOutEverywhereResponse, error) {
	return &tokenv1.SignOutEverywhereResponse{}, s.signOut(ctx, mesh.Caller(ctx).Subject)
}
