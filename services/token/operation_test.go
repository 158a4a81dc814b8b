package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/password"
)

var adminConsole = token.ClientSpec{ID: "console", Name: "Console", Secret: webSecret, Grants: codeGrants,
	RedirectURIs: []string{webCallback}, Scopes: []string{"openid", "admin"}, FirstParty: true}

func TestARestartKeepsEverything(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		tokens := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		jwks := s.get("/oauth2/jwks").body
		s = s.again(st)
		b.server = s
		if s.get("/oauth2/jwks").body != jwks {
			t.Error("the keys changed")
		}
		if !s.accepted(tokens.str("access_token")) {
			t.Error("an access token is no longer accepted")
		}
		if to := b.open(asks("web", webCallback)).location(t); !to.Query().Has("code") {
			t.Errorf("the browser is no longer signed in: %s", to)
		}
		if r := s.refresh(tokens.str("refresh_token")); r.status != http.StatusOK {
			t.Errorf("refresh: %d %s", r.status, r.body)
		}
	})
}

func TestKeysAreSealed(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		st := stores{open, miniredis.RunT(t).Addr()}
		s := start(t, st)
		set, err := jwk.Parse([]byte(s.get("/oauth2/jwks").body))
		if err != nil || set.Len() != 2*len(keys.Algs) {
			t.Fatalf("%v, %v", set, err)
		}
		access := s.tokens().str("access_token")
		if _, err := jws.Verify([]byte(access), jws.WithKeySet(set)); err != nil {
			t.Errorf("jwx does not verify what we sign: %v", err)
		}
		if strings.Contains(s.get("/oauth2/jwks").body, `"d"`) {
			t.Error("a private key is published")
		}
		var sealed string
		if err := s.db.QueryRow(t.Context(), `SELECT sealed FROM signing_keys WHERE alg = 'ES256'`).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		if raw, _ := base64.StdEncoding.DecodeString(sealed); bytes.Contains(raw, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d}) {
			t.Error("the stored key is not encrypted")
		}
		wrong := s.config()
		wrong.Keys.Encryption = bytes.Repeat([]byte{8}, 32)
		if _, err := token.New(wrong); err == nil || !strings.Contains(err.Error(), "key-encryption key") {
			t.Errorf("another key-encryption key: %v", err)
		}
	})
}

// TestReplicasShareOneKey starts several on an empty database at once.
func TestReplicasShareOneKey(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		s := start(t, stores{open, miniredis.RunT(t).Addr()})
		if _, err := s.db.Exec(t.Context(), `DELETE FROM signing_keys`); err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				_, err := token.New(s.config())
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		var n int
		if err := s.db.QueryRow(t.Context(), `SELECT count(*) FROM signing_keys`).Scan(&n); err != nil || n != 2*len(keys.Algs) {
			t.Errorf("%d keys, %v", n, err)
		}
	})
}

// cut is a way to PostgreSQL that can be cut.
func cut(t *testing.T) (dbURL string, now func()) {
	t.Helper()
	u, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	const socket = "/.s.PGSQL.5432"
	server, dir := q.Get("host")+socket, t.TempDir()
	listener, err := net.Listen("unix", dir+socket)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			go func() { _, _ = io.Copy(out, in) }()
			go func() { _, _ = io.Copy(in, out) }()
		}
	}()
	now = sync.OnceFunc(func() {
		_ = listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	t.Cleanup(now)
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return u.String(), now
}

func TestWithoutTheDatabase(t *testing.T) {
	if testing.Short() {
		return // needs a database that can go away
	}
	dbURL, cutOff := cut(t)
	db, err := sqldb.Open(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, stores{func() *sqldb.DB { return db }, miniredis.RunT(t).Addr()})
	access := s.tokens().str("access_token")
	b := s.browser()
	form := b.open(b.open(asks("web", webCallback)).location(t).RequestURI()).form()
	form.Set("username", alice)
	form.Set("password", alicePassword)
	cutOff()
	refused(t, s.machine("service", serviceSecret), 503, "temporarily_unavailable")
	for range 12 {
		if r := b.submit("/login", form); r.status != 503 {
			t.Errorf("login: %d", r.status)
		}
	}
	if counted, err := s.redis.Get(t.Context(), "rgt:{attempts}:address:127.0.0.1").Int(); err != nil || counted != 0 {
		t.Errorf("%d attempts are held against who tried meanwhile, %v", counted, err)
	}
	refused(t, s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {access}}), 503, "temporarily_unavailable")
	if r := s.get("/oauth2/userinfo", "Authorization", "Bearer "+access); r.status != 503 {
		t.Errorf("UserInfo: %d", r.status)
	}
	if r := s.get(asks("web", webCallback)); r.status != 503 || r.header.Get("Location") != "" || strings.Contains(r.body, "dial") {
		t.Errorf("authorize: %d %s", r.status, r.body)
	}
	for _, path := range []string{"/oauth2/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		if r := s.get(path); r.status != http.StatusOK || r.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

func TestWithoutRedis(t *testing.T) {
	db := databases.SQLite(t)
	server := miniredis.RunT(t)
	s := start(t, stores{func() *sqldb.DB { return db }, server.Addr()})
	refreshToken := s.tokens().str("refresh_token")
	b := s.browser()
	form := b.open(b.open(asks("web", webCallback)).location(t).RequestURI()).form()
	form.Set("username", alice)
	form.Set("password", alicePassword)
	server.Close()
	if r := s.machine("service", serviceSecret); r.status != http.StatusOK {
		t.Errorf("client credentials: %d %s", r.status, r.body)
	}
	if r := s.refresh(refreshToken); r.status != http.StatusOK {
		t.Errorf("refresh: %d %s", r.status, r.body)
	}
	refused(t, s.post("/oauth2/token", "web", webSecret, redeems("code", webCallback)), 503, "temporarily_unavailable")
	refused(t, s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}}), 503, "temporarily_unavailable")
	if r := b.submit("/login", form); r.status != 503 || b.cookie("rgt_login") != "" {
		t.Errorf("login: %d", r.status)
	}
	to := s.get(asks("web", webCallback))
	if r := to; r.status != 503 && !strings.Contains(r.header.Get("Location"), "server_error") && !strings.Contains(r.header.Get("Location"), "temporarily_unavailable") {
		t.Errorf("authorize: %d %s", r.status, r.header.Get("Location"))
	}
}

func TestClientCredentials(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		claims := func(access string) map[string]any {
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(access, ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]any{}
			if err := json.Unmarshal(payload, &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		r := s.machine("service", serviceSecret)
		c := claims(r.str("access_token"))
		if c["sub"] != "service" || c["client_id"] != "service" || c["caller"] != "client" || c["scope"] != "securitysystem.read customer.read" ||
			c["roles"] != nil || c["sid"] != nil || r.str("id_token") != "" || r.str("refresh_token") != "" || r.str("token_type") != "Bearer" {
			t.Errorf("%v", c)
		}
		if c["name"] != "Service" {
			t.Errorf("an application's token says that its name is %v", c["name"])
		}
		w := claims(s.machine("customer", serviceSecret).str("access_token"))
		if w["caller"] != "workload" || w["sub"] != "customer" || w["client_id"] != "customer" {
			t.Errorf("%v", w)
		}
		for _, name := range []string{"sid", "auth_time", "name", "email", "roles", "act"} {
			if w[name] != nil {
				t.Errorf("a part's own token has %s: %v", name, w)
			}
		}
		narrowed := s.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"},
			"scope": {"customer.read"}, "resource": {"urn:realguardio:customer"}})
		if n := claims(narrowed.str("access_token")); n["scope"] != "customer.read" || n["aud"].([]any)[0] != "urn:realguardio:customer" {
			t.Errorf("%v", n)
		}
		u := claims(s.tokens().str("access_token"))
		for _, name := range []string{"sid", "gid", "auth_time", "name", "email", "roles"} {
			if u[name] == nil {
				t.Errorf("a person's token lacks %s: %v", name, u)
			}
		}
	})
}

func TestThePasswordGrantIsOptIn(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}, "scope": {"openid email"}})
		if r.status != http.StatusOK || r.str("id_token") == "" || r.str("refresh_token") == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if !s.logs.contains("deprecated") {
			t.Error("nothing is logged about it")
		}
		grants := func() []any { return s.get("/.well-known/openid-configuration").json["grant_types_supported"].([]any) }
		if !slices.Contains(grants(), "password") {
			t.Errorf("discovery: %v", grants())
		}
		if _, err := s.db.Exec(t.Context(), `DELETE FROM clients WHERE id = 'trusted'`); err != nil {
			t.Fatal(err)
		}
		s = begin(t, st, "127.0.0.1:0", s.clock, s.logs)
		if slices.Contains(grants(), "password") {
			t.Errorf("discovery when no client may: %v", grants())
		}
	})
}

func TestAPasswordHashIsUpgradedAtLogin(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		old, err := password.New(password.Params{MemoryKiB: 32, Iterations: 2, Parallelism: 1}, 1).Hash(t.Context(), alicePassword)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET password_hash = $1`, old); err != nil {
			t.Fatal(err)
		}
		s.tokens()
		var now string
		if err := s.db.QueryRow(t.Context(), `SELECT password_hash FROM users`).Scan(&now); err != nil || !strings.Contains(now, "m=64,t=1,p=1") {
			t.Errorf("%s, %v", now, err)
		}
		s.tokens()
	})
}

func TestBootstrap(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		s := start(t, stores{open, miniredis.RunT(t).Addr()})
		ctx := t.Context()
		if demo, err := s.HasDemoPassword(ctx); err != nil || demo {
			t.Fatalf("%v, %v", demo, err)
		}
		spec := token.UserSpec{Email: "demo@acme.example", Name: "Demo", Password: token.DemoPassword, Roles: []string{"A_B", "AxC"}}
		id, made, err := s.EnsureUser(ctx, spec)
		if err != nil || !made {
			t.Fatal(made, err)
		}
		spec.Roles, spec.Email = []string{"B"}, "DEMO@acme.example"
		if again, made, err := s.EnsureUser(ctx, spec); err != nil || made || again != id {
			t.Errorf("again: %s %v %v", again, made, err)
		}
		if demo, err := s.HasDemoPassword(ctx); err != nil || !demo {
			t.Errorf("%v, %v", demo, err)
		}
		if _, found, err := s.RegisteredClient(ctx, "made"); err != nil || found {
			t.Errorf("a client that is not there: %v, %v", found, err)
		}
		client := token.ClientSpec{ID: "made", Name: "Made", Grants: []string{"client_credentials"}, Scopes: []string{"customer.read"}}
		secret, err := s.EnsureClient(ctx, client)
		if err != nil || secret == "" {
			t.Fatal(err)
		}
		s.logs.secret(secret)
		if known, found, err := s.RegisteredClient(ctx, "made"); err != nil || !found || !known.HasSecret(secret) || known.HasSecret("another") || known.HasSecret("") {
			t.Errorf("the client that was made: %v, %v", found, err)
		}
		client.Name = "Renamed"
		if again, err := s.EnsureClient(ctx, client); err != nil || again != "" {
			t.Errorf("again: a new secret, %v", err)
		}
		if r := s.machine("made", secret); r.status != http.StatusOK {
			t.Errorf("the secret was lost: %d", r.status)
		}
		client.RedirectURIs = []string{"http://evil.example"}
		if _, err := s.EnsureClient(ctx, client); err == nil {
			t.Error("an invalid client was taken")
		}
	})
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := token.New(token.Config{Issuer: "http://id.example.com/"})
	for _, want := range []string{"DB", "Redis", "Logger", "Keys.Encryption", "Keys.MAC", "issuer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
	for _, issuer := range []string{"http://id.example.com", "ftp://x", "x", "https://u@x", "https://x/?a"} {
		if _, err := token.New(token.Config{Issuer: issuer}); !strings.Contains(err.Error(), "issuer") {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// TestCookiesUnderHTTPS asks the handler as a proxy that ends TLS would.
func TestCookiesUnderHTTPS(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		cfg := s.config()
		cfg.Issuer = "https://id.example.com"
		secure, err := token.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		secure.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, asks("web", webCallback), nil))
		cookies := w.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d %v", w.Code, cookies)
		}
		c := cookies[0]
		if c.Name != "__Host-rgt_browser" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%v", c)
		}
		if w.Header().Get("Strict-Transport-Security") == "" {
			t.Error("browsers are not told to keep to https")
		}
	})
}

// TestUnfinishedSignInsAreBounded fills the counter as a flood would.
func TestUnfinishedSignInsAreBounded(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if err := s.redis.Set(t.Context(), "rgt:{attempts}:login:127.0.0.1", 5000, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		r := s.get(asks("web", webCallback))
		if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
			t.Errorf("%d", r.status)
		}
		if kept, err := s.redis.Keys(t.Context(), "rgt:login:*").Result(); err != nil || len(kept) != 0 {
			t.Errorf("kept %v, %v", kept, err)
		}
	})
}

// TestTheFirstStartIsQuick makes both keys.
func TestTheFirstStartIsQuick(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if _, err := s.db.Exec(t.Context(), `DELETE FROM signing_keys`); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := token.New(s.config()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 10*time.Second { // half a second, alone on the machine
			t.Errorf("took %v", took)
		}
	})
}
