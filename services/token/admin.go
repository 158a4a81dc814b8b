package token

import (
	"context"
	"errors"
	"strings"
	"unicode"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// adminService implements AdminService. Who may call what stands in the proto; what is left to decide here is which
// client is of which kind, and whose.
type adminService struct {
	tokenv1.UnsafeAdminServiceServer
	*Service
}

// ProvisionUser implements AdminService.
func (s *adminService) ProvisionUser(ctx context.Context, req *tokenv1.ProvisionUserRequest) (*tokenv1.ProvisionUserResponse, error) {
	if strings.ContainsFunc(req.GetName(), unicode.IsControl) {
		return nil, mesh.InvalidField("name", "must not contain control characters")
	}
	user, made, err := s.store.EnsureUser(ctx, account.User{
		ID: resourceid.New("usr"), Email: req.GetEmail(), Name: req.GetName(), Roles: req.GetRoles(), Created: s.now(),
	}, false)
	if err != nil {
		return nil, leaving(err)
	}
	if made {
		s.log.InfoContext(ctx, "account provisioned", "subject", user.ID, "by", mesh.Caller(ctx).Subject)
	}
	return &tokenv1.ProvisionUserResponse{User: userToProto(user)}, nil
}

// CreateApiKey implements AdminService.
func (s *adminService) CreateApiKey(ctx context.Context, req *tokenv1.CreateApiKeyRequest) (*tokenv1.CreateApiKeyResponse, error) {
	c, secret, err := s.register(ctx, oauth.Client{
		ID: resourceid.New("rgk"), Name: req.GetName(), Kind: oauth.KindAPIKey, Owner: req.GetOwner(),
		Grants: []string{oauth.GrantClientCredentials}, Scopes: req.GetScopes(),
	})
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.CreateApiKeyResponse{ApiKey: apiKeyToProto(c), Secret: secret}, nil
}

// ListApiKeys implements AdminService.
func (s *adminService) ListApiKeys(ctx context.Context, req *tokenv1.ListApiKeysRequest) (*tokenv1.ListApiKeysResponse, error) {
	clients, err := s.store.OwnedClients(ctx, oauth.KindAPIKey, req.GetOwner())
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
func (s *adminService) RevokeApiKey(ctx context.Context, req *tokenv1.RevokeApiKeyRequest) (*tokenv1.RevokeApiKeyResponse, error) {
	c, err := s.disable(ctx, oauth.KindAPIKey, req.GetId(), func(c *oauth.Client) bool { return c.Owner == req.GetOwner() })
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("api key", req.GetId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RevokeApiKeyResponse{ApiKey: apiKeyToProto(c)}, nil
}

// RegisterPanel implements AdminService.
func (s *adminService) RegisterPanel(ctx context.Context, req *tokenv1.RegisterPanelRequest) (*tokenv1.RegisterPanelResponse, error) {
	c, secret, err := s.register(ctx, oauth.Client{
		ID: resourceid.New("panel"), Name: req.GetName(), Kind: oauth.KindPanel,
		Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"panel.report"},
	})
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RegisterPanelResponse{ClientId: c.ID, ClientSecret: secret}, nil
}

// RemovePanel implements AdminService.
func (s *adminService) RemovePanel(ctx context.Context, req *tokenv1.RemovePanelRequest) (*tokenv1.RemovePanelResponse, error) {
	_, err := s.disable(ctx, oauth.KindPanel, req.GetClientId(), nil)
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("panel", req.GetClientId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RemovePanelResponse{}, nil
}

// CreateClient implements AdminService.
func (s *adminService) CreateClient(ctx context.Context, req *tokenv1.CreateClientRequest) (*tokenv1.CreateClientResponse, error) {
	c, secret, err := s.register(ctx, oauth.Client{
		ID: resourceid.New("app"), Name: req.GetName(), Kind: oauth.KindApplication, Public: req.GetPublic(),
		Grants: req.GetGrantTypes(), RedirectURIs: req.GetRedirectUris(), PostLogoutURIs: req.GetPostLogoutRedirectUris(),
		Scopes: req.GetScopes(), FirstParty: req.GetFirstParty(), AccessTokenLifetime: req.GetAccessTokenLifetime().AsDuration(),
	})
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.CreateClientResponse{Client: clientToProto(c), ClientSecret: secret}, nil
}

// ListClients implements AdminService.
func (s *adminService) ListClients(ctx context.Context, req *tokenv1.ListClientsRequest) (*tokenv1.ListClientsResponse, error) {
	const list page.List = "clients"
	after, err := list.After(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	last := ""
	if after != nil {
		last = after[0]
	}
	size := page.Size(req.GetPageSize())
	clients, err := s.store.Clients(ctx, oauth.KindApplication, last, size+1)
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
func (s *adminService) DisableClient(ctx context.Context, req *tokenv1.DisableClientRequest) (*tokenv1.DisableClientResponse, error) {
	c, err := s.disable(ctx, oauth.KindApplication, req.GetClientId(), nil)
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("client", req.GetClientId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.DisableClientResponse{Client: clientToProto(c)}, nil
}

// register stores a new client and returns it with its secret, which is nowhere else.
func (s *Service) register(ctx context.Context, c oauth.Client) (oauth.Client, string, error) {
	secret := ""
	if !c.Public {
		secret = oauth.NewSecret()
		c.SecretHash = oauth.HashSecret(secret)
	}
	c.Created = s.now()
	if err := c.Validate(); err != nil {
		return oauth.Client{}, "", err
	}
	if err := s.store.AddClient(ctx, c); err != nil {
		return oauth.Client{}, "", err
	}
	s.warnOfDeprecated(ctx, &c)
	s.log.InfoContext(ctx, "client registered", "client_id", c.ID, "kind", c.Kind, "owner", c.Owner, "by", mesh.Caller(ctx).Subject)
	return c, secret, nil
}

// disable ends a client of a kind for which may is true (nil: always); oauth.ErrNotFound if there is none such.
func (s *Service) disable(ctx context.Context, kind oauth.ClientKind, id string, may func(*oauth.Client) bool) (oauth.Client, error) {
	c, err := s.store.Client(ctx, id)
	if err != nil {
		return oauth.Client{}, err
	}
	if c.Kind != kind || may != nil && !may(&c) {
		return oauth.Client{}, oauth.ErrNotFound
	}
	if err := s.oauth.DisableClient(ctx, id); err != nil {
		return oauth.Client{}, err
	}
	s.log.InfoContext(ctx, "client disabled", "client_id", id, "kind", kind, "by", mesh.Caller(ctx).Subject)
	return s.store.Client(ctx, id)
}

// leaving turns what an RPC failed with into what its caller may see.
func leaving(err error) error {
	if bad, ok := errors.AsType[*oauth.MetadataError](err); ok {
		return mesh.InvalidField(bad.Field, bad.Description)
	}
	if errors.Is(err, oauth.ErrUnavailable) {
		return mesh.Unavailable("the token database")
	}
	return err
}
