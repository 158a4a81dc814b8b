// Package member makes a process a part of a mesh: it proves itself by its certificate and its own token, verifies those of
// others by the issuer's keys, and hears at once which of them have ended.
//
// It puts packages mesh, jwt, issuers, revocation and clientcredentials together as most parts need them. A part that
// needs them otherwise, without a feed of revocations for one, does so itself: nothing here is kept from it.
package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/clientcredentials"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// Audience is that of tokens for the whole mesh. A part accepts its own, "urn:realguardio:" and its name, beside it.
const Audience = "urn:realguardio:api"

// Config says who a part is and whom it trusts.
type Config struct {
	// Name is the part's name: that of the client it is registered as, and that in its certificate. Required.
	Name string
	// TLS proves the part to the others and tells theirs, such as [mesh.TLSFiles]. Required.
	TLS TLS
	// Issuer is whose tokens are accepted, by its URL. Required.
	Issuer string
	// Secret is that of the part's client at the issuer. Required.
	Secret string
	// Revocations is the address of the token service, which tells what has ended. Required.
	Revocations string

	// Others are issuers whose tokens are accepted besides, such as those of a file that package issuerfile reads.
	// Revocations do not speak of them. Default: none.
	Others []issuers.Trusted
	// Audiences replace those that the part accepts. Default: [Audience] and its own.
	Audiences []string
	// Instrument adds to what the part's server is made with: the metrics of package telemetry (Metrics.Server), interceptors.
	// Default: nothing is added.
	Instrument func(*mesh.ServerConfig)
	// HTTPClient reaches the issuer. Default: one with a timeout of 10 seconds.
	HTTPClient *http.Client
	// Logger gets the part's log. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// TLS is both ends of mutual TLS.
type TLS interface {
	Server() (*tls.Config, error)
	Client() (*tls.Config, error)
}

// Member is a part of a mesh. It is safe for concurrent use.
type Member struct {
	// Verifier tells who a token speaks for, Revocations which tokens have ended.
	Verifier    *issuers.Verifier
	Revocations *revocation.Set
	// Feed keeps Revocations current.
	Feed *revocation.Feed
	// Self gets the part's own tokens.
	Self mesh.TokenSource

	cfg    Config
	server *tls.Config
	issuer *grpc.ClientConn
}

// New makes a member. That the issuer cannot be reached yet is no error: until it is, nobody is let in. Call
// [Member.Run], or [Member.Serve] which does, to follow keys and revocations, and [Member.Close] in the end.
func New(ctx context.Context, cfg Config) (*Member, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	m := &Member{cfg: cfg, Revocations: revocation.NewSet(revocation.Config{Logger: cfg.Logger, Now: cfg.Now})}
	var err error
	if m.server, err = cfg.TLS.Server(); err != nil {
		return nil, err
	}
	if m.Self, err = clientcredentials.New(clientcredentials.Config{
		TokenURL: strings.TrimSuffix(cfg.Issuer, "/") + "/oauth2/token", ClientID: cfg.Name, Secret: cfg.Secret,
		HTTPClient: cfg.HTTPClient, Logger: cfg.Logger, Now: cfg.Now,
	}); err != nil {
		return nil, err
	}
	own, err := jwt.New(ctx, jwt.Config{
		Issuer: cfg.Issuer, Audiences: cfg.Audiences, HTTPClient: cfg.HTTPClient, Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	trusted := append([]issuers.Trusted{{JWT: own, Required: true}}, cfg.Others...)
	if m.Verifier, err = issuers.New(issuers.Config{Trusted: trusted}); err != nil {
		return nil, err
	}
	if m.issuer, err = m.Dial(cfg.Revocations, mesh.AsService(m.Self)); err != nil {
		return nil, err
	}
	m.Feed = revocation.NewFeed(m.issuer, m.Revocations)
	return m, nil
}

// Run follows the issuer's keys and revocations until ctx ends. It returns nil.
func (m *Member) Run(ctx context.Context) error {
	var following errgroup.Group
	following.Go(func() error { return m.Verifier.Run(ctx) })
	following.Go(func() error { return m.Feed.Run(ctx) })
	return following.Wait()
}

// Close ends the connection to the issuer.
func (m *Member) Close() error { return m.issuer.Close() }

// Dial connects to another part, over mutual TLS.
func (m *Member) Dial(target string, p mesh.Propagation) (*grpc.ClientConn, error) {
	return mesh.Dial(mesh.DialConfig{Target: target, TLSSource: m.cfg.TLS, Propagation: p, Logger: m.cfg.Logger})
}

// ServerConfig is what a server of the part is made with. It may be changed before it goes to [mesh.NewServer].
func (m *Member) ServerConfig() mesh.ServerConfig {
	cfg := mesh.ServerConfig{
		Name: m.cfg.Name, TLS: m.server, Verifier: m.Verifier, Revocations: m.Revocations, Logger: m.cfg.Logger, Now: m.cfg.Now,
	}
	m.cfg.Instrument(&cfg)
	return cfg
}

// ListenAndServe is [Member.Serve] at a TCP address.
func (m *Member) ListenAndServe(ctx context.Context, address string, register func(grpc.ServiceRegistrar)) error {
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("member: %s: %w", m.cfg.Name, err)
	}
	return m.Serve(ctx, lis, register)
}

// Serve serves what register registers, while it follows keys and revocations, until ctx ends and the calls under way have.
// It does not start where an RPC has no rule. It closes lis.
func (m *Member) Serve(ctx context.Context, lis net.Listener, register func(grpc.ServiceRegistrar)) error {
	server, err := mesh.NewServer(m.ServerConfig())
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	register(server)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var run errgroup.Group
	run.Go(func() error { return m.Run(following) })
	err = server.Serve(ctx, lis)
	stop() // after the last call: what is under way is held to what ends meanwhile
	return errors.Join(err, run.Wait())
}

func (c *Config) complete() error {
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"Name", c.Name == ""}, {"TLS", c.TLS == nil}, {"Issuer", c.Issuer == ""}, {"Secret", c.Secret == ""},
		{"Revocations", c.Revocations == ""},
	} {
		if required.missing {
			return fmt.Errorf("member: %s is missing", required.name)
		}
	}
	if c.Audiences == nil {
		c.Audiences = []string{Audience, "urn:realguardio:" + c.Name}
	}
	if c.Instrument == nil {
		c.Instrument = func(*mesh.ServerConfig) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
