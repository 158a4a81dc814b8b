package token

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// DemoPassword is the published password of the demo's accounts. An account that gets it is remembered as such: see
// HasDemoPassword.
const DemoPassword = "realguardio-demo"

// ClientKind tells what a client is.
type ClientKind = oauth.ClientKind

// Kinds of client.
const (
	Application = oauth.KindApplication
	APIKey      = oauth.KindAPIKey
	Panel       = oauth.KindPanel
	Workload    = oauth.KindWorkload
)

// ClientSpec describes a client that the composition needs, such as a part of the mesh.
type ClientSpec struct {
	ID, Name string
	// Kind defaults to Application.
	Kind ClientKind
	// Owner is whose an API key is.
	Owner string
	// Secret is the client's secret. Empty: a new client gets one, a known one keeps its own. Ignored if Public, and with
	// JWKS or TLSAuth.
	Secret         string
	Public         bool
	Grants         []string
	RedirectURIs   []string
	PostLogoutURIs []string
	Scopes         []string
	FirstParty     bool
	// AccessTokenLifetime defaults to 5 minutes, RefreshTokenLifetime to 30 days, IDTokenLifetime to an hour.
	AccessTokenLifetime, RefreshTokenLifetime, IDTokenLifetime time.Duration
	// JWKS is a JWK Set, for a client that authenticates by private_key_jwt instead of a secret.
	JWKS string
	// TLSAuth is for a client that authenticates by a certificate instead; it and the other two are as in oauth.Client.
	TLSAuth                                 oauth.TLSAuth
	DPoPBoundTokens, CertificateBoundTokens bool
	// OpaqueTokens, PKCEOptional, RequirePushedRequests and BackchannelLogoutURI are as in oauth.Client.
	OpaqueTokens, PKCEOptional, RequirePushedRequests bool
	BackchannelLogoutURI                              string
	// IDTokenAlg defaults to ES256 for first-party clients and to RS256 for others, AccessTokenAlg to ES256.
	IDTokenAlg, AccessTokenAlg keys.Alg
}

// EnsureClient makes the client with this id be as described, registering it if it is new, and returns its secret if that
// was made here. Repeating it changes nothing. A client that was disabled stays disabled.
func (s *Service) EnsureClient(ctx context.Context, spec ClientSpec) (secret string, err error) {
	c := oauth.Client{
		ID: spec.ID, Name: spec.Name, Kind: spec.Kind, Owner: spec.Owner, Public: spec.Public, Grants: spec.Grants,
		RedirectURIs: spec.RedirectURIs, PostLogoutURIs: spec.PostLogoutURIs, Scopes: spec.Scopes, FirstParty: spec.FirstParty,
		AccessTokenLifetime: spec.AccessTokenLifetime, RefreshTokenLifetime: spec.RefreshTokenLifetime,
		IDTokenLifetime: spec.IDTokenLifetime, JWKS: spec.JWKS, OpaqueTokens: spec.OpaqueTokens, PKCEOptional: spec.PKCEOptional,
		RequirePushedRequests: spec.RequirePushedRequests, BackchannelLogoutURI: spec.BackchannelLogoutURI,
		TLSAuth: spec.TLSAuth, DPoPBoundTokens: spec.DPoPBoundTokens, CertificateBoundTokens: spec.CertificateBoundTokens,
		IDAlg: spec.IDTokenAlg, AccessAlg: spec.AccessTokenAlg, Created: s.now(),
	}
	if c.Kind == "" {
		c.Kind = Application
	}
	keep := false
	if c.HasSecret() {
		secret = spec.Secret
		if secret == "" {
			known, err := s.store.Client(ctx, spec.ID)
			if err != nil && !errors.Is(err, oauth.ErrNotFound) {
				return "", fmt.Errorf("ensuring client %s: %w", spec.ID, err)
			}
			keep = err == nil && len(known.SecretHash) > 0
			secret = c.GiveSecret()
		} else {
			c.SecretHash = oauth.HashSecret(secret)
		}
	}
	if err := s.put(ctx, c, keep); err != nil {
		return "", fmt.Errorf("ensuring client %s: %w", spec.ID, err)
	}
	if keep || secret == spec.Secret {
		return "", nil
	}
	return secret, nil
}

// RegisteredClient is what is known of a client that may be ensured.
type RegisteredClient struct {
	RedirectURIs []string
	secretHash   []byte
}

// HasSecret tells whether this is the client's secret.
func (c RegisteredClient) HasSecret(secret string) bool {
	return subtle.ConstantTimeCompare(oauth.HashSecret(secret), c.secretHash) == 1
}

// RegisteredClient returns the client with this id, and whether there is one.
func (s *Service) RegisteredClient(ctx context.Context, id string) (_ RegisteredClient, found bool, err error) {
	c, err := s.store.Client(ctx, id)
	if errors.Is(err, oauth.ErrNotFound) {
		return RegisteredClient{}, false, nil
	}
	if err != nil {
		return RegisteredClient{}, false, fmt.Errorf("looking for client %s: %w", id, err)
	}
	return RegisteredClient{c.RedirectURIs, c.SecretHash}, true, nil
}

func (s *Service) put(ctx context.Context, c oauth.Client, keepSecret bool) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := s.store.PutClient(ctx, c, keepSecret); err != nil {
		return err
	}
	s.registered(ctx, &c)
	return nil
}

// UserSpec describes an account that the composition needs.
type UserSpec struct {
	// ID is the subject; a new one is made if empty.
	ID          string
	Email, Name string
	Roles       []string
	// Password is that of a new account. Empty: nobody can sign in to it with a password.
	Password string
}

// EnsureUser makes sure that there is an account with this e-mail and at least these roles, and returns its subject and
// whether it was made here. One that exists keeps its name and password.
func (s *Service) EnsureUser(ctx context.Context, spec UserSpec) (id string, made bool, err error) {
	known, err := s.store.UserByEmail(ctx, spec.Email)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return "", false, fmt.Errorf("ensuring an account: %w", err)
	}
	user := account.User{ID: spec.ID, Email: spec.Email, EmailVerified: true, Name: spec.Name, Roles: spec.Roles, Created: s.now()}
	if user.ID == "" {
		user.ID = resourceid.New("usr")
	}
	// An account that exists keeps its password; hashing another would be for nothing.
	if known.ID == "" && spec.Password != "" {
		if user.PasswordHash, err = s.hasher.Hash(ctx, spec.Password); err != nil {
			return "", false, fmt.Errorf("ensuring an account: %w", err)
		}
	}
	stored, made, err := s.store.EnsureUser(ctx, user, spec.Password == DemoPassword, account.Post{})
	if err != nil {
		return "", false, fmt.Errorf("ensuring an account: %w", err)
	}
	return stored.ID, made, nil
}

// FirstAdmin is who manages an installation first.
type FirstAdmin struct {
	ID, Email string
	// Made tells whether the account was made, Promoted whether one that existed was given the role. Neither: there was
	// an admin already.
	Made, Promoted bool
}

// EnsureFirstAdmin makes an account with the role of a platform admin, or gives the role to the account that has the
// address, unless there is an enabled admin. Of several who ask at once exactly one does.
func (s *Service) EnsureFirstAdmin(ctx context.Context, spec UserSpec) (FirstAdmin, error) {
	user := account.User{ID: resourceid.New("usr"), Email: spec.Email, EmailVerified: true, Name: spec.Name,
		Roles: []string{account.AdminRole}, Created: s.now()}
	var err error
	if user.PasswordHash, err = s.hasher.Hash(ctx, spec.Password); err != nil {
		return FirstAdmin{}, fmt.Errorf("making the first admin: %w", err)
	}
	stored, made, promoted, err := s.store.EnsureFirstAdmin(ctx, user)
	if err != nil {
		return FirstAdmin{}, fmt.Errorf("making the first admin: %w", err)
	}
	return FirstAdmin{ID: stored.ID, Email: stored.Email, Made: made, Promoted: promoted}, nil
}

// CheckPassword says what is wrong with a password that somebody is to have, if anything.
func (s *Service) CheckPassword(chosen, email, name string) error {
	return s.policy.Check(chosen, email, name)
}

// HasDemoPassword tells whether an account has DemoPassword, so that production can refuse to start.
func (s *Service) HasDemoPassword(ctx context.Context) (bool, error) {
	return s.store.HasDemoPassword(ctx)
}
