package rpc

import (
	"context"
	"errors"
	"time"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// CreateClient implements AdminService.
func (a *admin) CreateClient(ctx context.Context, req *tokenv1.CreateClientRequest) (*tokenv1.CreateClientResponse, error) {
	c := oauth.Client{ID: resourceid.New("app"), Kind: oauth.KindApplication}
	described := registration(req)
	if err := oneCertificate(described); err != nil {
		return nil, err
	}
	for _, set := range clientFields {
		set(&c, described)
	}
	c, secret, err := a.register(ctx, c)
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.CreateClientResponse{Client: clientToProto(c), ClientSecret: secret}, nil
}

// GetClient implements AdminService.
func (a *admin) GetClient(ctx context.Context, req *tokenv1.GetClientRequest) (*tokenv1.GetClientResponse, error) {
	c, err := a.application(ctx, req.GetClientId())
	if err != nil {
		return nil, err
	}
	return &tokenv1.GetClientResponse{Client: clientToProto(c)}, nil
}

// application returns a client that is one, whether disabled or not.
func (a *admin) application(ctx context.Context, id string) (oauth.Client, error) {
	c, err := a.Clients.Client(ctx, id)
	if errors.Is(err, oauth.ErrNotFound) || err == nil && c.Kind != oauth.KindApplication {
		return oauth.Client{}, mesh.NotFound("client", id)
	}
	if err != nil {
		return oauth.Client{}, leaving(err)
	}
	return c, nil
}

// ListClients implements AdminService.
func (a *admin) ListClients(ctx context.Context, req *tokenv1.ListClientsRequest) (*tokenv1.ListClientsResponse, error) {
	const list page.List = "clients"
	last, err := lastOf(list, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	clients, err := a.Clients.Clients(ctx, oauth.KindApplication, last, size+1)
	if err != nil {
		return nil, leaving(err)
	}
	clients, next := page.Cut(list, clients, size, func(c oauth.Client) []string { return []string{c.ID} })
	response := &tokenv1.ListClientsResponse{NextPageToken: next}
	for _, c := range clients {
		response.Clients = append(response.Clients, clientToProto(c))
	}
	return response, nil
}

// DisableClient implements AdminService.
func (a *admin) DisableClient(ctx context.Context, req *tokenv1.DisableClientRequest) (*tokenv1.DisableClientResponse, error) {
	c, err := a.disable(ctx, oauth.KindApplication, req.GetClientId(), nil)
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("client", req.GetClientId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.DisableClientResponse{Client: clientToProto(c)}, nil
}

// register stores a new client and returns it with its secret, which is nowhere else.
func (a *admin) register(ctx context.Context, c oauth.Client) (oauth.Client, string, error) {
	secret := ""
	if c.HasSecret() {
		secret = c.GiveSecret()
	}
	c.Created = a.Now().Truncate(time.Microsecond) // as it is stored
	if err := c.Validate(); err != nil {
		return oauth.Client{}, "", err
	}
	if err := a.Clients.AddClient(ctx, c); err != nil {
		return oauth.Client{}, "", err
	}
	a.Registered(ctx, &c)
	a.Logger.InfoContext(ctx, "client registered", "client_id", c.ID, "kind", c.Kind, "owner", c.Owner, "by", mesh.Caller(ctx).Subject)
	return c, secret, nil
}

// disable ends a client of a kind for which may is true (nil: always); oauth.ErrNotFound if there is none such.
func (a *admin) disable(ctx context.Context, kind oauth.ClientKind, id string, may func(*oauth.Client) bool) (oauth.Client, error) {
	c, err := a.Clients.Client(ctx, id)
	if err != nil {
		return oauth.Client{}, err
	}
	if c.Kind != kind || may != nil && !may(&c) {
		return oauth.Client{}, oauth.ErrNotFound
	}
	if err := a.OAuth.DisableClient(ctx, id); err != nil {
		return oauth.Client{}, err
	}
	a.Logger.InfoContext(ctx, "client disabled", "client_id", id, "kind", kind, "by", mesh.Caller(ctx).Subject)
	return a.Clients.Client(ctx, id)
}
