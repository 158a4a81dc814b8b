package rpc

import (
	"context"
	"errors"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// RegisterPanel implements AdminService.
func (a *admin) RegisterPanel(ctx context.Context, req *tokenv1.RegisterPanelRequest) (*tokenv1.RegisterPanelResponse, error) {
	c, secret, err := a.register(ctx, oauth.Client{
		ID: resourceid.New("panel"), Name: req.GetName(), Kind: oauth.KindPanel,
		Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"panel.report"},
	})
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RegisterPanelResponse{ClientId: c.ID, ClientSecret: secret}, nil
}

// RemovePanel implements AdminService.
func (a *admin) RemovePanel(ctx context.Context, req *tokenv1.RemovePanelRequest) (*tokenv1.RemovePanelResponse, error) {
	_, err := a.disable(ctx, oauth.KindPanel, req.GetClientId(), nil)
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("panel", req.GetClientId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RemovePanelResponse{}, nil
}
