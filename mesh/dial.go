package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/stats"

	"github.com/realguardio/realguardio/mesh/internal/balancing"
)

// DialConfig says where a connection goes and whose token its calls carry.
type DialConfig struct {
	// Target is a gRPC name, such as "customer:9101" or "dns:///customer:9101", all addresses of which are replicas; or a
	// list of addresses, "10.0.0.1:9101,10.0.0.2:9101". For "xds:///customer" see package xds. Required.
	Target string
	// TLS proves the server and this part. Required, unless TLSSource or Insecure.
	TLS *tls.Config
	// TLSSource takes the place of TLS, and is asked again at every handshake: [TLSFiles], or package spiffe.
	TLSSource TLSSource
	// Certificate is shown in place of the one that TLS or TLSSource would show. It is for a connection that has to show the
	// same as another one, such as that over which a token is bound. Default: theirs.
	Certificate *tls.Certificate
	// Insecure dials plaintext and sends tokens over it, for anyone on the way to read and use. It is for a test, or for
	// a peer on the same host behind nothing but a loopback address.
	Insecure bool
	// WorkloadIDs are those of the workloads that [Forward] connects to, and that are told which workloads a call came through
	// ([Via]). Default: of the form [WorkloadID].
	WorkloadIDs WorkloadIDs
	// Propagation decides whose token is sent. Required.
	Propagation Propagation
	// Timeout is the deadline of a call whose context has none. Streams get none. Default: 10 seconds.
	Timeout time.Duration
	// Timeouts are those of methods that need another, by their names "/package.Service/Method".
	Timeouts map[string]time.Duration
	// IgnoreHealth asks replicas that say they do not serve. It is for servers of others whose health service
	// (grpc.health.v1) knows nothing of the server as a whole; one without a health service needs it not.
	IgnoreHealth bool
	// MaxMessage is the largest answer in bytes. Default: 4 MiB.
	MaxMessage int
	// Logger is told when a peer refuses this part's own token, and when a replica is passed over because it fails.
	// Default: nobody.
	Logger *slog.Logger
	// Ejected is told of every replica that is passed over because it fails, and for how long. It must not block. It is for
	// metrics. The control plane of an xds target decides for itself what is passed over, and nobody is told.
	Ejected func(address string, pause time.Duration)
	// UnaryInterceptors and StreamInterceptors run outside of ours and see neither token nor request id. They are for
	// metrics and traces.
	UnaryInterceptors  []grpc.UnaryClientInterceptor
	StreamInterceptors []grpc.StreamClientInterceptor
	StatsHandlers      []stats.Handler
}

// Dial makes a connection; it connects when first used. Calls carry the token that Propagation decides on and the
// request id, and no other metadata of the call that is being answered. They fail at once while the server cannot be
// reached, are spread over all addresses of the name, and are tried again only where the proto declares NO_SIDE_EFFECTS.
func Dial(cfg DialConfig) (*grpc.ClientConn, error) {
	switch {
	case cfg.Target == "":
		return nil, errors.New("mesh: dial: Target is missing")
	case cfg.Propagation == nil:
		return nil, fmt.Errorf("mesh: dial %s: Propagation is missing", cfg.Target)
	case cfg.TLS == nil && cfg.TLSSource == nil && !cfg.Insecure:
		return nil, fmt.Errorf("mesh: dial %s: TLS is missing; a token is not sent over plaintext", cfg.Target)
	case cfg.TLS != nil && cfg.TLSSource != nil, (cfg.TLS != nil || cfg.TLSSource != nil) && cfg.Insecure:
		return nil, fmt.Errorf("mesh: dial %s: TLS, TLSSource and Insecure exclude each other", cfg.Target)
	case cfg.Insecure && carriesCallers(cfg.Propagation):
		return nil, fmt.Errorf("mesh: dial %s: the tokens of callers are not sent over plaintext", cfg.Target)
	}
	if strings.HasPrefix(cfg.Target, "xds:") && resolver.Get("xds") == nil {
		return nil, fmt.Errorf("mesh: dial %s: it takes package mesh/xds", cfg.Target)
	}
	setDefault(&cfg.Timeout, 10*time.Second)
	setDefault(&cfg.MaxMessage, 4<<20)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	target := cfg.Target
	list, err := balancing.ParseList(target)
	if err != nil {
		return nil, fmt.Errorf("mesh: dial %s: %w", target, err)
	}
	if list != nil {
		target = list.Target()
		options = append(options, grpc.WithResolvers(list))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("mesh: dial %s: %w", cfg.Target, err)
	}
	return conn, nil
}

func (cfg *DialConfig) options() ([]grpc.DialOption, error) {
	service, err := serviceConfig(cfg.IgnoreHealth)
	if err != nil {
		return nil, err
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, fmt.Errorf("mesh: dial %s: %w", cfg.Target, err)
	}
	o := &outgoing{propagation: cfg.Propagation, timeout: cfg.Timeout, timeouts: cfg.Timeouts, target: cfg.Target, insecure: cfg.Insecure, log: cfg.Logger}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(balancing.Telling(transport, cfg.ejected())),
		grpc.WithDefaultServiceConfig(service),
		grpc.WithChainUnaryInterceptor(slices.Concat(cfg.UnaryInterceptors, []grpc.UnaryClientInterceptor{o.unary})...),
		grpc.WithChainStreamInterceptor(slices.Concat(cfg.StreamInterceptors, []grpc.StreamClientInterceptor{o.stream})...),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(false), grpc.MaxCallRecvMsgSize(cfg.MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 3 * minPing, Timeout: minPing}),
		// grpc's own bounds let a part that was restarted wait for two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if !strings.HasPrefix(cfg.Target, "xds:") {
		// A TXT record must not be able to change how we retry.
		options = append(options, grpc.WithDisableServiceConfig())
	}
	if !cfg.Insecure {
		options = append(options, grpc.WithPerRPCCredentials(tokenCredentials{}))
	}
	for _, h := range cfg.StatsHandlers {
		options = append(options, grpc.WithStatsHandler(h))
	}
	return options, nil
}

// ejected is told of the replicas that are passed over: it tells the log, and who else wants to know.
func (cfg *DialConfig) ejected() balancing.Ejected {
	log, target, told := cfg.Logger, cfg.Target, cfg.Ejected
	return func(address string, pause time.Duration) {
		log.LogAttrs(context.Background(), slog.LevelWarn, "a replica fails and is passed over",
			slog.String("target", target), slog.String("address", address), slog.Duration("pause", pause))
		if told != nil {
			told(address, pause)
		}
	}
}

func (cfg *DialConfig) transport() (credentials.TransportCredentials, error) {
	switch {
	case cfg.Insecure:
		return insecure.NewCredentials(), nil
	case cfg.TLSSource != nil:
		return cfg.secured(cfg.TLSSource)
	default:
		return cfg.secured(unchanging{cfg.TLS})
	}
}

func (cfg *DialConfig) secured(source TLSSource) (credentials.TransportCredentials, error) {
	sourced, err := newSourced(source, cfg.Certificate)
	if err != nil {
		return nil, err
	}
	_, within := cfg.Propagation.(forward)
	return secured{sourced, cfg.WorkloadIDs, within}, nil
}

// secured is the transport security of a connection, which knows which workload its server is.
type secured struct {
	*sourced
	ids WorkloadIDs
	// within keeps a connection that sends callers' tokens as they are inside the trust domain: whoever gets one could use it.
	within bool
}

func (s secured) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := s.handshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	known := false
	if info.workload, known = s.ids.server(info.TLSInfo); s.within && !known {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("mesh: the server is no workload of %s, so that no token is forwarded to it", s.ids.Domain())
	}
	balancing.Made(ctx, info)
	return conn, info, nil
}

// Clone returns s: a connection of ours overrides no name in its copy.
func (s secured) Clone() credentials.TransportCredentials { return s }
