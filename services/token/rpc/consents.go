package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
)

// consents are what a person has allowed applications.
func (c *Config) consents(ctx context.Context, user string) ([]*tokenv1.Consent, error) {
	given, err := c.Access.Consents(ctx, user)
	if err != nil {
		return nil, leaving(err)
	}
	var all []*tokenv1.Consent
	for _, g := range given {
		all = append(all, &tokenv1.Consent{ClientId: g.ClientID, ClientName: g.ClientName, Scopes: g.Scopes, UpdateTime: timestamppb.New(g.Updated)})
	}
	return all, nil
}

// revokeConsent takes back what a person has allowed a client. Where there is nothing, there is nothing to do.
func (c *Config) revokeConsent(ctx context.Context, user, client string) error {
	if err := c.OAuth.RevokeConsent(ctx, user, client); err != nil {
		return leaving(err)
	}
	c.Logger.InfoContext(ctx, "consent revoked", "subject", user, "client_id", client, "by", mesh.Caller(ctx).Subject)
	return nil
}

// ListUserConsents implements AdminService.
func (a *admin) ListUserConsents(ctx context.Context, req *tokenv1.ListUserConsentsRequest) (*tokenv1.ListUserConsentsResponse, error) {
	if err := a.exists(ctx, req.GetUserId()); err != nil {
		return nil, err
	}
	consents, err := a.consents(ctx, req.GetUserId())
	return &tokenv1.ListUserConsentsResponse{Consents: consents}, err
}

// RevokeUserConsent implements AdminService.
func (a *admin) RevokeUserConsent(ctx context.Context, req *tokenv1.RevokeUserConsentRequest) (*tokenv1.RevokeUserConsentResponse, error) {
	if err := a.exists(ctx, req.GetUserId()); err != nil {
		return nil, err
	}
	return &tokenv1.RevokeUserConsentResponse{}, a.revokeConsent(ctx, req.GetUserId(), req.GetClientId())
}

// ListMyConsents implements AccountService.
func (s *self) ListMyConsents(ctx context.Context, _ *tokenv1.ListMyConsentsRequest) (*tokenv1.ListMyConsentsResponse, error) {
	consents, err := s.consents(ctx, mesh.Caller(ctx).Subject)
	return &tokenv1.ListMyConsentsResponse{Consents: consents}, err
}

// RevokeMyConsent implements AccountService.
func (s *self) RevokeMyConsent(ctx context.Context, req *tokenv1.RevokeMyConsentRequest) (*tokenv1.RevokeMyConsentResponse, error) {
	return &tokenv1.RevokeMyConsentResponse{}, s.revokeConsent(ctx, mesh.Caller(ctx).Subject, req.GetClientId())
}
