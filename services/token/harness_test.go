package token_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
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

// stores are what survives a restart.
type stores struct {
	open  func() *sqldb.DB
	redis string
}

// eachStore runs test on both databases and both Redis servers, all of them empty, in the pairs that they are used in:
// SQLite with the embedded server by developers, PostgreSQL with Redis by everybody else. Nothing is promised by two of
// them together, so that the other pairs would say nothing new.
func eachStore(t *testing.T, test func(t *testing.T, st stores)) {
	databases := []func(*testing.T) string{
		func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") },
		storetest.PostgresURL,
	}
	pair := 0
	storetest.EachRedis(t, func(t *testing.T, addr string) {
		address := databases[pair](t)
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
	db := storetest.SQLite(t)
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

// keyring is the signing keys of this test process: making an RSA key takes longer than most tests.
type keyring struct {
	once sync.Once
	rows [][]any
}

var signingKeys keyring

// lend stores the keys in a database that has none.
func (k *keyring) lend(t *testing.T, db *sqldb.DB) {
	t.Helper()
	k.once.Do(func() { k.make(t) })
	for _, row := range k.rows {
		if _, err := db.Exec(t.Context(), `INSERT INTO signing_keys (id, alg, status, sealed, created_at, activated_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT DO NOTHING`, row...); err != nil {
			t.Fatal(err)
		}
	}
}

func (k *keyring) make(t *testing.T) {
	t.Helper()
	s := &server{t: t, url: "http://localhost", db: storetest.SQLite(t), clock: &clock{}, logs: &logs{},
		redis: redis.NewClient(&redis.Options{Addr: "localhost:1"})}
	defer s.redis.Close()
	if err := token.Migrate(t.Context(), s.db); err != nil {
		t.Fatal(err)
	}
	if _, err := token.New(s.config()); err != nil {
		t.Fatal(err)
	}
	rows, err := s.db.Query(t.Context(), `SELECT id, alg, status, sealed, created_at, activated_at FROM signing_keys`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, alg, status, sealed string
		var created, activated int64
		if err := rows.Scan(&id, &alg, &status, &sealed, &created, &activated); err != nil {
			t.Fatal(err)
		}
		k.rows = append(k.rows, []any{id, alg, status, sealed, created, activated})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func (s *server) config() token.Config {
	out := io.MultiWriter(s.logs, s.t.Output())
	return token.Config{
		DB: s.db, Redis: s.redis, Issuer: s.url,
		KeyEncryptionKey: bytes.Repeat([]byte{7}, 32), TokenMACKey: bytes.Repeat([]byte{9}, 32),
		PasswordParams: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1},
		// Tests wait for these.
		RevocationHeartbeat: 50 * time.Millisecond, RevocationPoll: 50 * time.Millisecond, KeyUseInterval: 50 * time.Millisecond,
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
			RedirectURIs: []string{nativeURI, "http://127.0.0.1/cb", "https://native.example.com/cb"}, Scopes: people},
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

// reply is an HTTP answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (r reply) str(name string) string { v, _ := r.json[name].(string); return v }

// location is where it redirects to.
func (r reply) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.header.Get("Location") == "" {
		t.Fatalf("status %d without a Location: %s", r.status, r.body)
	}
	return u
}

var plain = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 100},
}

func (s *server) do(client *http.Client, r *http.Request) reply {
	s.t.Helper()
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	out := reply{status: response.StatusCode, header: response.Header, body: string(body)}
	_ = json.Unmarshal(body, &out.json)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		s.logs.secret(out.str(name))
	}
	return out
}

// post posts a form with client authentication by Basic; without a client if client is empty.
func (s *server) post(path, client, secret string, form url.Values) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	return s.do(plain, r)
}

func (s *server) get(path string, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return s.do(plain, r)
}

// browser keeps cookies and follows no redirect by itself.
type browser struct {
	*server
	client *http.Client
}

func (s *server) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, CheckRedirect: plain.CheckRedirect}}
}

func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.url)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return b.logs.secret(c.Value)
		}
	}
	return ""
}

func (b *browser) open(path string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "none")
	return b.do(b.client, r)
}

// submit posts a form as a page of ours would.
func (b *browser) submit(path string, form url.Values, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", b.url)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(b.client, r)
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asks is the path and query of an authorization request, changed by pairs of name and value ("" removes).
func asks(client, redirect string, changes ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "scope": {"openid profile email securitysystem.read"},
		"state": {"the-state"}, "nonce": {"the-nonce"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if q.Del(changes[i]); changes[i+1] != "" {
			q.Set(changes[i], changes[i+1])
		}
	}
	return "/oauth2/authorize?" + q.Encode()
}

// answerIn is what a client is told in a redirect: in the query, or the fragment.
func answerIn(to *url.URL) url.Values {
	if to.Fragment == "" {
		return to.Query()
	}
	values, _ := url.ParseQuery(to.EscapedFragment())
	return values
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`)

// form returns the hidden fields of a page.
func (r reply) form() url.Values {
	out := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(r.body, -1) {
		out.Set(m[1], m[2])
	}
	return out
}

// signIn goes through the login page that an authorization request leads to, and back to the authorization endpoint. It
// returns what that answers, or the login page where it lets nobody in.
func (b *browser) signIn(request, username, secret string) reply {
	b.t.Helper()
	answer := b.login(request, username, secret)
	if answer.status != http.StatusSeeOther {
		return answer
	}
	to := answer.location(b.t)
	if to.Path != "/oauth2/authorize" || to.Host != "" {
		b.t.Fatalf("sent to %s instead of back to the authorization endpoint", to)
	}
	return b.open(to.RequestURI())
}

// login goes through the login page that an authorization request leads to and returns the answer to the form.
func (b *browser) login(request, username, secret string) reply {
	b.t.Helper()
	to := b.open(request).location(b.t)
	if to.Path != "/login" {
		b.t.Fatalf("sent to %s instead of the login page", to)
	}
	page := b.open(to.RequestURI())
	if page.status != http.StatusOK {
		b.t.Fatalf("login page: %d %s", page.status, page.body)
	}
	form := page.form()
	form.Set("username", username)
	form.Set("password", secret)
	return b.submit("/login", form)
}

// code signs alice in and returns the code.
func (b *browser) code(request string) string {
	b.t.Helper()
	to := b.signIn(request, alice, alicePassword).location(b.t)
	code := to.Query().Get("code")
	if code == "" {
		b.t.Fatalf("no code in %s", to)
	}
	return b.logs.secret(code)
}

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

func refused(t *testing.T, r reply, status int, code string) {
	t.Helper()
	if r.status != status || r.str("error") != code {
		t.Errorf("got %d %s, want %d %s: %s", r.status, r.str("error"), status, code, r.body)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", r.header.Get("Cache-Control"))
	}
}
