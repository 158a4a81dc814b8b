package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// ServerConfig says what a [Server] is and whom it trusts.
type ServerConfig struct {
	// Name is the part's name, such as "customer". Required.
	Name string
	// TLS is how the server proves itself and what certificates it demands: [TLSFiles.Server] for mutual TLS between
	// parts; without client certificates for the public port of an edge. Required, unless Insecure. TLS below 1.3 is
	// spoken only where MinVersion allows it by name.
	TLS *tls.Config
	// Insecure serves plaintext: every token can be read on the wire, and no workload can prove its name. It is for a
	// port that only a TLS-terminating proxy on the same host can reach.
	Insecure bool

	// Verifier and Revocations decide which tokens are good. Required; see [NoRevocations].
	Verifier    Verifier
	Revocations Revocations
	// WorkloadIDs is the form of the SPIFFE ids of workloads. Default: [WorkloadID].
	WorkloadIDs WorkloadIDs
	// Credential, at an edge that also takes other credentials than access tokens, turns the value of the authorization
	// metadata into an access token, which is then verified and forwarded in its place. Default: the value is "Bearer"
	// and the token.
	Credential func(ctx context.Context, authorization string) (token string, err error)
	// DPoP, at an edge, takes tokens that are bound to a key which the caller proves with each call. Default: only tokens
	// bound to the certificate of the caller's connection are taken, beside bearer tokens.
	DPoP *DPoP
	// PassThrough takes the calls of services that are not registered here. Default: they are unimplemented.
	PassThrough *PassThrough

	// Logger gets one line a call. Required: use slog.New(slog.DiscardHandler) for none.
	Logger *slog.Logger
	// Decided is told of every decision of the guard. It must not block. It is for metrics and traces: nothing in it can let
	// a caller in.
	Decided func(ctx context.Context, d Decision)
	// Denied is told of every call that was refused to somebody who is known. It must not block, and has to bear as many as
	// callers like to make. It is for the record of who tried what.
	Denied func(d Denial)
	// TrustTraceparent goes on with the traces of callers who prove themselves by no certificate: strangers, who then choose
	// what is recorded. Default: a new trace begins with each call of theirs.
	TrustTraceparent bool
	// UnaryInterceptors and StreamInterceptors run outside everything else and see the final status. They must not
	// panic. They are for metrics and traces: nothing in them can let a caller in.
	UnaryInterceptors  []grpc.UnaryServerInterceptor
	StreamInterceptors []grpc.StreamServerInterceptor
	StatsHandlers      []stats.Handler

	// Reflection serves grpc.reflection to anyone who can connect. Default: it is unimplemented.
	Reflection bool
	// CallLimit is the longest that a call which is not a stream may take. Default: 30 seconds.
	CallLimit time.Duration
	// DrainTime is how long calls may go on after shutdown began. Default: 10 seconds.
	DrainTime time.Duration
	// MaxMessage is the largest request in bytes, unpacked. Default: 1 MiB.
	MaxMessage int
	// MaxStreams is the number of calls at a time on one connection. Default: 1000.
	MaxStreams uint32
	// Limits bound what all callers together may cost.
	Limits Limits
	// Shed is told of everything that is refused for lack of room: one of [ShedCall] and its kin. It must not block. It is
	// for metrics.
	Shed func(what string)
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// PassThrough is what an edge does with the calls of services it does not implement: the guard admits those to methods
// declared edge, with all that it asks of the caller, and Handler hands them on over a connection with [Forward].
type PassThrough struct {
	Services []protoreflect.ServiceDescriptor
	// Handler is for grpc.MethodFromServerStream and messages of any type; emptypb.Empty carries any message unchanged.
	Handler grpc.StreamHandler
}

// Server is a gRPC server in which no method runs without its declared rule: it does not start otherwise.
type Server struct {
	cfg      ServerConfig
	grpc     *grpc.Server
	serving  *serving
	policies *Policies
	lifetime *lifetime
	load     *load
	requests *requests
	messages []protoreflect.MessageDescriptor
	problems []error

	drain context.CancelFunc
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// NewServer makes a server. Register services with it, then call [Server.Serve].
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, serving: newServing(cfg.Verifier), policies: &Policies{rules: map[string]*Rule{}}, requests: &requests{}}
	guard, err := newGuard(guardConfig{
		Policies: s.policies, Verifier: cfg.Verifier, Revocations: cfg.Revocations,
		Credential: cfg.Credential, DPoP: cfg.DPoP, Decided: cfg.Decided, Denied: cfg.Denied, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	draining, drain := context.WithCancel(context.Background())
	s.drain = drain
	s.lifetime = &lifetime{guard: guard, requests: s.requests, draining: draining, callLimit: cfg.CallLimit}
	s.load = newLoad(cfg, s.policies.rules)
	s.grpc = grpc.NewServer(s.options(guard)...)
	healthv1.RegisterHealthServer(s.grpc, healthService{s.serving.health})
	s.policies.exempt(healthv1.File_grpc_health_v1_health_proto.Services().Get(0))
	if cfg.Reflection {
		s.reflect()
	}
	if cfg.PassThrough != nil {
		if err := s.passThrough(cfg.PassThrough); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// RegisterService adds a service. What is wrong with its rules is said by [Server.Serve].
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if err := s.adopt(desc); err != nil {
		s.problems = append(s.problems, err)
		return
	}
	s.serving.add(desc.ServiceName)
	s.grpc.RegisterService(desc, impl)
}

// SetServing tells health checks whether this server wants to be called. It does from the start of Serve until it
// drains, unless this says otherwise. It is not SERVING, whatever was said, while its verifier has no keys (a method
// Ready() bool, as that of package jwt has).
func (s *Server) SetServing(serving bool) { s.serving.want(serving) }

// Policies returns the rules of what is registered.
func (s *Server) Policies() *Policies { return s.policies }

// Serve serves until ctx ends, then ends streams, lets calls finish for DrainTime and returns nil. It owns lis and
// closes it. It refuses to start when a registered method has no rule or one that admits nobody. Call it once.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	if err := s.ready(); err != nil {
		_ = lis.Close()
		return err
	}
	s.serving.look() // before the first caller can be told that nobody serves here
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(lis) }()
	ctx, cancel := context.WithCancel(ctx)
	var announcing sync.WaitGroup
	announcing.Go(func() { s.serving.follow(ctx) })
	defer announcing.Wait()
	defer cancel()
	select {
	case err := <-served:
		s.stop()
		return fmt.Errorf("mesh: serve %s: %w", s.cfg.Name, err)
	case <-ctx.Done():
	}
	s.stop()
	<-served
	return nil
}

// ready checks and finishes what registration has collected.
func (s *Server) ready() error {
	if err := errors.Join(s.problems...); err != nil {
		return fmt.Errorf("mesh: %s does not start: %w", s.cfg.Name, err)
	}
	made, err := newRequests(s.messages)
	if err != nil {
		return fmt.Errorf("mesh: %s does not start: %w", s.cfg.Name, err)
	}
	*s.requests = *made
	return nil
}

func (s *Server) stop() {
	s.serving.health.Shutdown()
	s.drain()
	hard := time.AfterFunc(s.cfg.DrainTime, s.grpc.Stop)
	defer hard.Stop()
	s.grpc.GracefulStop()
	s.lifetime.handlers.Wait()
}

// adopt reads the rules of a service and demands that its methods are exactly those of its descriptor.
func (s *Server) adopt(desc *grpc.ServiceDesc) error {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(desc.ServiceName))
	if err != nil {
		return fmt.Errorf("service %s: find its descriptor: %w", desc.ServiceName, err)
	}
	service, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return fmt.Errorf("service %s: its descriptor is of something else", desc.ServiceName)
	}
	policies, err := NewPolicies(service)
	if err != nil {
		return err
	}
	for _, method := range methodsOf(desc) {
		if _, ok := policies.Rule("/" + desc.ServiceName + "/" + method); !ok {
			return fmt.Errorf("rule of /%s/%s: it is not in the descriptor", desc.ServiceName, method)
		}
	}
	s.policies.merge(policies)
	for i := range service.Methods().Len() {
		s.messages = append(s.messages, service.Methods().Get(i).Input())
	}
	return nil
}

func methodsOf(desc *grpc.ServiceDesc) []string {
	var names []string
	for _, m := range desc.Methods {
		names = append(names, m.MethodName)
	}
	for _, m := range desc.Streams {
		names = append(names, m.StreamName)
	}
	return names
}

func (s *Server) reflect() {
	reflection.Register(s.grpc)
	for name := range s.grpc.GetServiceInfo() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if service, ok := d.(protoreflect.ServiceDescriptor); err == nil && ok {
			s.policies.exempt(service)
		}
	}
}

// passThrough adds the rules of services that run elsewhere, those for the outside only.
func (s *Server) passThrough(p *PassThrough) error {
	policies, err := NewPolicies(p.Services...)
	if err != nil {
		return fmt.Errorf("mesh: %s: pass-through: %w", s.cfg.Name, err)
	}
	s.policies.merge(policies.Edge())
	return nil
}

// options are the limits and the interceptors. The order of the latter is the order in which a call meets them.
func (s *Server) options(guard *guard) []grpc.ServerOption {
	b := &boundary{log: s.cfg.Logger.With("part", s.cfg.Name), now: s.cfg.Now, callLimit: s.cfg.CallLimit, strangers: !s.cfg.TrustsTraces()}
	recovering := recovery.WithRecoveryHandlerContext(recovered)
	streams := slices.Clone(s.cfg.StreamInterceptors)
	if s.cfg.PassThrough != nil {
		streams = append([]grpc.StreamServerInterceptor{guard.known}, streams...)
	}
	options := []grpc.ServerOption{
		grpc.Creds(s.transport()),
		grpc.ChainUnaryInterceptor(append(slices.Clone(s.cfg.UnaryInterceptors),
			b.unary,
			recovery.UnaryServerInterceptor(recovering),
			s.load.unary,
			guard.unary,
			s.requests.unary,
		)...),
		grpc.ChainStreamInterceptor(append(streams,
			b.stream,
			recovery.StreamServerInterceptor(recovering),
			s.load.stream,
			s.lifetime.stream,
			// Again, because lifetime runs the rest in a goroutine of its own.
			recovery.StreamServerInterceptor(recovering),
		)...),
		grpc.ForceServerCodecV2(newLenient()),
		grpc.MaxRecvMsgSize(s.cfg.MaxMessage),
		grpc.MaxConcurrentStreams(s.cfg.MaxStreams),
		grpc.MaxHeaderListSize(2 * maxToken),
		grpc.ConnectionTimeout(s.cfg.Limits.HandshakeTime),
		grpc.WaitForHandlers(true),
		// Calls run on goroutines whose stacks have grown already. Where all are busy, with streams for one, a call gets its own.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Minute, Time: time.Minute, Timeout: 10 * time.Second,
			// Clients then look their peers up again, and find replicas that are new. Streams go on as long as they like.
			MaxConnectionAge: 30 * time.Minute,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
	}
	for _, h := range s.cfg.StatsHandlers {
		options = append(options, grpc.StatsHandler(h))
	}
	if s.cfg.PassThrough != nil {
		options = append(options, grpc.UnknownServiceHandler(s.cfg.PassThrough.Handler))
	}
	return options
}

func (s *Server) transport() credentials.TransportCredentials {
	security := insecure.NewCredentials()
	if s.cfg.TLS != nil {
		security = newTLS(s.cfg.TLS)
	}
	return referring{&connections{TransportCredentials: security, limits: s.cfg.Limits, shed: s.cfg.Shed, now: s.cfg.Now}, s.cfg.WorkloadIDs}
}

// streamWorkers is how many goroutines wait for calls: a megabyte of stacks, once they have grown.
const streamWorkers = 128

// minPing is how often a client may ask whether the server lives.
const minPing = 10 * time.Second

func (c *ServerConfig) complete() error {
	switch {
	case c.Name == "":
		return errors.New("mesh: server: Name is missing")
	case c.TLS == nil && !c.Insecure:
		return fmt.Errorf("mesh: server %s: TLS is missing", c.Name)
	case c.TLS != nil && c.Insecure:
		return fmt.Errorf("mesh: server %s: TLS and Insecure exclude each other", c.Name)
	case c.Logger == nil:
		return fmt.Errorf("mesh: server %s: Logger is missing", c.Name)
	case c.PassThrough != nil && c.PassThrough.Handler == nil:
		return fmt.Errorf("mesh: server %s: PassThrough.Handler is missing", c.Name)
	}
	if c.DPoP != nil {
		if err := c.DPoP.complete(); err != nil {
			return err
		}
	}
	if c.TLS != nil && c.TLS.MinVersion == 0 {
		c.TLS = c.TLS.Clone()
		c.TLS.MinVersion = tls.VersionTLS13
	}
	setDefault(&c.CallLimit, 30*time.Second)
	setDefault(&c.DrainTime, 10*time.Second)
	setDefault(&c.MaxMessage, 1<<20)
	setDefault(&c.MaxStreams, DefaultMaxStreams)
	c.Limits.complete()
	if c.Shed == nil {
		c.Shed = func(string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// TrustsTraces reports whether the traces of callers go on: where each of them proves itself by a certificate, or where
// TrustTraceparent says so.
func (c *ServerConfig) TrustsTraces() bool {
	proven := c.TLS != nil && (c.TLS.ClientAuth == tls.RequireAndVerifyClientCert || c.TLS.ClientAuth == tls.RequireAnyClientCert)
	return c.TrustTraceparent || proven
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
