// Package proxy_test runs oauth2-proxy, as others built it, between a browser and an application, with RealGuardIO as the
// identity provider. There is no code of ours in it: the example is oauth2-proxy.cfg.
package proxy_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.org/stand"
)

// behind is an application behind the proxy.
type behind struct {
	*stand.Stand
	address string       // of the proxy
	reached atomic.Int64 // how many requests came through
}

// start puts the proxy in front of an application that answers with what it is told about its caller. It ends with t.
func start(t *testing.T, flags ...string) *behind {
	t.Helper()
	b := &behind{Stand: stand.Open(t)}
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.reached.Add(1)
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(application.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	b.address = "http://" + listener.Addr().String()
	client := b.Register(t, "--grant", "authorization_code,refresh_token", "--scope", "openid,profile,email,offline_access",
		"--redirect-uri", b.address+"/oauth2/callback", "--first-party")
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// The proxy takes over the socket, as from systemd, so that it need not be told a port that is hopefully free.
	executable, err := program()
	if err != nil {
		t.Fatal("building oauth2-proxy: ", err)
	}
	proxy := exec.Command("sh", append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh", executable, "--http-address", "fd:3",
		"--config", "oauth2-proxy.cfg", "--oidc-issuer-url", b.Issuer, "--redirect-url", b.address + "/oauth2/callback",
		"--upstream", application.URL, "--client-id", client.ID, "--cookie-secure=false",
		"--backend-logout-url", b.Issuer + "/oauth2/logout?id_token_hint={id_token}"}, flags...)...)
	proxy.ExtraFiles = []*os.File{socket}
	proxy.Env = append(os.Environ(), "OAUTH2_PROXY_CLIENT_SECRET="+client.Secret, "OAUTH2_PROXY_COOKIE_SECRET=0123456789abcdef0123456789abcdef")
	proxy.Stdout, proxy.Stderr = t.Output(), t.Output()
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Signal(syscall.SIGTERM)
		_ = proxy.Wait() // it was told to
	})
	return b
}

// program is the path of oauth2-proxy, built from the version that go.mod names, unless it was before.
var program = sync.OnceValues(func() (string, error) {
	path, err := exec.Command("go", "tool", "-n", "oauth2-proxy").Output()
	return strings.TrimSpace(string(path)), err
})

// told is what the application was told, if page is its answer.
func told(t *testing.T, page *stand.Page) http.Header {
	t.Helper()
	var header http.Header
	if err := json.Unmarshal([]byte(page.Text), &header); err != nil {
		t.Fatalf("at %s, status %d, and not at the application:\n%s", page.URL, page.Status, page.Text)
	}
	return header
}

// asked tells whether page asks for a password, at the provider.
func (b *behind) asked(page *stand.Page) bool {
	return strings.HasPrefix(page.URL.String(), b.Issuer+"/login?") && strings.Contains(page.Text, `type="password"`)
}

func TestNobodyGetsInWithoutSigningIn(t *testing.T) {
	t.Parallel()
	b := start(t)
	if page := b.Person(t, "mary").Open(b.address + "/inside"); !b.asked(page) {
		t.Errorf("sent to %s", page.URL)
	}
	forged, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.address+"/inside", nil)
	if err != nil {
		t.Fatal(err)
	}
	forged.Header.Set("Accept", "application/json")
	forged.Header.Set("X-Forwarded-Email", "mary@acme.example")
	forged.AddCookie(&http.Cookie{Name: "_oauth2_proxy", Value: "forged"})
	response, err := http.DefaultClient.Do(forged)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a forged session is answered %s", response.Status)
	}
	if b.reached.Load() != 0 {
		t.Error("the application was reached")
	}
}

func TestTheApplicationIsToldWhoItIs(t *testing.T) {
	t.Parallel()
	b := start(t)
	mary := b.Person(t, "mary")
	page := mary.Open(b.address + "/inside?a=b").SignIn()
	if page.URL.String() != b.address+"/inside?a=b" {
		t.Errorf("arrived at %s", page.URL)
	}
	who, account := told(t, page), b.User(t, "mary")
	if who.Get("X-Forwarded-Email") != account.Username || who.Get("X-Forwarded-User") != account.Subject {
		t.Errorf("told %s, %s", who.Get("X-Forwarded-Email"), who.Get("X-Forwarded-User"))
	}
	// The token that it is given is hers.
	info, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.Issuer+"/oauth2/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	info.Header.Set("Authorization", "Bearer "+who.Get("X-Forwarded-Access-Token"))
	response, err := http.DefaultClient.Do(info)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var person struct{ Sub string }
	if err := json.NewDecoder(response.Body).Decode(&person); err != nil || person.Sub != account.Subject {
		t.Errorf("UserInfo: %s, %q, %v", response.Status, person.Sub, err)
	}
	// From here on the cookie is enough.
	if again := mary.Open(b.address + "/again"); told(t, again).Get("X-Forwarded-User") != account.Subject {
		t.Errorf("the session did not last")
	}
}

func TestRolesAreGroups(t *testing.T) {
	t.Parallel()
	b := start(t, "--allowed-group", "REALGUARDIO_ADMIN")
	if page := b.Person(t, "mary").Open(b.address).SignIn(); page.Status != http.StatusForbidden {
		t.Errorf("an employee is answered %d at %s", page.Status, page.URL)
	}
	if b.reached.Load() != 0 {
		t.Error("the application was reached")
	}
	if groups := told(t, b.Person(t, "admin").Open(b.address).SignIn()).Get("X-Forwarded-Groups"); groups != "REALGUARDIO_ADMIN" {
		t.Errorf("groups %q", groups)
	}
}

// TestASessionIsRefreshedUntilThePersonIsSignedOut has the proxy refresh every second, the shortest that it can.
func TestASessionIsRefreshedUntilThePersonIsSignedOut(t *testing.T) {
	t.Parallel()
	b := start(t, "--cookie-refresh", "1s", "--pass-authorization-header")
	mary := b.Person(t, "mary")
	first := told(t, mary.Open(b.address).SignIn())
	var idToken string
	eventually(t, func() bool {
		now := told(t, mary.Open(b.address))
		idToken = strings.TrimPrefix(now.Get("Authorization"), "Bearer ")
		return now.Get("X-Forwarded-Access-Token") != first.Get("X-Forwarded-Access-Token")
	})
	out := mary.Open(b.Issuer + "/oauth2/logout?" + url.Values{"id_token_hint": {idToken}}.Encode())
	if !strings.Contains(out.Text, "You are signed out") {
		t.Fatalf("at %s: %s", out.URL, out.Text)
	}
	eventually(t, func() bool { return b.asked(mary.Open(b.address)) })
}

// eventually waits for what only the passing of time brings about.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	patience, tick := time.After(15*time.Second), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-patience:
			t.Fatal("it never came about")
		case <-tick.C:
		}
	}
}

func TestSigningOutHereSignsOutThere(t *testing.T) {
	t.Parallel()
	b := start(t)
	mary := b.Person(t, "mary")
	told(t, mary.Open(b.address).SignIn())
	mary.Open(b.address + "/oauth2/sign_out?rd=/")
	if page := mary.Open(b.address); !b.asked(page) {
		t.Errorf("still signed in, at %s", page.URL)
	}
}
