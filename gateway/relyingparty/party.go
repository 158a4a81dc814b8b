// Package relyingparty is the gateway as a client of the identity provider: OpenID Connect Core with the authorization
// code flow and PKCE, refresh, revocation (RFC 7009), introspection (RFC 7662), client credentials, and logout.
//
// It works with any issuer that publishes a discovery document, and keeps no state of its own: who is signing in is the
// caller's to remember.
package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/realguardio/realguardio/gateway/credential"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
)

// Config of a [Party].
type Config struct {
	// Issuer, ClientID, ClientSecret, RedirectURL and Verifier are required.
	Issuer       string
	ClientID     string
	ClientSecret string
	// RedirectURL is where the provider sends the browser back to, PostLogoutURL where it does after a logout.
	RedirectURL   string
	PostLogoutURL string
	// Scopes are asked for at every login. "openid" is added when missing.
	Scopes []string
	// Resource is what access tokens are asked for (RFC 8707). Default: it is not named.
	Resource string
	// Parameters are further ones of the authorization request, and none of [ownParameters].
	Parameters map[string]string
	// Claims reads the tokens of a provider of others. Default: they are as ours.
	Claims *claims.Mapping
	// IntrospectionClientID and IntrospectionClientSecret are those of a resource server, as which the provider is asked
	// what opaque access tokens mean. Default: it is not asked.
	IntrospectionClientID     string
	IntrospectionClientSecret string
	// Verifier reads the access tokens that the provider issues.
	Verifier mesh.Verifier
	// Revocations tells which of the provider's keys were stolen. Default: none.
	Revocations Revocations
	// HTTPClient reaches the provider. Default: one with a timeout of 10 seconds.
	HTTPClient *http.Client
	// Leeway is the clock difference tolerated in ID tokens. Default: 30 seconds.
	Leeway time.Duration
	Now    func() time.Time
	Logger *slog.Logger
}

// ownParameters of the authorization request decide what a login is for and to whom its answer goes.
var ownParameters = []string{
	"client_id", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "request", "request_uri", "resource",
	"response_mode", "response_type", "scope", "state",
}

// ErrNotReady says that the provider has not been discovered yet.
var ErrNotReady = errors.New("relying party: the identity provider has not answered yet")

// Party is safe for concurrent use. It is of use once [Party.Run] has found the provider.
type Party struct {
	cfg      Config
	claims   *claims.Reader
	provider atomic.Pointer[provider]
}

// provider is what discovery told.
type provider struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	metadata metadata
}

// metadata are the members of the discovery document that go-oidc does not read.
type metadata struct {
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	AccountURI            string   `json:"account_management_uri"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
}

// New checks cfg. It does not connect.
func New(cfg Config) (*Party, error) {
	for _, required := range []struct{ name, value string }{
		{"Issuer", cfg.Issuer}, {"ClientID", cfg.ClientID}, {"ClientSecret", cfg.ClientSecret}, {"RedirectURL", cfg.RedirectURL},
	} {
		if required.value == "" {
			return nil, fmt.Errorf("relying party: %s is required", required.name)
		}
	}
	if cfg.Verifier == nil {
		return nil, errors.New("relying party: Verifier is required")
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Leeway <= 0 {
		cfg.Leeway = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if !slices.Contains(cfg.Scopes, oidc.ScopeOpenID) {
		cfg.Scopes = append([]string{oidc.ScopeOpenID}, cfg.Scopes...)
	}
	for name := range cfg.Parameters {
		if slices.Contains(ownParameters, name) {
			return nil, fmt.Errorf("relying party: the parameter %s is not to be chosen", name)
		}
	}
	reader, err := claims.New(claims.Config{Issuer: cfg.Issuer, Audiences: []string{cfg.ClientID}, Mapping: cfg.Claims})
	if err != nil {
		return nil, fmt.Errorf("relying party: %w", err)
	}
	return &Party{cfg: cfg, claims: reader}, nil
}

// Run reads the discovery document, again and again until it succeeds or ctx ends.
func (p *Party) Run(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := p.discover(ctx)
		if err == nil {
			return nil
		}
		p.cfg.Logger.WarnContext(ctx, "the identity provider cannot be discovered yet", "issuer", p.cfg.Issuer, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Ready reports whether the provider has been discovered.
func (p *Party) Ready() bool { return p.provider.Load() != nil }

// Origin is where the browser is sent to sign in: the scheme and host of the authorization endpoint, or of the issuer
// while that is not known.
func (p *Party) Origin() string {
	at := p.cfg.Issuer
	if pr := p.provider.Load(); pr != nil {
		at = pr.oauth.Endpoint.AuthURL
	}
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// AccountURL is the provider's page on which people see and change their account; the issuer where it names none.
func (p *Party) AccountURL() string {
	if pr := p.provider.Load(); pr != nil && pr.metadata.AccountURI != "" {
		return pr.metadata.AccountURI
	}
	return p.cfg.Issuer
}

func (p *Party) discover(ctx context.Context) error {
	found, err := oidc.NewProvider(p.client(context.WithoutCancel(ctx)), p.cfg.Issuer)
	if err != nil {
		return fmt.Errorf("discovering %s: %w", p.cfg.Issuer, err)
	}
	pr := &provider{}
	if err := found.Claims(&pr.metadata); err != nil {
		return fmt.Errorf("reading the discovery document of %s: %w", p.cfg.Issuer, err)
	}
	endpoint := found.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if m := pr.metadata.AuthMethods; len(m) > 0 && !slices.Contains(m, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	pr.oauth = oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: endpoint,
		RedirectURL: p.cfg.RedirectURL, Scopes: p.cfg.Scopes,
	}
	// Only what the provider signs with, and never a symmetric algorithm: the client secret is no signing key.
	algs := slices.DeleteFunc(pr.metadata.IDTokenAlgs, func(alg string) bool { return len(alg) < 2 || alg[:2] == "HS" || alg == "none" })
	check := oidc.Config{ClientID: p.cfg.ClientID, SupportedSigningAlgs: algs, Now: p.now}
	pr.verifier = found.Verifier(&check)
	p.provider.Store(pr)
	return nil
}

// now is the clock for ID tokens, late by the leeway: go-oidc has none for "exp".
func (p *Party) now() time.Time { return p.cfg.Now().Add(-p.cfg.Leeway) }

// client puts the HTTP client where oidc and oauth2 look for it.
func (p *Party) client(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.cfg.HTTPClient)
}

func (p *Party) ready() (*provider, error) {
	if pr := p.provider.Load(); pr != nil {
		return pr, nil
	}
	return nil, ErrNotReady
}

var (
	_ session.Refresher       = (*Party)(nil)
	_ credential.Exchanger    = (*Party)(nil)
	_ credential.Introspector = (*Party)(nil)
)
