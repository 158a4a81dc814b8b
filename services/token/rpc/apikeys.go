package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// CreateApiKey implements AdminService.
func (a *admin) CreateApiKey(ctx context.Context, req *tokenv1.CreateApiKeyRequest) (*tokenv1.CreateApiKeyResponse, error) {
	expires, err := a.expiry(req.GetExpireTime())
	if err != nil {
		return nil, err
	}
	c, secret, err := a.register(ctx, oauth.Client{
		Expires: expires, ID: resourceid.New("rgk"), Name: req.GetName(), Kind: oauth.KindAPIKey, Owner: req.GetOwner(),
		Grants: []string{oauth.GrantClientCredentials}, Scopes: req.GetScopes(),
	})
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.CreateApiKeyResponse{ApiKey: apiKeyToProto(c), Secret: secret}, nil
}

// expiry is when something is to end by itself; zero: never.
func (a *admin) expiry(at *timestamppb.Timestamp) (time.Time, error) {
	if at == nil {
		return time.Time{}, nil
	}
	if at.CheckValid() != nil || !at.AsTime().After(a.Now()) {
		return time.Time{}, mesh.InvalidField("expireTime", "must be in the future")
	}
	return at.AsTime().Truncate(time.Microsecond), nil
}

// RotateApiKey implements AdminService.
func (a *admin) RotateApiKey(ctx context.Context, req *tokenv1.RotateApiKeyRequest) (*tokenv1.RotateApiKeyResponse, error) {
	c, err := a.Clients.Client(ctx, req.GetId())
	if errors.Is(err, oauth.ErrNotFound) || err == nil && (c.Kind != oauth.KindAPIKey || c.Owner != req.GetOwner()) {
		return nil, mesh.NotFound("api key", req.GetId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	c, secret, err := a.rotate(ctx, c, "apikey.rotate", req.GetOverlap().AsDuration())
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RotateApiKeyResponse{ApiKey: apiKeyToProto(c), Secret: secret}, nil
}

// ListApiKeys implements AdminService.
func (a *admin) ListApiKeys(ctx context.Context, req *tokenv1.ListApiKeysRequest) (*tokenv1.ListApiKeysResponse, error) {
	clients, err := a.Clients.OwnedClients(ctx, oauth.KindAPIKey, req.GetOwner())
	if err != nil {
		return nil, leaving(err)
	}
	response := &tokenv1.ListApiKeysResponse{}
	for _, c := range clients {
		response.ApiKeys = append(response.ApiKeys, apiKeyToProto(c))
	}
	return response, nil
}

// RevokeApiKey implements AdminService.
func (a *admin) RevokeApiKey(ctx context.Context, req *tokenv1.RevokeApiKeyRequest) (*tokenv1.RevokeApiKeyResponse, error) {
	c, err := a.disable(ctx, oauth.KindAPIKey, req.GetId(), func(c *oauth.Client) bool { return c.Owner == req.GetOwner() })
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("api key", req.GetId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RevokeApiKeyResponse{ApiKey: apiKeyToProto(c)}, nil
}
