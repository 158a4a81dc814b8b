// Package gateway is the edge: the one place through which browsers, API clients and native gRPC clients reach the
// services.
//
// It owns what is done once for all of them: telling who calls, cross-site protection, limits, request ids, security
// headers, and the list of routes. It knows no service: it is handed connections and generated code. What each kind of
// client needs lies in the packages below it.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/realguardio/realguardio/gateway/bff"
	"github.com/realguardio/realguardio/gateway/credential"
	"github.com/realguardio/realguardio/gateway/csrf"
	"github.com/realguardio/realguardio/gateway/live"
	"github.com/realguardio/realguardio/gateway/passthrough"
	"github.com/realguardio/realguardio/gateway/places"
	"github.com/realguardio/realguardio/gateway/possession"
	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/gateway/ratelimit"
	"github.com/realguardio/realguardio/gateway/relyingparty"
	"github.com/realguardio/realguardio/gateway/rest"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/gateway/ui"
	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/mesh"
)

// Gateway serves HTTP by [Gateway.Handler] and native gRPC by [Gateway.GRPCServer]. It is of use while [Gateway.Run] runs.
type Gateway struct {
	cfg     Config
	meshLog *slog.Logger
	vault   *vault.Vault
	// provider is where people sign in, issuer where API keys and opaque tokens are known: mostly the same.
	provider    *relyingparty.Party
	issuer      *relyingparty.Party
	sessions    *session.Manager
	credentials *credential.Checker
	possession  *possession.Checker
	cookies     bff.Cookies
	bff         *bff.Routes
	rest        *rest.Transcoder
	live        *live.Events
	ui          *ui.Handler
	docs        *docs
	problems    problem.Writer
	perCaller   *ratelimit.Limiter[string]
	perSignIn   *ratelimit.Limiter[string]
	streams     *places.Places
	calls       *places.Places
	handler     http.Handler
}

// New checks cfg and makes a gateway. It connects to nothing yet.
func New(cfg Config) (*Gateway, error) {
	public, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	// The mesh adds the part's name to its own log lines.
	meshLog := cfg.Logger
	cfg.Logger = cfg.Logger.With("part", cfg.Part)
	g := &Gateway{cfg: cfg, meshLog: meshLog, cookies: bff.Cookies{Secure: public.Scheme == "https"}, problems: problem.Writer{Logger: cfg.Logger},
		streams: places.New(cfg.Limits.Streams, cfg.Limits.EachStreams), calls: places.New(cfg.Limits.Calls, cfg.Limits.EachCalls)}
	for _, open := range []func(public *url.URL) error{g.openSessions, g.openCredentials, g.openServices, g.openSite} {
		if err := open(public); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	if err := g.show(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("gateway: metrics: %w", err)
	}
	return g, nil
}

// openSessions makes what people sign in by.
func (g *Gateway) openSessions(public *url.URL) (err error) {
	cfg := &g.cfg
	if g.vault, err = vault.New(vault.Config{Redis: cfg.Sessions.Redis, Keys: cfg.Sessions.Keys, Now: cfg.Now, Logger: cfg.Logger}); err != nil {
		return err
	}
	if g.issuer, g.provider, err = newParties(g.cfg, public.String()); err != nil {
		return err
	}
	if g.sessions, err = session.New(session.Config{
		Vault: g.vault, Refresher: g.provider, Revocations: cfg.Revocations,
		IdleFor: cfg.Sessions.Idle, LiveFor: cfg.Sessions.Life, Now: cfg.Now, Logger: cfg.Logger,
	}); err != nil {
		return err
	}
	g.bff = bff.New(bff.Config{
		PublicURL: public, Sessions: g.sessions, Provider: g.provider, Vault: g.vault, CSRF: csrf.New(cfg.Sessions.Keys[0]),
		Cookies: g.cookies, Style: ui.Style(), Problems: g.problems, Logger: cfg.Logger, Now: cfg.Now,
	})
	return nil
}

// openCredentials makes what API clients are known by.
func (g *Gateway) openCredentials(public *url.URL) (err error) {
	cfg := &g.cfg
	if g.credentials, err = credential.New(credential.Config{
		Verifier: cfg.Verifier, Revocations: cfg.Revocations, Exchanger: g.issuer, Introspector: g.issuer, Now: cfg.Now, Logger: cfg.Logger,
	}); err != nil {
		return err
	}
	g.possession, err = possession.New(possession.Config{
		Vault: g.vault, Secrets: cfg.Sessions.Keys, Origins: append([]string{public.String()}, cfg.Origins.API...), Now: cfg.Now,
	})
	return err
}

// openServices makes the ways to the services.
func (g *Gateway) openServices(*url.URL) (err error) {
	if g.rest, err = rest.New(context.Background(), g.problems, g.upstreams()...); err != nil {
		return err
	}
	g.live, err = live.New(live.Config{
		Upstreams: g.liveUpstreams(), Caller: g.listener, Admit: g.mayListen, Places: g.streams, Problems: g.problems, Heartbeat: g.cfg.LiveHeartbeat,
	})
	return err
}

// openSite makes what is served from here, and what all HTTP goes through.
func (g *Gateway) openSite(public *url.URL) (err error) {
	if g.ui, err = ui.NewHandler(g.cfg.Site.UI, g.provider.Origin()); err != nil {
		return err
	}
	if g.docs, err = newDocs(g.cfg.Site.OpenAPI); err != nil {
		return err
	}
	g.handler, err = g.newEdge(public)
	return err
}

// newParties makes the gateway a client of the issuer and of where people sign in: one and the same, unless there is
// another provider for that.
func newParties(cfg Config, public string) (issuer, provider *relyingparty.Party, err error) {
	own := cfg.Provider
	c := relyingparty.Config{
		Issuer: own.Issuer, ClientID: own.ClientID, ClientSecret: own.ClientSecret, Scopes: own.Scopes,
		IntrospectionClientID: own.IntrospectionClientID, IntrospectionClientSecret: own.IntrospectionClientSecret,
		RedirectURL: public + bff.CallbackPath, PostLogoutURL: public + "/",
		Verifier: cfg.Verifier, Revocations: cfg.Revocations, HTTPClient: own.HTTPClient, Now: cfg.Now, Logger: cfg.Logger,
	}
	if issuer, err = relyingparty.New(c); err != nil || cfg.SignIn == nil {
		return issuer, issuer, err
	}
	in := cfg.SignIn
	c.Issuer, c.ClientID, c.ClientSecret, c.Scopes = in.Issuer, in.ClientID, in.ClientSecret, in.Scopes
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile", "email", "offline_access"}
	}
	c.IntrospectionClientID, c.IntrospectionClientSecret = "", ""
	c.Claims, c.Resource, c.Parameters, c.HTTPClient = in.Claims, in.Resource, in.Parameters, in.HTTPClient
	provider, err = relyingparty.New(c)
	return issuer, provider, err
}

// Run discovers the identity providers, trying until they answer, and returns when ctx ends. Live updates end then.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.live.Close()
	discovering, failing := errgroup.WithContext(ctx)
	discovering.Go(func() error { return g.issuer.Run(failing) })
	if g.provider != g.issuer {
		discovering.Go(func() error { return g.provider.Run(failing) })
	}
	if err := discovering.Wait(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	<-ctx.Done()
	return nil
}

// Handler serves everything that comes over HTTP.
func (g *Gateway) Handler() http.Handler { return g.handler }

// ProviderReady says what is missing until the identity provider has been discovered. It is for readiness.
func (g *Gateway) ProviderReady(context.Context) error {
	if !g.provider.Ready() || !g.issuer.Ready() {
		return relyingparty.ErrNotReady
	}
	return nil
}

// RedisReady says whether the session store answers. It is for readiness.
func (g *Gateway) RedisReady(ctx context.Context) error { return g.vault.Ping(ctx) }

// GRPCServer makes the server of the native gRPC port. It serves by its own Serve.
func (g *Gateway) GRPCServer() (*mesh.Server, error) {
	upstreams := make([]passthrough.Upstream, 0, len(g.cfg.Backends))
	for _, b := range g.cfg.Backends {
		upstreams = append(upstreams, passthrough.Upstream{Conn: b.Forward, Services: b.Services})
	}
	pass, err := passthrough.New(g.admitCall, upstreams...)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	server := mesh.ServerConfig{
		Name: g.cfg.Part, TLS: asking(g.cfg.GRPC.TLS), Insecure: g.cfg.GRPC.Insecure,
		Verifier: g.cfg.Verifier, Revocations: g.cfg.Revocations, Credential: g.grpcCredential, PassThrough: pass,
		Logger: g.meshLog, Limits: g.cfg.GRPC.Limits, MaxStreams: g.cfg.GRPC.MaxStreams, Now: g.cfg.Now,
	}
	if len(g.cfg.Origins.GRPC) > 0 {
		server.DPoP = &mesh.DPoP{Checker: g.possession.Proofs(), Origins: g.cfg.Origins.GRPC}
	}
	g.cfg.GRPC.Instrument(&server)
	return mesh.NewServer(server)
}

// asking is config that asks clients for a certificate, which tokens can be bound to, and does without one. Whoever issued
// it, it makes its holder nobody: only a token does.
func asking(config *tls.Config) *tls.Config {
	if config == nil || config.ClientAuth != tls.NoClientCert {
		return config
	}
	config = config.Clone()
	config.ClientAuth = tls.RequestClientCert
	return config
}

// grpcCredential turns an API key in metadata into a token. What it returns is verified by the guard like any other.
func (g *Gateway) grpcCredential(ctx context.Context, authorization string) (string, error) {
	access, err := g.credentials.Check(ctx, authorization, peerAddress(ctx))
	if errors.Is(err, credential.ErrTwo) {
		return "", mesh.Unauthenticated(problem.ReasonTwoCredentials)
	}
	return access.Token, err
}

func (g *Gateway) upstreams() []rest.Upstream {
	upstreams := make([]rest.Upstream, 0, len(g.cfg.Backends))
	for _, b := range g.cfg.Backends {
		upstreams = append(upstreams, rest.Upstream{Conn: b.Conn, Register: b.REST, Services: b.Services})
	}
	return upstreams
}

func (g *Gateway) liveUpstreams() []live.Upstream {
	upstreams := make([]live.Upstream, 0, len(g.cfg.Backends))
	for _, b := range g.cfg.Backends {
		upstreams = append(upstreams, live.Upstream{Conn: b.Conn, Services: b.Services})
	}
	return upstreams
}

// NewHTTPServer returns a server with the limits that one facing strangers needs.
func NewHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}
