package assembly

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/ops"
	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/byfield"
	"github.com/realguardio/realguardio/gateway/rest"
	"github.com/realguardio/realguardio/gateway/ui"
	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	notificationv1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/gen/openapi"
)

// GatewayConfig is what the gateway is told besides.
type GatewayConfig struct {
	Environment
	// PublicURL is where browsers reach it.
	PublicURL string
	// WebClientSecret is that of the client [WebClient], by which people sign in.
	WebClientSecret string
	// SignIn is where people sign in instead; nil for the issuer.
	SignIn *gateway.SignIn
	// SessionKeys encrypt sessions in Redis: the first is used, the others are still understood.
	SessionKeys [][]byte
	// PublicTLS is the certificate of the HTTP port, GRPCTLS of the gRPC port. Nil: plaintext, for a proxy on the same
	// machine that terminates TLS.
	PublicTLS, GRPCTLS *tls.Config
	TrustedProxies     []netip.Prefix
	CORSOrigins        []string
	// Bound says where clients prove to hold the keys of their tokens.
	Bound BoundTokens
	// Limits bound what callers from outside may do. Default: [gateway.DefaultLimits].
	Limits gateway.Limits
	// Extra are further routes, open to anyone.
	Extra map[string]http.Handler
}

// BoundTokens says where API clients prove to the gateway that they hold the keys of their tokens.
type BoundTokens struct {
	// GRPCOrigins are where native gRPC clients reach it, and Origins, besides the public URL, others.
	GRPCOrigins, Origins []string
	// Proxies say in Client-Cert which certificate their client has shown.
	Proxies []netip.Prefix
}

// WebClient is the client id of the gateway as what people sign in to.
const WebClient = "realguardio-web"

// WebScopes is what it asks for at every login.
var WebScopes = gateway.DefaultScopes

// NewGateway builds the gateway.
func NewGateway(ctx context.Context, cfg GatewayConfig, l Listeners) (_ *Part, err error) {
	p, err := newPart(ctx, Gateway, cfg.Environment)
	if err != nil {
		return nil, err
	}
	defer p.closeUnless(&err)
	in, err := p.join(ctx, cfg.Environment, nil)
	if err != nil {
		return nil, err
	}
	edge, err := p.newEdge(cfg, in)
	if err != nil {
		return nil, err
	}
	native, err := edge.GRPCServer()
	if err != nil {
		return nil, err
	}
	if err := in.metrics.Load(native); err != nil {
		return nil, err
	}
	p.Ops.Add(ops.Once(ops.Check{Name: "identity provider", Run: edge.ProviderReady}))
	p.work("sign-in", edge.Run)
	p.serveGRPC(native, l.GRPC)
	p.serveHTTP(edge.Handler(), l.HTTP, cfg.PublicTLS)
	if l.MTLS != nil {
		if cfg.PublicTLS == nil {
			return nil, errNoCertificate
		}
		p.serveHTTP(edge.Handler(), l.MTLS, askingForCertificates(cfg.PublicTLS))
	}
	p.serveOps(l.Ops)
	return p, nil
}

func (p *Part) newEdge(cfg GatewayConfig, in *membership) (*gateway.Gateway, error) {
	sessions, err := p.openRedis(cfg.RedisURL, true)
	if err != nil {
		return nil, err
	}
	backends, err := in.backends(cfg.Peers)
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{
		PublicURL: cfg.PublicURL,
		Origins:   gateway.Origins{API: cfg.Bound.Origins, GRPC: cfg.Bound.GRPCOrigins, CORS: cfg.CORSOrigins},
		Proxies:   gateway.Proxies{Trusted: cfg.TrustedProxies, Vouching: cfg.Bound.Proxies},
		Provider: gateway.Provider{
			Issuer: cfg.Issuer, ClientID: WebClient, ClientSecret: cfg.WebClientSecret,
			IntrospectionClientID: Gateway, IntrospectionClientSecret: cfg.Secret, HTTPClient: in.issuer,
		},
		SignIn: cfg.SignIn, Sessions: gateway.Sessions{Redis: sessions, Keys: cfg.SessionKeys},
		Backends: backends, Verifier: in.verifier, Revocations: in.revocations,
		Site:   gateway.Site{UI: ui.FS(), OpenAPI: openapi.JSON, Extra: cfg.Extra},
		GRPC:   gateway.GRPC{TLS: cfg.GRPCTLS, Insecure: cfg.GRPCTLS == nil, Limits: cfg.Environment.Limits, MaxStreams: cfg.MaxStreams, Instrument: in.instrument},
		Limits: cfg.Limits,
		Part:   Gateway, Tracer: p.tracer, Registerer: p.Ops.Registry, Logger: p.meshLog, Now: cfg.Now,
	})
}

// backends is where requests go on to, and by which generated code. This is the one place to add a service to.
func (in *membership) backends(peers Peers) ([]gateway.Backend, error) {
	var backends []gateway.Backend
	sessionsTo, nativeTo := map[string]grpc.ClientConnInterface{}, map[string]grpc.ClientConnInterface{}
	for _, b := range []struct {
		part, address string
		files         []protoreflect.FileDescriptor
		rest          []rest.Register
	}{
		{Token, peers.Token, files(tokenv1.File_realguardio_token_v1_admin_proto), []rest.Register{
			rest.Service(tokenv1.RegisterAdminServiceHandlerClient, tokenv1.NewAdminServiceClient),
			rest.Service(tokenv1.RegisterAccountServiceHandlerClient, tokenv1.NewAccountServiceClient),
		}},
		{Customer, peers.Customer, files(customerv1.File_realguardio_customer_v1_customer_proto), []rest.Register{
			rest.Service(customerv1.RegisterCustomerServiceHandlerClient, customerv1.NewCustomerServiceClient),
		}},
		{SecuritySystem, peers.SecuritySystem, files(securitysystemv1.File_realguardio_securitysystem_v1_securitysystem_proto), []rest.Register{
			rest.Service(securitysystemv1.RegisterSecuritySystemServiceHandlerClient, securitysystemv1.NewSecuritySystemServiceClient),
			rest.Service(securitysystemv1.RegisterPanelServiceHandlerClient, securitysystemv1.NewPanelServiceClient),
		}},
		{Notification, peers.Notification, files(notificationv1.File_realguardio_notification_v1_notification_proto), []rest.Register{
			rest.Service(notificationv1.RegisterNotificationServiceHandlerClient, notificationv1.NewNotificationServiceClient),
		}},
	} {
		sessions, err := in.dial(b.part, b.address, in.perCall(b.part))
		if err != nil {
			return nil, err
		}
		native, err := in.dial(b.part, b.address, in.onward(b.part))
		if err != nil {
			return nil, err
		}
		sessionsTo[b.part], nativeTo[b.part] = sessions, native
		backends = append(backends, gateway.Backend{Conn: sessions, Forward: native, Services: services(b.files), REST: b.rest})
	}
	logs, err := auditLogs(sessionsTo, nativeTo)
	if err != nil {
		return nil, err
	}
	return append(backends, logs), nil
}

// auditLogs is the service that every part has: a request names the part whose log is wanted.
func auditLogs(sessions, native map[string]grpc.ClientConnInterface) (gateway.Backend, error) {
	all := services(files(auditv1.File_realguardio_audit_v1_audit_proto))
	conn, err := byfield.New(all[0], "part", sessions)
	if err != nil {
		return gateway.Backend{}, err
	}
	forward, err := byfield.New(all[0], "part", native)
	if err != nil {
		return gateway.Backend{}, err
	}
	return gateway.Backend{Conn: conn, Forward: forward, Services: all, REST: []rest.Register{
		rest.Service(auditv1.RegisterAuditServiceHandlerClient, auditv1.NewAuditServiceClient),
	}}, nil
}

func files(all ...protoreflect.FileDescriptor) []protoreflect.FileDescriptor { return all }

func services(files []protoreflect.FileDescriptor) []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for _, file := range files {
		for i := range file.Services().Len() {
			all = append(all, file.Services().Get(i))
		}
	}
	return all
}
