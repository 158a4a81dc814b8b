package assembly

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/ops"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/clientcredentials"
	"github.com/realguardio/realguardio/mesh/introspection"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/revocation"
	"github.com/realguardio/realguardio/mesh/telemetry"
	"github.com/realguardio/realguardio/mesh/tokenservice"
	"github.com/realguardio/realguardio/mesh/xds"
)

// audience is what tokens for this trust domain carry. A part accepts its own as well.
const audience = "urn:realguardio:api"

func audienceOf(part string) string { return "urn:realguardio:" + part }

// audiences are those of which a token must have one.
func (env Environment) audiences(part string) []string {
	if env.OwnAudience {
		return []string{audienceOf(part)}
	}
	return []string{audience, audienceOf(part)}
}

// membership is a part's place in the mesh: how it proves itself, whose tokens it accepts, which of them have ended.
type membership struct {
	part   *Part
	server *tls.Config
	proof  proof
	ids    mesh.WorkloadIDs
	// issuer is the HTTP client that trusts the issuer's certificate.
	issuer      *http.Client
	verifier    *issuers.Verifier
	revocations *revocation.Set
	metrics     *telemetry.Metrics
	// denied keeps a record of whom the server refuses; nil in a part without one.
	denied func(mesh.Denial)
	// own gets the part's own tokens, for the part that is called with them.
	own func(callee string) (mesh.TokenSource, error)
	// exchanges get tokens for those of callers; exchanged has the parts that are called with such.
	exchanges *mesh.Exchanges
	exchanged map[string][]string
}

// join reads the part's certificate and begins to follow the issuer's keys and revocations. keys reads the keys in place
// of HTTP, for the issuer's own process; nil for the others.
func (p *Part) join(ctx context.Context, env Environment, keys func(context.Context) ([]byte, error)) (*membership, error) {
	m := &membership{part: p, ids: env.WorkloadIDs, exchanged: env.Exchange}
	var err error
	if m.proof, err = p.prove(ctx, env); err != nil {
		return nil, err
	}
	if m.server, err = m.proof.Server(); err != nil {
		return nil, err
	}
	if m.issuer, err = remote.NewHTTPClient(env.IssuerCA); err != nil {
		return nil, err
	}
	m.issuer.Transport = p.tracer.Transport(m.issuer.Transport)
	p.onClose(func() error { m.issuer.CloseIdleConnections(); return nil })
	if m.metrics, err = telemetry.New(p.Ops.Registry); err != nil {
		return nil, err
	}
	m.own = func(callee string) (mesh.TokenSource, error) {
		return clientcredentials.New(clientcredentials.Config{
			TokenURL: strings.TrimSuffix(env.Issuer, "/") + "/oauth2/token", ClientID: p.Name, Secret: env.Secret,
			Audience: audienceOf(callee), HTTPClient: m.issuer, Logger: p.log, Now: env.Now,
		})
	}
	if m.verifier, err = m.newVerifier(ctx, env, keys); err != nil {
		return nil, err
	}
	p.work("verification keys", m.verifier.Run)
	p.Ops.Add(ops.Check{Name: "verification keys", Run: func(context.Context) error {
		if !m.verifier.Ready() {
			return errors.New("the keys of an issuer could not be fetched")
		}
		return nil
	}})
	return m, m.followRevocations(env)
}

// newVerifier verifies the tokens of the issuer, and those of the others that are trusted.
func (m *membership) newVerifier(ctx context.Context, env Environment, keys func(context.Context) ([]byte, error)) (*issuers.Verifier, error) {
	own, err := jwt.New(ctx, jwt.Config{
		Issuer: env.Issuer, Audiences: env.audiences(m.part.Name),
		HTTPClient: m.issuer, Keys: keys, Logger: m.part.log, Now: env.Now,
	})
	if err != nil {
		return nil, err
	}
	others, err := issuerfile.Open(ctx, env.Trusted, m.part.log, env.Now)
	if err != nil {
		return nil, err
	}
	trusted := append([]issuers.Trusted{{JWT: own, Required: true}}, others...)
	for _, t := range trusted {
		if v, ok := t.JWT.(*jwt.Verifier); ok {
			if err := m.metrics.Verifier(v.Issuer(), v); err != nil {
				return nil, err
			}
		}
		if v, ok := t.Opaque.(*introspection.Verifier); ok {
			if err := m.metrics.Introspection(v.Issuer(), v); err != nil {
				return nil, err
			}
		}
	}
	return issuers.New(issuers.Config{Trusted: trusted})
}

func (m *membership) followRevocations(env Environment) error {
	m.revocations = revocation.NewSet(revocation.Config{Logger: m.part.log, Now: env.Now})
	if err := m.metrics.Revocations(m.revocations); err != nil {
		return err
	}
	own, err := m.own(Token)
	if err != nil {
		return err
	}
	conn, err := m.dial(Token, env.Peers.Token, mesh.AsService(own))
	if err != nil {
		return err
	}
	exchanger := tokenservice.New(tokenservice.Config{Conn: conn, Dial: func(shown *tls.Certificate) (*grpc.ClientConn, error) {
		return m.connect(Token, env.Peers.Token, mesh.AsService(own), shown)
	}})
	m.part.onClose(exchanger.Close)
	if m.exchanges, err = mesh.NewExchanges(mesh.ExchangesConfig{
		Exchanger: exchanger, Revocations: m.revocations, Logger: m.part.log, Now: env.Now,
	}); err != nil {
		return err
	}
	if err := m.metrics.Exchanges(m.exchanges); err != nil {
		return err
	}
	feed := revocation.NewFeed(conn, m.revocations)
	m.part.work("revocation feed", feed.Run)
	// Once: with the token service stopped, what is not sensitive goes on.
	m.part.Ops.Add(ops.Once(ops.Check{Name: "revocations", Run: func(context.Context) error {
		select {
		case <-feed.Synced():
			return nil
		default:
			return errors.New("the token service has not told yet which tokens have ended")
		}
	}}))
	return nil
}

// dial makes a connection to another part, until this part is closed.
func (m *membership) dial(part, address string, p mesh.Propagation) (*grpc.ClientConn, error) {
	conn, err := m.connect(part, address, p, nil)
	if err == nil {
		m.part.onClose(conn.Close)
	}
	return conn, err
}

// connect makes a connection that shows a certificate; nil for the one that the part has now.
func (m *membership) connect(part, address string, p mesh.Propagation, shown *tls.Certificate) (*grpc.ClientConn, error) {
	cfg := mesh.DialConfig{
		Target: address, TLSSource: m.proof.To(part), Certificate: shown, WorkloadIDs: m.ids, Propagation: p, Logger: m.part.log,
	}
	m.metrics.Client(&cfg)
	m.part.tracer.Client(&cfg)
	dial := mesh.Dial
	if strings.HasPrefix(address, xds.Scheme) {
		dial = xds.Dial
	}
	conn, err := dial(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", part, err)
	}
	return conn, nil
}

// dialAsService makes a connection on which the part speaks for itself, by tokens that are for the other part alone.
func (m *membership) dialAsService(part, address string) (*grpc.ClientConn, error) {
	own, err := m.own(part)
	if err != nil {
		return nil, err
	}
	return m.dial(part, address, mesh.AsService(own))
}

// onward is how calls to a part speak for who is answered: by their own token, or by one that is for that part alone.
func (m *membership) onward(part string) mesh.Propagation {
	if to, ok := m.callee(part); ok {
		return mesh.Exchange(m.exchanges, to)
	}
	return mesh.ForwardBound(m.exchanges)
}

// perCall is the same for an edge that holds the tokens of its callers.
func (m *membership) perCall(part string) mesh.Propagation {
	if to, ok := m.callee(part); ok {
		return mesh.ExchangePerCall(m.exchanges, to)
	}
	return mesh.PerCallBound(m.exchanges)
}

func (m *membership) callee(part string) (to mesh.Callee, exchanged bool) {
	scopes, exchanged := m.exchanged[part]
	if len(scopes) == 0 {
		scopes = ScopesOf(part)
	}
	return mesh.Callee{Audience: audienceOf(part), Scopes: scopes}, exchanged
}

// newServer makes the server by which other parts reach this one.
func (m *membership) newServer(env Environment) (*mesh.Server, error) {
	cfg := mesh.ServerConfig{
		Name: m.part.Name, TLS: m.server, WorkloadIDs: m.ids, Verifier: m.verifier, Revocations: m.revocations, Logger: m.part.meshLog, Now: env.Now,
		Denied: m.denied, Limits: env.Limits, MaxStreams: env.MaxStreams,
	}
	m.instrument(&cfg)
	return mesh.NewServer(cfg)
}

// instrument adds metrics and traces to a server.
func (m *membership) instrument(cfg *mesh.ServerConfig) {
	m.metrics.Server(cfg)
	m.part.tracer.Server(cfg)
}

func newPart(ctx context.Context, name string, env Environment) (*Part, error) {
	log := env.Log.With(slog.String("part", name))
	p := &Part{Name: name, Ops: ops.New(name, log), log: log, meshLog: env.Log, drainDelay: env.DrainDelay}
	return p, p.openTracer(ctx, env.Traces)
}

// closeUnless releases what a constructor has opened, when it fails.
func (p *Part) closeUnless(succeeded *error) {
	if *succeeded != nil {
		*succeeded = errors.Join(*succeeded, p.Close())
	}
}

func (p *Part) serveGRPC(s *mesh.Server, l net.Listener) {
	p.grpc = append(p.grpc, s)
	p.serve("gRPC", func(ctx context.Context) error { return s.Serve(ctx, l) })
}

// serveHTTP serves handler with the limits of a server that faces strangers; with TLS unless config is nil.
func (p *Part) serveHTTP(handler http.Handler, l net.Listener, config *tls.Config) {
	server := gateway.NewHTTPServer(handler)
	server.ErrorLog = slog.NewLogLogger(p.log.Handler(), slog.LevelDebug) // strangers' TLS faults
	server.TLSConfig = config
	p.serve("HTTP", func(ctx context.Context) error {
		return serveUntil(ctx, server, l, httpDrain)
	})
}

// finish adds the server with the part's services, and its operations.
func (p *Part) finish(in *membership, env Environment, l Listeners, register ...func(grpc.ServiceRegistrar)) error {
	server, err := in.newServer(env)
	if err != nil {
		return err
	}
	if err := in.metrics.Load(server); err != nil {
		return err
	}
	for _, r := range register {
		r(server)
	}
	p.serveGRPC(server, l.GRPC)
	p.serveOps(l.Ops)
	return nil
}

// serveOps comes last: its port answers until nothing else does.
func (p *Part) serveOps(l net.Listener) {
	p.work("operations", func(ctx context.Context) error { return p.Ops.Serve(ctx, l) })
}
