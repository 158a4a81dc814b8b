package token_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/password"
)

const (
	alice         = "alice@acme.example"
	alicePassword = "correct horse battery"
	webSecret     = "rgs_web-secret-for-tests+%/="
	partnerSecret = "rgs_partner-secret-for-tests"
	serviceSecret = "rgs_service-secret-for-tests"
	trustedSecret = "rgs_trusted-secret-for-tests"
	webCallback   = "https://app.example.com/callback"
	partnerURI    = "https://partner.example.com/cb?fixed=1"
	nativeURI     = "com.example.app:/cb"
	verifier      = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// clock is moved by hand.
type clock struct{ offset atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

var databases = storetest.Migrated(token.Migrate)

// stores are what survives a restart.
type stores struct {
	open  func() *sqldb.DB
	redis string
}

// eachStore runs test on both databases and both Redis servers, all of them empty, in the pairs that they are used in:
// SQLite with the embedded server by developers, PostgreSQL with Redis by everybody else. Nothing is promised by two of
// them together, so that the other pairs would say nothing new. Other tests run beside it.
func eachStore(t *testing.T, test func(t *testing.T, st stores)) {
	t.Parallel()
	addresses := []func(*testing.T) string{
		databases.SQLiteURL,
		storetest.PostgresURL,
	}
	pair := 0
	storetest.EachRedis(t, func(t *testing.T, addr string) {
		address := addresses[pair](t)
		pair++
		test(t, stores{func() *sqldb.DB { return open(t, address) }, addr})
	})
}

func open(t *testing.T, address string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// oneStore runs test on SQLite and the embedded server, beside others: for what the stores have no part in.
func oneStore(t *testing.T, test func(t *testing.T, st stores)) {
	t.Parallel()
	db := databases.SQLite(t)
	test(t, stores{func() *sqldb.DB { return db }, miniredis.RunT(t).Addr()})
}

// server is a token service behind a real HTTP server.
type server struct {
	*token.Service
	t *testing.T
	// url is the issuer's; at is where this process listens, which is the same unless it is one of several replicas.
	url, at string
	db      *sqldb.DB
	redis   *redis.Client
	clock   *clock
	logs    *logs
	metrics *prometheus.Registry
	stop    func()
}

// logs keeps everything that was logged, and what must not be in there.
type logs struct {
	mu      sync.Mutex
	text    bytes.Buffer
	secrets []string
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// secret remembers a string that must never be logged, and returns it.
func (l *logs) secret(s string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(s) > 8 {
		l.secrets = append(l.secrets, s)
	}
	return s
}

func (l *logs) check(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.secrets {
		if strings.Contains(l.text.String(), s) {
			t.Errorf("the log contains the secret %q", s)
		}
	}
}

func (l *logs) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

// start starts a service with alice and the clients of the tests.
func start(t *testing.T, st stores) *server {
	t.Helper()
	s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{})
	s.seed()
	return s
}

// again starts another process on the same stores and address, after stopping s.
func (s *server) again(st stores) *server {
	s.t.Helper()
	s.stop()
	plain.CloseIdleConnections() // or a POST would find out only by failing
	return begin(s.t, st, strings.TrimPrefix(s.url, "http://"), s.clock, s.logs)
}

func begin(t *testing.T, st stores, address string, c *clock, l *logs, change ...func(*token.Config)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + listener.Addr().String()
	s := &server{t: t, url: at, at: at, db: st.open(), clock: c, logs: l, metrics: prometheus.NewRegistry()}
	s.redis = redis.NewClient(&redis.Options{Addr: st.redis, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second})
	if err := token.Migrate(t.Context(), s.db); err != nil {
		t.Fatal(err)
	}
	signingKeys.lend(t, s.db)
	cfg := s.config()
	cfg.Registerer = s.metrics
	for _, c := range change {
		c(&cfg)
	}
	s.url = cfg.Issuer
	s.Service, err = token.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	web := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	running.Go(func() { _ = web.Serve(listener) })
	s.stop = sync.OnceFunc(func() {
		_ = web.Close()
		cancel()
		running.Wait()
		_ = s.redis.Close()
	})
	t.Cleanup(func() { s.stop(); l.check(t) })
	return s
}

var signingKeys keyring

func (s *server) config() token.Config {
	out := io.MultiWriter(s.logs, s.t.Output())
	return token.Config{
		DB: s.db, Redis: s.redis, Issuer: s.url,
		Keys:      token.Keys{Encryption: bytes.Repeat([]byte{7}, 32), MAC: bytes.Repeat([]byte{9}, 32)},
		Passwords: token.Passwords{Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}},
		Intervals: token.Intervals{ // which tests wait for
			RevocationHeartbeat: 50 * time.Millisecond, RevocationPoll: 50 * time.Millisecond, KeyUse: 50 * time.Millisecond, Denials: 50 * time.Millisecond,
		},
		Logger: slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    s.clock.Now,
	}
}

var codeGrants = []string{"authorization_code", "refresh_token"}

func (s *server) seed() {
	s.t.Helper()
	for _, secret := range []string{alicePassword, webSecret, partnerSecret, serviceSecret, trustedSecret} {
		s.logs.secret(secret)
	}
	people := []string{"openid", "profile", "email", "offline_access", "securitysystem.read", "securitysystem.arm"}
	for _, c := range []token.ClientSpec{
		{ID: "web", Name: "Web app", Secret: webSecret, Grants: codeGrants, RedirectURIs: []string{webCallback},
			PostLogoutURIs: []string{"https://app.example.com/bye"}, Scopes: people, FirstParty: true},
		{ID: "partner", Name: "Partner <b>&", Secret: partnerSecret, Grants: codeGrants, RedirectURIs: []string{partnerURI, webCallback},
			Scopes: people},
		{ID: "native", Name: "Native app", Public: true, Grants: codeGrants, FirstParty: true,
			RedirectURIs: []string{nativeURI, "http://127.0.0.1/cb", "http://[::1]/cb", "https://native.example.com/cb"}, Scopes: people},
		{ID: "service", Name: "Service", Secret: serviceSecret, Grants: []string{"client_credentials"},
			Scopes: []string{"openid", "securitysystem.read", "customer.read"}},
		{ID: "trusted", Name: "Trusted", Secret: trustedSecret, Grants: []string{"password", "refresh_token"}, Scopes: people},
		{ID: "customer", Name: "Customer service", Secret: serviceSecret, Kind: token.Workload, Grants: []string{"client_credentials"}},
		{ID: "gateway", Name: "Gateway", Secret: serviceSecret, Kind: token.Workload, Grants: []string{"client_credentials"}},
	} {
		if _, err := s.EnsureClient(s.t.Context(), c); err != nil {
			s.t.Fatal(err)
		}
	}
	s.user(alice, alicePassword, "REALGUARDIO_CUSTOMER_EMPLOYEE")
}

func (s *server) user(email, secret string, roles ...string) string {
	s.t.Helper()
	name := strings.ToUpper(email[:1]) + email[1:strings.Index(email, "@")]
	id, _, err := s.EnsureUser(s.t.Context(), token.UserSpec{Email: email, Name: name, Roles: roles, Password: s.logs.secret(secret)})
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

var plain = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 100},
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`)

func redeems(code, redirect string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
}

// tokens signs alice in at the web app and redeems the code.
func (s *server) tokens() reply {
	s.t.Helper()
	r := s.post("/oauth2/token", "web", webSecret, redeems(s.browser().code(asks("web", webCallback)), webCallback))
	if r.status != http.StatusOK {
		s.t.Fatalf("redeeming a code: %d %s", r.status, r.body)
	}
	return r
}

func (s *server) refresh(refreshToken string) reply {
	s.t.Helper()
	return s.post("/oauth2/token", "web", webSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

// accepted tells whether an access token is still accepted.
func (s *server) accepted(access string) bool {
	s.t.Helper()
	return s.get("/oauth2/userinfo", "Authorization", "Bearer "+access).status == http.StatusOK
}
