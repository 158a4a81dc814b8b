package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// requestTimeout bounds a request to a provider.
	requestTimeout = 8 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// discoveryLifetime is how long a discovery document is taken for true.
	discoveryLifetime = time.Hour
	// discoveryPause is how long a provider that did not answer is left alone.
	discoveryPause = 5 * time.Second
)

// algorithms are those of ID tokens that only who has the provider's private key can make.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// known is what discovery told of a provider.
type known struct {
	provider *oidc.Provider
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	metadata metadata
	at       time.Time
}

// metadata are the members of the discovery document that go-oidc does not show.
type metadata struct {
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	// IssParameter says that every answer names its issuer (RFC 9207, section 3).
	IssParameter bool `json:"authorization_response_iss_parameter_supported"`
}

// party is one provider and what is known of it.
type party struct {
	Provider
	in *Parties
	// turn is held while the fields below are looked at: one request at a time discovers.
	turn   chan struct{}
	known  *known
	failed time.Time
}

// ready returns what is known of the provider, and asks it when that is nothing, or old. What is old is better than nothing.
func (p *party) ready(ctx context.Context) (*known, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	now := p.in.cfg.Now()
	if p.known != nil && now.Sub(p.known.at) < discoveryLifetime {
		return p.known, nil
	}
	if now.Sub(p.failed) >= discoveryPause {
		fresh, err := p.discover(ctx, now)
		if err == nil {
			p.known = fresh
			return fresh, nil
		}
		p.failed = now
		p.in.cfg.Logger.WarnContext(ctx, "an upstream provider cannot be discovered", "provider", p.ID, "error", err)
	}
	if p.known == nil {
		return nil, fmt.Errorf("%w: not discovered", ErrUnavailable)
	}
	return p.known, nil
}

func (p *party) discover(ctx context.Context, now time.Time) (*known, error) {
	provider, err := oidc.NewProvider(p.client(ctx), p.Issuer)
	if err != nil {
		return nil, err
	}
	k := &known{provider: provider, at: now}
	if err := provider.Claims(&k.metadata); err != nil {
		return nil, fmt.Errorf("reading the discovery document: %w", err)
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": k.metadata.AuthorizationEndpoint, "token_endpoint": k.metadata.TokenEndpoint, "jwks_uri": k.metadata.JWKSURI,
	} {
		if err := checkURL(endpoint, p.in.cfg.Plaintext); err != nil {
			return nil, fmt.Errorf("%s %w", name, err)
		}
	}
	if k.metadata.UserInfoEndpoint != "" && checkURL(k.metadata.UserInfoEndpoint, p.in.cfg.Plaintext) != nil {
		return nil, errors.New("userinfo_endpoint is not https")
	}
	k.oauth = oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: p.in.RedirectURI(p.ID), Scopes: p.Scopes, Endpoint: provider.Endpoint()}
	// Trying one after another, as is the library's way, would send a code twice. The first is the default (Core, section 9).
	k.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if methods := k.metadata.AuthMethods; len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") {
		k.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	k.verifier = provider.Verifier(&oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: algorithms,
		Now: func() time.Time { return p.in.cfg.Now().Add(-leeway) }})
	return k, nil
}

// client makes the libraries use ours.
func (p *party) client(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.in.http)
}

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Timeout:   requestTimeout,
		Transport: bounded{transport},
		// Codes and secrets go where they were sent.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts off answers that are too long.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
}
