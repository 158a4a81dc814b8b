package gateway

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
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
	// Origins are others that it has to do with. Default: none.
	Origins Origins
	// Proxies are those before it. Default: none.
	Proxies Proxies

	// Provider knows people, API keys and opaque tokens. Required.
	Provider Provider
	// SignIn is another provider, at which people sign in. API keys and opaque tokens stay with Provider. Default: they sign
	// in at Provider.
	SignIn *SignIn
	// Sessions are those of browsers. Required.
	Sessions Sessions

	Backends []Backend
	// Verifier and Revocations decide which tokens are good. Required; see mesh.NoRevocations.
	Verifier    mesh.Verifier
	Revocations mesh.Revocations

	// Site is what it serves by itself. Required.
	Site Site
	// Limits bound what callers may do.
	Limits Limits
	// LiveHeartbeat is how often something is sent to who waits for live updates, and their session looked at. It must be
	// shorter than the life left at which a session's token is renewed. Default: 10 seconds.
	LiveHeartbeat time.Duration
	// GRPC is the native gRPC port. Required for [Gateway.GRPCServer].
	GRPC GRPC

	// Part is what the gateway is called in logs. Default: "gateway".
	Part string
	// Tracer makes spans of HTTP requests. Default: none.
	Tracer *tracing.Tracer
	// Registerer gets the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// Logger is required.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Origins are schemes with hosts, such as "https://example.com:8090".
type Origins struct {
	// API are further ones under which API clients reach the gateway, such as that of a port that asks for client
	// certificates: what a proof of DPoP is for must be under PublicURL or one of them. Default: none.
	API []string
	// GRPC are those under which native gRPC clients reach it. Default: native gRPC takes no tokens that are bound by DPoP.
	GRPC []string
	// CORS are those whose pages may call the API with a bearer token, never with a cookie. Default: none.
	CORS []string
}

// Proxies are networks whose word about their clients is taken.
type Proxies struct {
	// Trusted may say in X-Forwarded-For whom they speak for. Default: nobody.
	Trusted []netip.Prefix
	// Vouching may say in Client-Cert (RFC 9440) which certificate their client has shown, so that tokens can be bound to
	// it. They must drop what their clients send under that name. Default: nobody.
	Vouching []netip.Prefix
}

// Provider is the OpenID provider that the gateway belongs to.
type Provider struct {
	// Issuer, ClientID and ClientSecret make the gateway its confidential client. Required.
	Issuer, ClientID, ClientSecret string
	// Scopes are asked for at a login. Default: [DefaultScopes].
	Scopes []string
	// IntrospectionClientID and IntrospectionClientSecret make the gateway a resource server, which asks what opaque access
	// tokens mean. Default: opaque tokens are refused.
	IntrospectionClientID, IntrospectionClientSecret string
	// HTTPClient reaches it. Default: one with a timeout of 10 seconds.
	HTTPClient *http.Client
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
	// HTTPClient reaches it. Default: one with a timeout of 10 seconds.
	HTTPClient *http.Client
}

// Sessions says where the sessions of browsers are kept, and for how long.
type Sessions struct {
	// Redis holds them. It must honour the context's deadline (ContextTimeoutEnabled). Required.
	Redis redis.UniversalClient
	// Keys are AES-256 keys for what lies in Redis: the first encrypts, all decrypt. At least one is required.
	Keys [][]byte
	// Idle and Life are a session's limits. Defaults: 2 hours without use, 12 hours in all.
	Idle, Life time.Duration
}

// Site is what the gateway serves by itself.
type Site struct {
	// UI is the built web application; package ui has it. Required.
	UI fs.FS
	// OpenAPI is the API's description, as generated. Default: none is served.
	OpenAPI []byte
	// Extra are routes beside the gateway's own, by ServeMux pattern. They are open to anyone.
	Extra map[string]http.Handler
}

// GRPC is the port for native gRPC clients.
type GRPC struct {
	// TLS is its certificate. Required, unless Insecure.
	TLS *tls.Config
	// Insecure serves plaintext: only behind a TLS-terminating proxy on the same host.
	Insecure bool
	// Limits and MaxStreams are those of the server; see [mesh.ServerConfig].
	Limits     mesh.Limits
	MaxStreams uint32
	// Instrument adds metrics and traces. Default: nothing is added.
	Instrument func(*mesh.ServerConfig)
}

// Limits are how often callers may come, and how much they may have open at a time: all share the connections to the
// services, each of which takes a thousand calls at a time, and a stream costs the services something as long as it is open.
// A zero limit takes the default; see [Unlimited].
type Limits struct {
	// Address is for every request of one client address. Default: 500 a second, 2000 at once.
	Address ratelimit.Limit
	// Caller is for API requests of one session or API client. Default: 200 a second, 1000 at once.
	Caller ratelimit.Limit
	// SignIn is for starting and finishing logins from one address. Default: 5 a second, 100 at once.
	SignIn ratelimit.Limit
	// Streams is how many streams may be open, by REST and native gRPC together, and EachStreams how many of them may be one
	// person's or client's, whichever session or application they come by. Default: 500, 16.
	Streams, EachStreams int
	// Calls and EachCalls are the same for native calls that are no streams. Default: 1000, 100.
	Calls, EachCalls int
}

// DefaultLimits are those of a gateway that is told none.
func DefaultLimits() Limits {
	return Limits{
		Address: ratelimit.Limit{PerSecond: 500, Burst: 2000}, Caller: ratelimit.Limit{PerSecond: 200, Burst: 1000}, SignIn: ratelimit.Limit{PerSecond: 5, Burst: 100},
		Streams: 500, EachStreams: 16, Calls: 1000, EachCalls: 100,
	}
}

// Unlimited is a limit that nobody reaches, for benchmarks.
var Unlimited = ratelimit.Limit{PerSecond: 1e9, Burst: 1e9}

// DefaultScopes are those of the web application.
var DefaultScopes = []string{
	"openid", "profile", "email", "offline_access",
	"customer.read", "customer.write", "securitysystem.read", "securitysystem.arm", "securitysystem.disarm", "securitysystem.write",
	"notification.read", "notification.write", "account.read", "account.write", "audit.read", "admin",
}
