package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway/ratelimit"
	"github.com/realguardio/realguardio/gateway/rest"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/tracing"
)

// Backend is a part that requests go on to.
type Backend struct {
	// Conn carries REST requests; it must have been dialled with mesh.PerCall, or, so that tokens bound to a key can go on,
	// mesh.PerCallBound.
	Conn grpc.ClientConnInterface
	// Forward carries native gRPC calls; it must have been dialled with mesh.Forward, or mesh.ForwardBound.
	Forward grpc.ClientConnInterface
	// Services are reached over these connections. Of them only methods declared edge are open to the outside.
	Services []protoreflect.ServiceDescriptor
	// REST registers the routes of services that have any: rest.Service of the two functions generated for each.
	REST []rest.Register
}

// Config says what a [Gateway] serves and whom it trusts.
type Config struct {
	// PublicURL is where browsers reach the gateway, such as "https://example.com". Plain http is accepted only for a
	// loopback address, because cookies are not sent in clear to anyone else. Required.
	PublicURL string
	// Origins are others under which API clients reach it, such as that of a port that asks for client certificates: what a
	// proof of DPoP is for must be under PublicURL or one of them. Default: none.
	Origins []string
	// GRPCOrigins are those under which native gRPC clients reach it, such as "https://example.com:8090". Default: native
	// gRPC takes no tokens that are bound by DPoP.
	GRPCOrigins []string
	// Issuer, ClientID and ClientSecret make the gateway a confidential client of an OpenID provider. Required.
	Issuer, ClientID, ClientSecret string
	// Scopes are asked for at a login. Default: [DefaultScopes].
	Scopes []string
	// IntrospectionClientID and IntrospectionClientSecret make it a resource server of that provider, which is asked what
	// opaque access tokens mean. Default: opaque tokens are refused.
	IntrospectionClientID, IntrospectionClientSecret string
	// ProviderClient reaches the provider. Default: one with a timeout of 10 seconds.
	ProviderClient *http.Client
	// SignIn is another provider, at which people sign in. API keys and opaque tokens stay with Issuer. Default: they sign
	// in at Issuer.
	SignIn *SignIn

	// Redis holds the sessions. It must honour the context's deadline (ContextTimeoutEnabled). Required.
	Redis redis.UniversalClient
	// SessionKeys are AES-256 keys for what lies in Redis: the first encrypts, all decrypt. At least one is required.
	SessionKeys [][]byte
	// SessionIdle and SessionLife are a session's limits. Defaults: 2 hours without use, 12 hours in all.
	SessionIdle, SessionLife time.Duration

	Backends []Backend
	// Verifier and Revocations decide which tokens are good. Required; see mesh.NoRevocations.
	Verifier    mesh.Verifier
	Revocations mesh.Revocations

	// UI is the built web application; package ui has it. Required.
	UI fs.FS
	// OpenAPI is the API's description, as generated. Default: none is served.
	OpenAPI []byte
	// Extra are routes beside the gateway's own, by ServeMux pattern. They are open to anyone.
	Extra map[string]http.Handler

	// TrustedProxies may say in X-Forwarded-For whom they speak for. Default: nobody.
	TrustedProxies []netip.Prefix
	// ClientCertProxies may say in Client-Cert (RFC 9440) which certificate their client has shown, so that tokens can be
	// bound to it. They must drop what their clients send under that name. Default: nobody.
	ClientCertProxies []netip.Prefix
	// CORSOrigins are the origins whose pages may call the API with a bearer token, never with a cookie. Default: none.
	CORSOrigins []string
	// Limits is how often one caller may come.
	Limits Limits
	// LiveHeartbeat is how often something is sent to who waits for live updates, and their session looked at. It must be
	// shorter than the life left at which a session's token is renewed. Default: 10 seconds.
	LiveHeartbeat time.Duration

	// Part is what the native gRPC server is called in logs. Default: "gateway".
	Part string
	// GRPCTLS is the certificate of the native gRPC port. Required for [Gateway.GRPCServer], unless GRPCInsecure.
	GRPCTLS *tls.Config
	// GRPCInsecure serves native gRPC in plaintext: only behind a TLS-terminating proxy on the same host.
	GRPCInsecure bool
	// Instrument adds metrics and traces to the native gRPC server. Default: nothing is added.
	Instrument func(*mesh.ServerConfig)
	// Tracer makes spans of HTTP requests. Default: none.
	Tracer *tracing.Tracer

	// Registerer gets the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// SignIn is an OpenID provider of others. Verifier must accept the access tokens that it issues.
type SignIn struct {
	// Issuer, ClientID and ClientSecret make the gateway its confidential client. Required.
	Issuer, ClientID, ClientSecret string
	// Claims reads its ID tokens; the same by which Verifier reads its access tokens. Required.
	Claims *claims.Mapping
	// Scopes are asked for at a login. Default: openid, profile, email and offline_access.
	Scopes []string
	// Resource is what access tokens are asked for (RFC 8707). Default: it is not named.
	Resource string
	// Parameters are further ones of the authorization request.
	Parameters map[string]string
	// ProviderClient reaches it. Default: one with a timeout of 10 seconds.
	ProviderClient *http.Client
}

// Limits are rates per caller. A zero limit takes the default; see [Unlimited].
type Limits struct {
	// Address is for every request of one client address. Default: 500 a second, 2000 at once.
	Address ratelimit.Limit
	// Caller is for API requests of one session or API client. Default: 200 a second, 1000 at once.
	Caller ratelimit.Limit
	// SignIn is for starting and finishing logins from one address. Default: 5 a second, 100 at once.
	SignIn ratelimit.Limit
}

// Unlimited is a limit that nobody reaches, for benchmarks.
var Unlimited = ratelimit.Limit{PerSecond: 1e9, Burst: 1e9}

// DefaultScopes are those of the web application.
var DefaultScopes = []string{
	"openid", "profile", "email", "offline_access",
	"customer.read", "customer.write", "securitysystem.read", "securitysystem.arm", "securitysystem.disarm", "securitysystem.write",
	"notification.read", "notification.write", "account.read", "account.write", "audit.read", "admin",
}

// complete checks cfg, fills in the defaults and returns the public URL.
func (cfg *Config) complete() (*url.URL, error) {
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"PublicURL", cfg.PublicURL == ""}, {"Issuer", cfg.Issuer == ""}, {"ClientID", cfg.ClientID == ""},
		{"ClientSecret", cfg.ClientSecret == ""}, {"Redis", cfg.Redis == nil}, {"SessionKeys", len(cfg.SessionKeys) == 0},
		{"Verifier", cfg.Verifier == nil}, {"Revocations", cfg.Revocations == nil}, {"UI", cfg.UI == nil},
		{"Logger", cfg.Logger == nil},
	} {
		if required.missing {
			return nil, fmt.Errorf("gateway: %s is missing", required.name)
		}
	}
	for i, b := range cfg.Backends {
		if b.Conn == nil || b.Forward == nil {
			return nil, fmt.Errorf("gateway: backend %d needs Conn and Forward", i)
		}
	}
	if cfg.SignIn != nil && cfg.SignIn.Claims == nil {
		return nil, errors.New("gateway: SignIn.Claims is missing")
	}
	public, err := publicURL(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	if cfg.Scopes == nil {
		cfg.Scopes = DefaultScopes
	}
	if cfg.Part == "" {
		cfg.Part = "gateway"
	}
	if cfg.Instrument == nil {
		cfg.Instrument = func(*mesh.ServerConfig) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	for _, l := range []struct {
		limit *ratelimit.Limit
		def   ratelimit.Limit
	}{
		{&cfg.Limits.Address, ratelimit.Limit{PerSecond: 500, Burst: 2000}},
		{&cfg.Limits.Caller, ratelimit.Limit{PerSecond: 200, Burst: 1000}},
		{&cfg.Limits.SignIn, ratelimit.Limit{PerSecond: 5, Burst: 100}},
	} {
		if *l.limit == (ratelimit.Limit{}) {
			*l.limit = l.def
		}
	}
	return public, nil
}

func publicURL(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("gateway: PublicURL %q must be a scheme and a host", raw)
	}
	switch {
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, errors.New("gateway: PublicURL must be https, except on a loopback address")
	default:
		return nil, fmt.Errorf("gateway: PublicURL %q must be http or https", raw)
	}
}

// loopback reports whether a host is this machine, whatever machine that is (RFC 6761, section 6.3).
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
