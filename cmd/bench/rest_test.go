package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/rest"
	"github.com/realguardio/realguardio/gateway/vault"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/database"
	"github.com/realguardio/realguardio/services/token"
)

// BenchmarkSessionREST compares GET /api/v1/me by a browser's session (one Redis read, limits, headers, the guard of the
// service) with grpc-gateway as it comes, over the same kind of connection, to a service without a guard: once for a
// caller who sends nothing, and once for one who sends such a token as the session has, which grpc-gateway forwards.
func BenchmarkSessionREST(b *testing.B) {
	ca := meshtest.NewCA(b)
	store := redisClient(b)
	issuer, web := listen(b), listen(b)
	service := tokenService(b, issuer, store, web)
	verifier, err := jwt.New(b.Context(), jwt.Config{Issuer: issuer.url, Audiences: []string{"urn:realguardio:api"}, Keys: service.JWKS})
	if err != nil {
		b.Fatal(err)
	}
	gate := sessionGateway(b, ca, store, verifier, issuer, web)
	web.serve(b, gate.Handler())
	cookies := signIn(b, web.url)

	mux := runtime.NewServeMux()
	bare := bareServer(b, ca.Server(b, "token"), registerMe[*grpc.Server])
	if err := tokenv1.RegisterAccountServiceHandler(b.Context(), mux, bareDial(b, bare, ca.Client(b, "gateway"))); err != nil {
		b.Fatal(err)
	}
	plain := listen(b)
	plain.serve(b, mux)
	ours := get(web.url+"/api/v1/me", "Cookie", cookies)
	for name, bearer := range map[string]string{"bare": "", "bare-forwarding-a-token": "Bearer " + accessToken(b, issuer.url)} {
		b.Run(name, func(b *testing.B) {
			compareRates(b, "requests/s", ours, get(plain.url+"/api/v1/me", "Authorization", bearer),
				"at least 0.65 at the lower end", atLeast(0.65))
		})
	}
}

// get asks for a page, with one header unless it is empty, from many connections.
func get(page, header, value string) side {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *concurrency}}
	return func(ctx context.Context) (float64, error) {
		return throughput(ctx, *concurrency, *turn, func(ctx context.Context, _ int) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
			if err != nil {
				return err
			}
			if value != "" {
				req.Header.Set(header, value)
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("GET %s: %s: %s: %w", page, resp.Status, body, err)
			}
			return nil
		})
	}
}

// accessToken is one like the session's.
func accessToken(b *testing.B, issuer string) string {
	resp, err := http.PostForm(issuer+"/oauth2/token", url.Values{
		"grant_type": {"password"}, "client_id": {benchClient}, "client_secret": {benchClientSecret},
		"username": {"alice@acme.example"}, "password": {token.DemoPassword},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return find(b, string(body), `"access_token":"([^"]+)"`)
}

// sessionGateway is a whole gateway before a guarded service.
func sessionGateway(b *testing.B, ca *meshtest.CA, store *redis.Client, verifier *jwt.Verifier, issuer, web *listener) *gateway.Gateway {
	backend := guardedServer(b, ca, verifier)
	conn, err := mesh.Dial(mesh.DialConfig{Target: backend, TLS: ca.Client(b, "gateway"), Propagation: mesh.PerCall()})
	if err != nil {
		b.Fatal(err)
	}
	forward, err := mesh.Dial(mesh.DialConfig{Target: backend, TLS: ca.Client(b, "gateway"), Propagation: mesh.Forward()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = conn.Close(), forward.Close() })
	gate, err := gateway.New(gateway.Config{
		PublicURL: web.url, Provider: gateway.Provider{Issuer: issuer.url, ClientID: benchClient, ClientSecret: benchClientSecret},
		Sessions: gateway.Sessions{Redis: store, Keys: [][]byte{make([]byte, 32)}},
		Backends: []gateway.Backend{{
			Conn: conn, Forward: forward,
			Services: []protoreflect.ServiceDescriptor{tokenv1.File_realguardio_token_v1_admin_proto.Services().ByName("AccountService")},
			REST:     []rest.Register{rest.Service(tokenv1.RegisterAccountServiceHandlerClient, tokenv1.NewAccountServiceClient)},
		}},
		Verifier: verifier, Revocations: mesh.NoRevocations(), Site: gateway.Site{UI: fstest.MapFS{}},
		Limits: gateway.Limits{Address: gateway.Unlimited, Caller: gateway.Unlimited, SignIn: gateway.Unlimited},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = gate.Run(b.Context()) }()
	return gate
}

func guardedServer(b *testing.B, ca *meshtest.CA, verifier *jwt.Verifier) (addr string) {
	server, err := mesh.NewServer(mesh.ServerConfig{
		Name: "token", TLS: ca.Server(b, "token"), Verifier: verifier, Revocations: mesh.NoRevocations(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	tokenv1.RegisterAccountServiceServer(server, me{})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(b.Context(), lis) }()
	return lis.Addr().String()
}

func bareDial(b *testing.B, addr string, config *tls.Config) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

func tokenService(b *testing.B, issuer *listener, store *redis.Client, web *listener) *token.Service {
	db, err := database.Open(b.Context(), "sqlite://"+filepath.Join(b.TempDir(), "token.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if err := token.Migrate(b.Context(), db); err != nil {
		b.Fatal(err)
	}
	service, err := token.New(token.Config{
		DB: db, Redis: store, Issuer: issuer.url, Keys: token.Keys{Encryption: make([]byte, 32), MAC: make([]byte, 32)},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := service.EnsureClient(b.Context(), token.ClientSpec{
		ID: benchClient, Name: "Benchmark", Secret: benchClientSecret, FirstParty: true, AccessTokenLifetime: time.Hour,
		Grants: []string{"authorization_code", "refresh_token", "password"}, Scopes: gateway.DefaultScopes,
		RedirectURIs: []string{web.url + "/api/auth/callback/realguardio"},
	}); err != nil {
		b.Fatal(err)
	}
	if _, _, err := service.EnsureUser(b.Context(), token.UserSpec{Email: "alice@acme.example", Name: "Alice", Password: token.DemoPassword}); err != nil {
		b.Fatal(err)
	}
	issuer.serve(b, service.Handler())
	return service
}

// signIn goes the way of a person's browser, once the gateway has found its issuer, and returns what stands in its Cookie
// header then.
func signIn(b *testing.B, web string) string {
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	csrf := find(b, page(b, browser, web+"/api/auth/csrf", nil), `"csrfToken":\s*"([^"]+)"`)
	start := page(b, browser, web+"/api/auth/signin/realguardio", url.Values{"csrfToken": {csrf}, "json": {"true"}})
	authorize := strings.ReplaceAll(find(b, start, `"url":\s*"([^"]+)"`), `\u0026`, "&")
	login := page(b, browser, authorize, nil)
	issuer, _, _ := strings.Cut(authorize, "/oauth2/")
	page(b, browser, issuer+"/login", url.Values{
		"tx": {find(b, login, `name="tx" value="([^"]+)"`)}, "username": {"alice@acme.example"}, "password": {token.DemoPassword},
	})
	at, _ := url.Parse(web)
	var cookies []string
	for _, c := range jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return strings.Join(cookies, "; ")
}

// page gets, or posts where there is a form. A 503 is asked again: the gateway may still be looking for its issuer.
func page(b *testing.B, browser *http.Client, address string, form url.Values) string {
	ask := func() (*http.Response, error) { return browser.Get(address) }
	if form != nil {
		ask = func() (*http.Response, error) { return browser.PostForm(address, form) }
	}
	patience, again := time.After(10*time.Second), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for {
		resp, err := ask()
		if err != nil {
			b.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			return string(body)
		}
		select {
		case <-again.C:
		case <-patience:
			b.Fatalf("%s stays unavailable", address)
		}
	}
}

func find(b *testing.B, text, pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		b.Fatalf("no %s in %s", pattern, text)
	}
	return m[1]
}

// redisClient reaches a real Redis where there is one on this machine, and the embedded server otherwise.
func redisClient(b *testing.B) *redis.Client {
	if socket := redisSocket(b); socket != "" {
		return redis.NewClient(vault.Bounded(&redis.Options{Network: "unix", Addr: socket}))
	}
	b.Log("no redis-server here: the embedded one shares this process's processors")
	return redis.NewClient(vault.Bounded(&redis.Options{Addr: miniredis.RunT(b).Addr()}))
}

// redisSocket starts a real Redis and returns where it listens, or "" where there is none on this machine.
func redisSocket(b *testing.B) (socket string) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return ""
	}
	socket = filepath.Join(b.TempDir(), "redis.sock")
	command := exec.Command(binary, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer client.Close()
	await(b, "redis-server", func() error { return client.Ping(b.Context()).Err() })
	return socket
}

// await waits until a server answers.
func await(b *testing.B, what string, answers func() error) {
	patience, again := time.After(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for answers() != nil {
		select {
		case <-again.C:
		case <-patience:
			b.Fatalf("%s does not start", what)
		}
	}
}

// listener is an address known before there is something to serve.
type listener struct {
	net.Listener
	url string
}

func listen(b *testing.B) *listener {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return &listener{lis, fmt.Sprintf("http://localhost:%d", lis.Addr().(*net.TCPAddr).Port)}
}

func (l *listener) serve(b *testing.B, handler http.Handler) {
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
}
