package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/database"
	"github.com/realguardio/realguardio/services/token"
)

const (
	issuerApp      = "app"
	issuerSecret   = "rgs_the-application-of-these-tests"
	issuerCallback = "https://app.example.com/callback"
	issuerPerson   = "grace@example.com"
	issuerPassword = "correct horse battery staple"
	pkceVerifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// issuers are processes of the token service, and of nothing else, on one database and one Redis.
type issuers struct {
	t   *testing.T
	dir string
	// issuer is the URL that all of them go by, as if a load balancer was there.
	issuer string
	each   []*issuer
	// db is the database that they share, for looking at what they wrote.
	db *database.DB
	// secrets are those of the parts; key is that of the client keyholder.
	secrets assembly.Secrets
	key     *ecdsa.PrivateKey
	http    *http.Client
}

// issuer is one of them.
type issuer struct {
	*process
	url, grpc, ops string
}

// startIssuers starts n processes on a database and a Redis, with an application and a person.
func startIssuers(t *testing.T, n int, databaseURL, redis string) *issuers {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &issuers{t: t, dir: folder(t), http: &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 100},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(s.http.CloseIdleConnections)
	for range n {
		s.each = append(s.each, &issuer{url: "http://" + freeAddress(t), grpc: freeAddress(t), ops: freeAddress(t)})
	}
	s.issuer = s.each[0].url
	s.seed(databaseURL)
	config := fmt.Sprintf("insecure-plaintext: true\ninsecure-embedded-store: true\nissuer: %s\nredis-url: redis://%s\ndatabase-url: %s\nlog-level: warn\n"+
		"mesh-ca-file: %[4]s/ca.pem\nmesh-cert-file: %[4]s/token.pem\nmesh-key-file: %[4]s/token-key.pem\n"+
		"client-secret-file: %[4]s/token-client-secret\nkey-encryption-key-file: %[4]s/kek\ntoken-mac-key-file: %[4]s/mac\n",
		s.issuer, redis, databaseURL, s.dir)
	settings := filepath.Join(s.dir, "token.yaml")
	if err := os.WriteFile(settings, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, one := range s.each {
		one.process = newProcess(t, fmt.Sprint("token ", i), func() *exec.Cmd {
			return exec.Command(path, "serve", "token", "--config", settings, "--http-listen", strings.TrimPrefix(one.url, "http://"),
				"--grpc-listen", one.grpc, "--token-address", one.grpc, "--ops-listen", one.ops)
		})
		one.start(t)
	}
	for _, one := range s.each {
		s.ready(one)
	}
	return s
}

// seed registers what the tests work with, as `realguardio setup` does: on the database, before anything serves it.
func (s *issuers) seed(databaseURL string) {
	s.t.Helper()
	kek, err := keyfile.Read(s.dir + "/kek")
	if err != nil {
		s.t.Fatal(err)
	}
	mac, err := keyfile.Read(s.dir + "/mac")
	if err != nil {
		s.t.Fatal(err)
	}
	registry, err := assembly.OpenRegistry(s.t.Context(), assembly.TokenConfig{KeyEncryptionKey: kek, MACKey: mac, Environment: assembly.Environment{
		Log: slog.New(slog.DiscardHandler), Now: time.Now, DatabaseURL: databaseURL, Migrate: true,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer registry.Close()
	if s.secrets, err = registry.EnsureClients(s.t.Context(), s.dir, "https://app.example.com"); err != nil {
		s.t.Fatal(err)
	}
	if _, err := registry.EnsureClient(s.t.Context(), token.ClientSpec{
		ID: issuerApp, Name: "Application", Secret: issuerSecret, FirstParty: true, RedirectURIs: []string{issuerCallback},
		Grants: []string{"authorization_code", "refresh_token", "client_credentials", "password", "urn:ietf:params:oauth:grant-type:device_code"},
		Scopes: []string{"openid", "profile", "email", "offline_access", "securitysystem.read", "admin", "account.read", "account.write"},
	}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := registry.EnsureClient(s.t.Context(), token.ClientSpec{
		ID: "keyholder", Name: "Application with a key", JWKS: s.makeKey(), Grants: []string{"client_credentials"}, Scopes: []string{"customer.read"},
	}); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := registry.EnsureUser(s.t.Context(), token.UserSpec{
		Email: issuerPerson, Name: "Grace", Password: issuerPassword, Roles: []string{assembly.AdminRole},
	}); err != nil {
		s.t.Fatal(err)
	}
	if s.db, err = database.Open(s.t.Context(), databaseURL); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.db.Close() })
	// The next keys have been published for long enough to sign.
	if _, err := s.db.Exec(s.t.Context(), `UPDATE signing_keys SET created_at = created_at - $1`, time.Hour.Microseconds()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *issuers) ready(one *issuer) {
	s.t.Helper()
	eventually(s.t, one.name+" is ready", func() error {
		a, err := try(s.t.Context(), s.http, http.MethodGet, "http://"+one.ops+"/readyz", nil)
		if err == nil && a.status != http.StatusOK {
			err = problem("%d %s", a.status, a.body)
		}
		return err
	})
}

// killAll ends all of them without asking, and starts them again.
func (s *issuers) killAll() {
	s.t.Helper()
	for _, one := range s.each {
		one.kill(s.t)
	}
	s.http.CloseIdleConnections()
	for _, one := range s.each {
		one.start(s.t)
	}
	for _, one := range s.each {
		s.ready(one)
	}
}

// kill ends a child that cannot do anything about it.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.running.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", p.name, err)
	}
	_ = p.running.Wait() // says that it was killed
	p.running = nil
}

// reply is an answer of one of them, with its JSON read.
type reply struct {
	answer
	json map[string]any
}

func (r reply) str(name string) string { v, _ := r.json[name].(string); return v }

// post posts a form in the name of the application, or of whom with says.
func (s *issuers) post(ctx context.Context, at *issuer, path string, form url.Values, with ...as) (reply, error) {
	a, err := submit(ctx, s.http, at.url+path, form, append([]as{basic(issuerApp, issuerSecret)}, with...)...)
	out := reply{answer: a}
	_ = json.Unmarshal(a.body, &out.json) // what is no JSON has no members
	return out, err
}

// submit posts a form, as a page of whom it is sent to would.
func submit(ctx context.Context, client *http.Client, to string, form url.Values, with ...as) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	for _, w := range with {
		w(r)
	}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: body}, err
}

// token asks the token endpoint and demands an answer, not a success.
func (s *issuers) token(t *testing.T, at *issuer, form url.Values) reply {
	t.Helper()
	r, err := s.post(t.Context(), at, "/oauth2/token", form)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *issuers) refresh(t *testing.T, at *issuer, refreshToken string) reply {
	t.Helper()
	return s.token(t, at, renews(refreshToken))
}

func renews(refreshToken string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
}

func redeems(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {issuerCallback}, "code_verifier": {pkceVerifier}}
}

// authorizes is an authorization request of the application.
func authorizes() string {
	return asks(issuerApp, issuerCallback, "openid profile admin account.read account.write")
}

func asks(client, redirect, scope string) string {
	sum := sha256.Sum256([]byte(pkceVerifier))
	return "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "scope": {scope}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// browser keeps cookies, which go to all of them: cookies ignore ports.
func (s *issuers) browser() *http.Client {
	jar, _ := cookiejar.New(nil) // fails never
	return &http.Client{Transport: s.http.Transport, Jar: jar, Timeout: patience, CheckRedirect: s.http.CheckRedirect}
}

// authorize takes a browser through an authorization request, by the forms and redirects of the pages, and returns the
// code that the application gets. The person signs in where that is asked, and agrees.
func (s *issuers) authorize(ctx context.Context, browser *http.Client, at *issuer, request string) (string, error) {
	here, err := url.Parse(at.url + request)
	if err != nil {
		return "", err
	}
	for range 8 {
		a, err := try(ctx, browser, http.MethodGet, here.String(), nil, accepting("text/html"))
		if err == nil && a.status == http.StatusOK {
			form := url.Values{"username": {issuerPerson}, "password": {issuerPassword}, "decision": {"allow"}}
			for _, field := range hidden.FindAllSubmatch(a.body, -1) {
				form.Set(string(field[1]), string(field[2]))
			}
			a, err = submit(ctx, browser, at.url+here.Path, form)
		}
		if err == nil && a.status/100 != 3 {
			err = fmt.Errorf("%s: %d %s", here.Path, a.status, a.body)
		}
		if err != nil {
			return "", err
		}
		if here, err = here.Parse(a.header.Get("Location")); err != nil {
			return "", err
		}
		if code := here.Query().Get("code"); code != "" {
			return code, nil
		}
	}
	return "", fmt.Errorf("no code, but %s", here)
}

// code is authorize for the application.
func (s *issuers) code(t *testing.T, browser *http.Client, at *issuer) string {
	t.Helper()
	code, err := s.authorize(t.Context(), browser, at, authorizes())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// tokens signs the person in and redeems the code.
func (s *issuers) tokens(t *testing.T, at *issuer) reply {
	t.Helper()
	r := s.token(t, at, redeems(s.code(t, s.browser(), at)))
	if r.status != http.StatusOK {
		t.Fatalf("redeeming a code: %d %s", r.status, r.body)
	}
	return r
}

// dial connects to the gRPC port of one of them as a part of the mesh.
func (s *issuers) dial(t *testing.T, at *issuer, part string) *grpc.ClientConn {
	t.Helper()
	config, err := mesh.TLSFiles{CA: s.dir + "/ca.pem", Cert: s.dir + "/" + part + ".pem", Key: s.dir + "/" + part + "-key.pem"}.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(at.grpc, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
