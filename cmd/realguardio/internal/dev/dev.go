// Package dev runs every part in one process for development: on embedded stores, with certificates of a throw-away
// authority, loopback only, and with the demo in it. It has no code path that production lacks: the parts are built by
// the same constructors, find each other over real connections, and the demo comes to be through the public interfaces.
package dev

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/authority"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/embeddedredis"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/mailsink"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/upstream"
)

// readyWithin is how long the parts may take to find each other.
const readyWithin = 30 * time.Second

// outboxPath is where the gateway shows what would have been sent.
const outboxPath = "/dev/outbox"

// Config is what the command was told.
type Config struct {
	DataDir                             string
	Ephemeral, RandomPorts, TLS, NoDemo bool
	// RedisURL and PostgresURL replace the embedded stores when not empty.
	RedisURL, PostgresURL string
	// Traces says whether spans are made.
	Traces assembly.Traces
	// DPoPNonces says whether proofs must name a nonce.
	DPoPNonces token.NoncePolicy
	// Upstreams are OpenID Providers of others that people may sign in at.
	Upstreams []upstream.Provider
	// Trusted are issuers of others whose tokens are accepted, SignIn is the one at which people sign in; nil for ours.
	Trusted []issuerfile.Issuer
	SignIn  *gateway.SignIn
	// ReadyFile is written once everything is ready; empty for none.
	ReadyFile string
	// Program is how this binary was called, for commands that can be pasted.
	Program string
	Stdout  io.Writer
	Log     *slog.Logger
	Now     func() time.Time
}

// installation is everything that runs.
type installation struct {
	Config
	data      *dataDir
	endpoints endpoints
	ca        *authority.Authority
	files     readyfile.File
	mail      *mailsink.Sink
	redisURL  string
	parts     []*assembly.Part
	closers   []func() error
}

// Run runs everything until ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.ReadyFile != "" {
		if err := readyfile.Remove(cfg.ReadyFile); err != nil {
			return err
		}
	}
	in := &installation{Config: cfg}
	defer func() { err = errors.Join(err, in.close()) }()
	if err := in.prepare(); err != nil {
		return err
	}
	return in.live(ctx)
}

// live starts everything, says when it is ready, and ends it in reverse order when ctx ends or something fails.
func (in *installation) live(ctx context.Context) (err error) {
	running := newStack(ctx)
	defer func() { err = errors.Join(err, running.stop()) }()
	running.push(in.mail.Run)
	secrets, err := in.register(ctx)
	if err != nil {
		return err
	}
	for _, build := range in.builders(secrets) {
		part, err := build(ctx)
		if err != nil {
			return err
		}
		in.parts = append(in.parts, part)
		running.push(part.Run)
	}
	if err := in.announce(running.failing); err != nil {
		if ctx.Err() != nil {
			return nil // it was asked to end before it was ready
		}
		return err
	}
	<-running.failing.Done()
	return nil
}

// announce waits until the parts have found each other, seeds the demo, and says where everything is.
func (in *installation) announce(ctx context.Context) error {
	if err := in.waitReady(ctx); err != nil {
		return err
	}
	if err := in.seed(ctx); err != nil {
		return err
	}
	if in.ReadyFile != "" {
		if err := readyfile.Write(in.ReadyFile, in.files); err != nil {
			return err
		}
	}
	banner(in.Stdout, in.files, in.Program, in.demoFile())
	return nil
}

// prepare takes what may be refused: the folder, the addresses, the stores.
func (in *installation) prepare() error {
	var err error
	if in.data, err = openDataDir(in.DataDir, in.Ephemeral); err != nil {
		return err
	}
	in.onClose(in.data.close)
	if in.endpoints, err = listen(in.RandomPorts, in.TLS); err != nil {
		return err
	}
	in.onClose(func() error { in.endpoints.close(); return nil })
	if in.redisURL = in.RedisURL; in.redisURL == "" {
		server, err := embeddedredis.Start()
		if err != nil {
			return err
		}
		in.onClose(func() error { server.Close(); return nil })
		in.redisURL = server.URL()
	}
	if in.ca, err = authority.Open(in.data.file("tls"), in.Now); err != nil {
		return err
	}
	if err := in.openMail(); err != nil {
		return err
	}
	client, err := in.ca.Issue("client")
	if err != nil {
		return err
	}
	in.files = readyfile.File{
		Gateway: in.url(assembly.Gateway), Issuer: in.url(assembly.Token), Outbox: in.url(assembly.Gateway) + outboxPath,
		CAFile: client.CA, ClientCertFile: client.Cert, ClientKeyFile: client.Key,
		GRPC: in.endpoints.grpc(), Ops: in.endpoints.ops(),
		Users: []readyfile.User{}, Clients: []readyfile.Client{}, APIKeys: []readyfile.APIKey{},
	}
	return nil
}

// url is where people reach the HTTP port of a part.
func (in *installation) url(part string) string {
	scheme := "http://"
	if in.TLS {
		scheme = "https://"
	}
	return scheme + local(in.endpoints[part].HTTP)
}

// databaseURL is the database of a part: a file of its own, or a schema of its own.
func (in *installation) databaseURL(part string) (string, error) {
	if in.PostgresURL == "" {
		return "sqlite://" + in.data.file(part+".db"), nil // a path as it stands, not encoded
	}
	u, err := url.Parse(in.PostgresURL)
	if err != nil {
		return "", errors.New("--postgres-url is not a URL") // not err: it may hold the password
	}
	query := u.Query()
	query.Set("schema", part)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func (in *installation) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, part := range in.parts {
		if err := part.Ops.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (in *installation) onClose(f func() error) { in.closers = append(in.closers, f) }

func (in *installation) close() error {
	var all error
	if in.ReadyFile != "" {
		all = readyfile.Remove(in.ReadyFile)
	}
	for _, closer := range slices.Backward(in.closers) {
		all = errors.Join(all, closer())
	}
	return all
}
