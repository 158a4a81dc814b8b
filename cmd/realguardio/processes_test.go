package main_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
)

// binary is the program, built once.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("realguardio-test-%d", os.Getpid()))
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if config := os.Getenv(verifiersEnv); config != "" {
		os.Exit(serveVerifiers(config))
	}
	code := m.Run()
	os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("realguardio-test-%d", os.Getpid())))
	os.RemoveAll(pristineFolder)
	os.Exit(code)
}

var parts = []string{"token", "customer", "securitysystem", "notification", "gateway"}

// cluster is five processes on real stores, set up by hand as the manual says.
type cluster struct {
	*stand
	redis *process
	part  map[string]*process
	// second is another replica of the security system service, which the gateway knows of and a test may start, and
	// secondOps where its operations would be.
	second    *process
	secondOps string
}

// startCluster sets an installation up and starts its parts. proof has the settings by which a part proves itself, more
// further lines of settings by part.
func startCluster(t *testing.T, proof func(t *testing.T, dir, part string) string, more map[string]string) *cluster {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	_, postgres := startPostgres(t)
	c := &cluster{part: map[string]*process{}}
	var redis string
	c.redis, redis = startRedis(t)
	file := readyfile.File{CAFile: dir + "/ca.pem", ClientCertFile: dir + "/client.pem", ClientKeyFile: dir + "/client-key.pem", GRPC: map[string]string{}, Ops: map[string]string{}}
	var config strings.Builder
	fmt.Fprintf(&config, "insecure-plaintext: true\nredis-url: redis://%s\nlog-level: warn\n", redis)
	second, secondOps := freeAddress(t), freeAddress(t)
	for _, part := range parts {
		grpc, ops := freeAddress(t), freeAddress(t)
		file.GRPC[part], file.Ops[part] = grpc, "http://"+ops
		switch part {
		case "gateway":
		case "securitysystem":
			fmt.Fprintf(&config, "%s-address: %s,%s\n", part, grpc, second)
		default:
			fmt.Fprintf(&config, "%s-address: %s\n", part, grpc)
		}
		fmt.Fprintf(&config, "%s:\n  grpc-listen: %s\n  ops-listen: %s\n%s  client-secret-file: %s/secrets/%s-client-secret\n",
			part, grpc, ops, proof(t, dir, part), dir, part)
		switch part {
		case "token":
			http := freeAddress(t)
			file.Issuer = "http://" + http
			fmt.Fprintf(&config, "  http-listen: %s\n  key-encryption-key-file: %s/kek\n  token-mac-key-file: %s/mac\n", http, dir, dir)
		case "gateway":
			http := freeAddress(t)
			file.Gateway = "https://" + http
			fmt.Fprintf(&config, "  http-listen: %s\n  public-url: https://%s\n  session-key-file: %s/session\n  web-client-secret-file: %s/secrets/realguardio-web-client-secret\n  public-cert-file: %s/gateway.pem\n  public-key-file: %s/gateway-key.pem\n", http, http, dir, dir, dir, dir)
		case "notification":
			fmt.Fprintf(&config, "  smtp-address: 127.0.0.1:25\n  smtp-tls: none\n  mail-from: alarm@realguardio.example\n")
		}
		if part != "gateway" {
			fmt.Fprintf(&config, "  database-url: %s&schema=%s\n", postgres, part)
		}
		config.WriteString(more[part])
	}
	fmt.Fprintf(&config, "issuer: %s\n", file.Issuer)
	settings := filepath.Join(dir, "realguardio.yaml")
	if err := os.WriteFile(settings, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	file.Users = []readyfile.User{c.setUp(t, path, settings, dir, file.Gateway)}
	ready := filepath.Join(dir, "ready.json")
	if err := readyfile.Write(ready, file); err != nil {
		t.Fatal(err)
	}
	c.stand = loadStand(t, ready)
	for _, part := range slices.Backward(parts) { // the gateway first: the order must not matter
		c.part[part] = newProcess(t, part, func() *exec.Cmd { return exec.Command(path, "serve", part, "--config", settings) })
		c.part[part].start(t)
	}
	c.secondOps = "http://" + secondOps
	c.second = newProcess(t, "second securitysystem", func() *exec.Cmd {
		return exec.Command(path, "serve", "securitysystem", "--config", settings, "--grpc-listen", second, "--ops-listen", secondOps)
	})
	for _, part := range parts {
		c.ready(t, part)
	}
	return c
}

// setUp makes the first admin.
func (c *cluster) setUp(t *testing.T, path, settings, dir, public string) readyfile.User {
	t.Helper()
	admin := readyfile.User{Username: "ada@example.com", Password: "correct horse battery staple"}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(admin.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // repeating it changes nothing
		out, err := exec.Command(path, "setup", "--config", settings, "--public-url", public, "--out-dir", dir+"/secrets",
			"--admin-email", admin.Username, "--admin-name", "Ada Quinn", "--admin-password-file", password).CombinedOutput()
		if err != nil {
			t.Fatalf("setup: %v\n%s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), "platform admin "+admin.Username+" (")
		admin.Sub, _, _ = strings.Cut(rest, ")")
	}
	return admin
}

// ready waits until a part says that it is.
func (c *cluster) ready(t *testing.T, part string) {
	t.Helper()
	c.readyAt(t, part, c.Ops[part])
}

func (c *cluster) readyAt(t *testing.T, what, ops string) {
	t.Helper()
	eventually(t, what+" is ready", func() error {
		a, err := try(t.Context(), c.http, http.MethodGet, ops+"/readyz", nil)
		if err == nil && a.status != http.StatusOK {
			err = problem("%d %s", a.status, a.body)
		}
		return err
	})
}

// reconnected waits until the security system service reaches the customer service: a create asks there about the
// location, and only there can it be known that this one does not exist. It changes nothing. A list would not do: what a
// platform admin may see needs no question to anybody.
func (c *cluster) reconnected(t *testing.T, token string) {
	t.Helper()
	nowhere := map[string]string{"locationId": "loc_" + strings.Repeat("0", 26)}
	eventually(t, "the security system service reaches the customer service", func() error {
		a, err := try(t.Context(), c.http, http.MethodPost, c.Gateway+"/api/v1/securitysystems", nowhere, bearer(token))
		if err == nil && a.status != http.StatusNotFound {
			err = problem("%d %s", a.status, a.body)
		}
		return err
	})
}

func (c *cluster) restart(t *testing.T, part string) {
	t.Helper()
	c.part[part].stop(t, syscall.SIGTERM)
	c.part[part].start(t)
	c.ready(t, part)
}

// TestSeparateProcesses runs every part as a process of its own on PostgreSQL and Redis, and takes one after the other
// away.
func TestSeparateProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	c := startCluster(t, byFiles, map[string]string{"customer": "  max-calls: 900\n  max-streams: 9000\n", "gateway": "  max-calls: 800\n"})
	browser := c.signIn(t, "ada")
	proof := func(r *http.Request) { r.Header.Set("X-CSRF-Token", c.csrfToken(t, browser)) }
	session := func(t *testing.T, want int, method, path string, body any) answer {
		t.Helper()
		a := call(t, browser, method, c.Gateway+path, body, proof)
		if a.status != want {
			t.Fatalf("%s %s answered %d, want %d\n%s", method, path, a.status, want, a.body)
		}
		return a
	}
	var made struct {
		Client       struct{ ClientID string }
		ClientSecret string
	}
	session(t, http.StatusCreated, http.MethodPost, "/api/v1/clients", map[string]any{
		"name": "Script", "grantTypes": []string{"password"}, "firstParty": true, "accessTokenLifetime": "3600s",
		"scopes": []string{"customer.read", "customer.write", "securitysystem.read", "securitysystem.write", "securitysystem.arm", "securitysystem.disarm", "notification.read"},
	}).decode(t, &made)
	ada := c.user(t, "ada")
	token := c.token(t, remote.Credentials{ClientID: made.Client.ClientID, ClientSecret: made.ClientSecret, Username: ada.Username, Password: ada.Password})

	var customer, oakland, berkeley struct{ ID string }
	session(t, http.StatusCreated, http.MethodPost, "/api/v1/customers", map[string]string{"name": "Example", "adminEmail": ada.Username, "adminName": "Ada Quinn"}).decode(t, &customer)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/customers/"+customer.ID+"/locations", map[string]string{"name": "Oakland"}, bearer(token)).decode(t, &oakland)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/customers/"+customer.ID+"/locations", map[string]string{"name": "Berkeley"}, bearer(token)).decode(t, &berkeley)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/securitysystems", map[string]string{"locationId": oakland.ID}, bearer(token))

	still := func(t *testing.T) {
		t.Helper()
		if got := names(c.systems(t, bearer(token))); !slices.Equal(got, []string{"Oakland"}) {
			t.Errorf("the token of before sees %v", got)
		}
		session(t, http.StatusOK, http.MethodGet, "/api/v1/securitysystems", nil)
	}
	t.Run("everything works", still)

	t.Run("the limits of a part are those of its settings", func(t *testing.T) {
		for part, limits := range map[string][]string{
			"customer": {"mesh_calls_limit 900", "mesh_streams_limit 9000"}, "gateway": {"mesh_calls_limit 800", "mesh_streams_limit 10000"},
			"securitysystem": {"mesh_calls_limit 1000"},
		} {
			shown := string(call(t, c.http, http.MethodGet, c.Ops[part]+"/metrics", nil).body)
			for _, limit := range limits {
				if !strings.Contains(shown, "\n"+limit+"\n") {
					t.Errorf("%s does not say %s", part, limit)
				}
			}
		}
	})

	t.Run("with the token service stopped, valid tokens are still accepted", func(t *testing.T) {
		c.part["token"].stop(t, syscall.SIGTERM)
		still(t)
		for _, part := range []string{"gateway", "securitysystem"} {
			list, err := securitysystemv1.NewSecuritySystemServiceClient(c.dial(t, part)).ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
			if err != nil || len(list.GetSecuritySystems()) != 1 {
				t.Errorf("gRPC of %s: %v, %v", part, list, err)
			}
		}
		c.ready(t, "gateway")
		c.part["token"].start(t)
		c.ready(t, "token")
	})

	t.Run("with Redis stopped, the gateway answers 503 to sessions, lets nobody in, and recovers by itself", func(t *testing.T) {
		c.redis.stop(t, syscall.SIGTERM)
		session503 := call(t, browser, http.MethodGet, c.Gateway+"/api/v1/securitysystems", nil)
		if session503.status != http.StatusServiceUnavailable {
			t.Errorf("a session answered %d\n%s", session503.status, session503.body)
		}
		c.api(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/securitysystems", nil)
		c.systems(t, bearer(token)) // has no session to look up
		if a := call(t, c.http, http.MethodGet, c.Ops["gateway"]+"/readyz", nil); a.status != http.StatusServiceUnavailable {
			t.Errorf("readiness answered %d\n%s", a.status, a.body)
		}
		c.redis.start(t)
		eventually(t, "the session works again", func() error {
			if a := call(t, browser, http.MethodGet, c.Gateway+"/api/v1/securitysystems", nil); a.status != http.StatusOK {
				return problem("%d %s", a.status, a.body)
			}
			return nil
		})
		c.ready(t, "gateway")
	})

	t.Run("with the customer service stopped, a create answers 503 and nothing is half-made", func(t *testing.T) {
		c.part["customer"].stop(t, syscall.SIGTERM)
		c.api(t, http.StatusServiceUnavailable, http.MethodPost, "/api/v1/securitysystems", map[string]string{"locationId": berkeley.ID}, bearer(token))
		c.part["customer"].start(t)
		c.ready(t, "customer")
		c.reconnected(t, token)
		still(t)
		// Had the refused one left anything behind, this would be 409.
		c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/securitysystems", map[string]string{"locationId": berkeley.ID}, bearer(token))
	})

	t.Run("with any other part stopped, the rest answers what does not need it", func(t *testing.T) { checkAlone(t, c, token) })

	for _, part := range parts {
		t.Run("restarting "+part+" keeps everything, and tokens and sessions of before stay valid", func(t *testing.T) {
			c.restart(t, part)
			eventually(t, "the others find it again", func() error {
				a := call(t, browser, http.MethodGet, c.Gateway+"/api/v1/securitysystems", nil)
				if a.status != http.StatusOK {
					return problem("%d %s", a.status, a.body)
				}
				return nil
			})
			if got := names(c.systems(t, bearer(token))); !slices.Equal(got, []string{"Berkeley", "Oakland"}) {
				t.Errorf("the token of before sees %v", got)
			}
		})
	}
}

// checkAlone holds a part stopped, one after the other, and asks the others.
func checkAlone(t *testing.T, c *cluster, token string) {
	list := func(part string) error {
		_, err := securitysystemv1.NewSecuritySystemServiceClient(c.dial(t, part)).ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
		return err
	}
	for _, one := range []struct {
		part string
		rest func()
	}{
		{"notification", func() {
			c.systems(t, bearer(token))
			c.api(t, http.StatusOK, http.MethodGet, "/api/v1/customers", nil, bearer(token))
			c.api(t, http.StatusServiceUnavailable, http.MethodGet, "/api/v1/notifications", nil, bearer(token))
		}},
		{"securitysystem", func() {
			c.api(t, http.StatusOK, http.MethodGet, "/api/v1/customers", nil, bearer(token))
			c.api(t, http.StatusServiceUnavailable, http.MethodGet, "/api/v1/securitysystems", nil, bearer(token))
		}},
		{"gateway", func() {
			if err := list("securitysystem"); err != nil {
				t.Errorf("the security system service itself: %v", err)
			}
		}},
	} {
		c.part[one.part].stop(t, syscall.SIGTERM)
		one.rest()
		c.part[one.part].start(t)
		c.ready(t, one.part)
		eventually(t, one.part+" is found again", func() error { return list("gateway") })
	}
}
