package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/internal/redistest"
	"github.com/realguardio/realguardio/gateway/rest"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// world is what gateways stand in: a provider, Redis, one backend behind mutual TLS and the mesh guard. Gateways of one
// world are replicas.
type world struct {
	idp     *idp
	redis   *redistest.Server
	backend *backend
	server  *meshtest.Server
	revoked *revocation.Set
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, redistest.Embedded(t))
}

func newWorldOn(t testing.TB, redis *redistest.Server) *world {
	t.Helper()
	w := &world{idp: newIDP(t), redis: redis, backend: &backend{}, revoked: revocation.NewSet(revocation.Config{})}
	w.revoked.Complete()
	w.server = meshtest.Serve(t, w.idp.Issuer, meshtest.Part{Name: "securitysystem", Configure: func(c *mesh.ServerConfig) {
		c.Revocations = w.revoked
		if _, measuring := t.(*testing.B); measuring {
			c.Logger = slog.New(slog.DiscardHandler)
		}
	}}, func(r grpc.ServiceRegistrar) {
		securitysystemv1.RegisterSecuritySystemServiceServer(r, w.backend)
		customerv1.RegisterCustomerServiceServer(r, &customers{})
		r.RegisterService(streamDesc(), w.backend)
	})
	return w
}

// gate is a running gateway.
type gate struct {
	*world
	gateway *gateway.Gateway
	url     string
	grpc    string
	client  *http.Client
}

// gateway starts a replica. change may change its configuration.
func (w *world) gateway(t testing.TB, change ...func(*gateway.Config)) *gate {
	t.Helper()
	front := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{
		PublicURL: "http://localhost:" + port,
		Provider: gateway.Provider{
			Issuer: w.idp.URL, ClientID: clientID, ClientSecret: clientSecret,
			IntrospectionClientID: "gateway", IntrospectionClientSecret: introspectionSecret,
		},
		Sessions: gateway.Sessions{Redis: w.redis.Client, Keys: [][]byte{bytes.Repeat([]byte{7}, 32)}},
		Backends: []gateway.Backend{{
			Conn: w.server.Connect(t, "gateway", mesh.PerCall()), Forward: w.server.Connect(t, "gateway", mesh.Forward()),
			Services: []protoreflect.ServiceDescriptor{
				securitysystemv1.File_realguardio_securitysystem_v1_securitysystem_proto.Services().ByName("SecuritySystemService"),
				customerv1.File_realguardio_customer_v1_customer_proto.Services().ByName("CustomerService"),
				streamFile().Services().Get(0),
			},
			REST: []rest.Register{
				rest.Service(securitysystemv1.RegisterSecuritySystemServiceHandlerClient, securitysystemv1.NewSecuritySystemServiceClient),
				rest.Service(customerv1.RegisterCustomerServiceHandlerClient, customerv1.NewCustomerServiceClient),
			},
		}},
		Verifier: w.idp.Verifier(t, "gateway"), Revocations: w.revoked,
		Site: gateway.Site{UI: fstest.MapFS{
			"index.html":         {Data: []byte("<!doctype html><title>RealGuardIO</title>")},
			"assets/app-1234.js": {Data: []byte("export {}")},
		}, OpenAPI: []byte(`{"swagger":"2.0","info":{"title":"RealGuardIO"},"paths":{"/api/v1/x":{"get":{"summary":"Get <x> by \u0060its <name>\u0060","tags":["X"],"x-realguardio-rule":{"needs":"Needs: a person."}}}}}`)},
		GRPC:   gateway.GRPC{TLS: &tls.Config{Certificates: []tls.Certificate{w.idp.CA.Certificate(t, "gateway")}}},
		Logger: meshtest.Logger(t),
	}
	for _, c := range change {
		c(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatalf("making a gateway: %v", err)
	}
	front.Config = gateway.NewHTTPServer(g.Handler())
	out := &gate{world: w, gateway: g, url: cfg.PublicURL}
	if strings.HasPrefix(cfg.PublicURL, "https") {
		front.TLS = &tls.Config{Certificates: []tls.Certificate{w.idp.CA.Certificate(t, "gateway")}}
		front.StartTLS()
		out.client = &http.Client{Transport: &http.Transport{TLSClientConfig: w.idp.CA.Client(t, "")}}
		out.url = "https://localhost:" + port
	} else {
		front.Start()
		out.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 300}}
	}
	t.Cleanup(front.Close)
	run(t, g.Run)
	out.serveGRPC(t)
	redistest.Eventually(t, "the provider is discovered", func() bool { return g.ProviderReady(t.Context()) == nil })
	return out
}

func (g *gate) serveGRPC(t testing.TB) {
	t.Helper()
	server, err := g.gateway.GRPCServer()
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error { return server.Serve(ctx, lis) })
	g.grpc = lis.Addr().String()
}

// run runs f until the test ends.
func run(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// dial connects a native gRPC client.
func (g *gate) dial(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(g.grpc, grpc.WithTransportCredentials(credentials.NewTLS(g.idp.CA.Client(t, ""))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// reply is an answer that has been read.
type reply struct {
	*http.Response
	body string
}

// json reads a member of the body, such as "errors" or "user".
func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%d %q is not JSON: %v", r.StatusCode, r.body, err)
	}
	return v
}

// header is headers of a request, one value each.
type header map[string]string

// do sends a request, without following redirects and without a cookie jar.
func (g *gate) do(t testing.TB, method, path, body string, headers ...header) reply {
	t.Helper()
	return send(t, &http.Client{Transport: g.client.Transport, CheckRedirect: noRedirect}, method, g.url+path, body, headers...)
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func send(t testing.TB, client *http.Client, method, to, body string, headers ...header) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		for name, value := range h {
			req.Header[http.CanonicalHeaderKey(name)] = strings.Split(value, "\n")
		}
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res, string(raw)}
}

// want checks a refusal: its status, its reason and its form.
func (r reply) want(t testing.TB, status int, reason string) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("answer is %d %s; want %d", r.StatusCode, r.body, status)
	}
	if reason == "" {
		return r
	}
	p := r.json(t)
	if p["reason"] != reason || r.Header.Get("Content-Type") != "application/problem+json" || p["requestId"] != r.Header.Get("X-Request-Id") ||
		p["status"] != float64(status) || p["code"] == nil || p["title"] == "" {
		t.Errorf("answer is %s %s; want the reason %s", r.Header.Get("Content-Type"), r.body, reason)
	}
	return r
}

// browser is a browser with its cookies, at one gateway.
type browser struct {
	*gate
	http *http.Client
	csrf string
}

func (g *gate) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{gate: g, http: &http.Client{Jar: jar, Transport: g.client.Transport, CheckRedirect: noRedirect}}
}

// signedIn is a browser whose person has signed in, with the anti-CSRF token at hand.
func (g *gate) signedIn(t testing.TB) *browser {
	t.Helper()
	b := g.browser(t)
	if r := b.signIn(t); r.StatusCode != http.StatusFound {
		t.Fatalf("the callback answered %d %s", r.StatusCode, r.body)
	}
	b.token(t)
	return b
}

// signIn goes the way of a login and returns the callback's answer.
func (b *browser) signIn(t testing.TB) reply {
	t.Helper()
	return b.get(t, b.provider(t))
}

// provider goes to the provider and returns the callback URL that it sends the browser to.
func (b *browser) provider(t testing.TB) string {
	t.Helper()
	b.token(t)
	r := b.form(t, "/api/auth/signin/realguardio", url.Values{"csrfToken": {b.csrf}, "json": {"true"}, "callbackUrl": {b.url + "/systems"}})
	to, _ := r.want(t, http.StatusOK, "").json(t)["url"].(string)
	return send(t, b.http, http.MethodGet, to, "").want(t, http.StatusFound, "").Header.Get("Location")
}

func (b *browser) token(t testing.TB) string {
	t.Helper()
	b.csrf, _ = b.get(t, "/api/auth/csrf").want(t, http.StatusOK, "").json(t)["csrfToken"].(string)
	return b.csrf
}

func (b *browser) get(t testing.TB, path string, headers ...header) reply {
	t.Helper()
	return b.do(t, http.MethodGet, path, "", headers...)
}

// post is a state-changing request as the application sends it.
func (b *browser) post(t testing.TB, path, body string, headers ...header) reply {
	t.Helper()
	return b.do(t, http.MethodPost, path, body, append([]header{{"X-CSRF-Token": b.csrf, "Origin": b.url, "Sec-Fetch-Site": "same-origin"}}, headers...)...)
}

func (b *browser) form(t testing.TB, path string, form url.Values, headers ...header) reply {
	t.Helper()
	all := header{"Content-Type": "application/x-www-form-urlencoded"}
	for _, h := range headers {
		maps.Copy(all, h)
	}
	return b.do(t, http.MethodPost, path, form.Encode(), all)
}

func (b *browser) do(t testing.TB, method, path, body string, headers ...header) reply {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.url + path
	}
	return send(t, b.http, method, path, body, headers...)
}

// cookie returns a cookie's value, or "".
func (b *browser) cookie(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// at is the same browser at another replica.
func (b *browser) at(g *gate) *browser { return &browser{gate: g, http: b.http, csrf: b.csrf} }

// backend is the service behind the gateway. It notes what it was asked, and by whom.
type backend struct {
	securitysystemv1.UnimplementedSecuritySystemServiceServer
	mu      sync.Mutex
	calls   []call
	refusal error
	// quiet backends take no notes.
	quiet bool
	// stream is what the streaming methods do, watch what WatchSecuritySystems does.
	stream func(grpc.ServerStream) error
	watch  func(*securitysystemv1.WatchSecuritySystemsRequest, grpc.ServerStreamingServer[securitysystemv1.WatchSecuritySystemsResponse]) error
}

// call is one call as the backend saw it.
type call struct {
	method   string
	caller   mesh.Identity
	metadata metadata.MD
	request  any
}

func (b *backend) saw(ctx context.Context, method string, request any) error {
	if b.quiet {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call{method, mesh.Caller(ctx), md.Copy(), request})
	return b.refusal
}

func (b *backend) refuse(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusal = err
}

// take returns the calls since it was last asked.
func (b *backend) take() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

var oakland = &securitysystemv1.SecuritySystem{Id: "sys_1", LocationName: "Oakland", State: securitysystemv1.State_DISARMED, Etag: "e1"}

func (b *backend) ListSecuritySystems(ctx context.Context, r *securitysystemv1.ListSecuritySystemsRequest) (*securitysystemv1.ListSecuritySystemsResponse, error) {
	return &securitysystemv1.ListSecuritySystemsResponse{SecuritySystems: []*securitysystemv1.SecuritySystem{oakland}}, b.saw(ctx, "List", r)
}

func (b *backend) GetSecuritySystem(ctx context.Context, r *securitysystemv1.GetSecuritySystemRequest) (*securitysystemv1.GetSecuritySystemResponse, error) {
	return &securitysystemv1.GetSecuritySystemResponse{SecuritySystem: oakland}, b.saw(ctx, "Get", r)
}

func (b *backend) CreateSecuritySystem(ctx context.Context, r *securitysystemv1.CreateSecuritySystemRequest) (*securitysystemv1.CreateSecuritySystemResponse, error) {
	return &securitysystemv1.CreateSecuritySystemResponse{SecuritySystem: oakland}, b.saw(ctx, "Create", r)
}

func (b *backend) ArmSecuritySystem(ctx context.Context, r *securitysystemv1.ArmSecuritySystemRequest) (*securitysystemv1.ArmSecuritySystemResponse, error) {
	return &securitysystemv1.ArmSecuritySystemResponse{SecuritySystem: oakland}, b.saw(ctx, "Arm", r)
}

func (b *backend) RemoveSecuritySystem(ctx context.Context, r *securitysystemv1.RemoveSecuritySystemRequest) (*securitysystemv1.RemoveSecuritySystemResponse, error) {
	return &securitysystemv1.RemoveSecuritySystemResponse{}, b.saw(ctx, "Remove", r)
}

// customers fails in ways that services must not, to see what gets out.
type customers struct {
	customerv1.UnimplementedCustomerServiceServer
}

func (*customers) CreateLocation(context.Context, *customerv1.CreateLocationRequest) (*customerv1.CreateLocationResponse, error) {
	return nil, errors.New("pq: password authentication failed for user realguardio")
}

func (*customers) CreateTeam(context.Context, *customerv1.CreateTeamRequest) (*customerv1.CreateTeamResponse, error) {
	panic("boom " + fmt.Sprint(1))
}
