package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/cli"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/signin"
)

// TestLoginOnTheCommandLine is the device grant (RFC 8628) from the command line: it waits while a person approves it in a
// browser elsewhere, its tokens are renewed and used by the other commands, and logging out ends them.
func TestLoginOnTheCommandLine(t *testing.T) {
	s := startDev(t, "--ephemeral")
	logins := filepath.Join(t.TempDir(), "config", "logins.json")
	args := []string{"--ready-file", s.path, "--login-file", logins}
	out := &lines{}
	done := make(chan int, 1)
	go func() {
		done <- cli.Main(t.Context(), cli.World{Args: append([]string{"realguardio", "login"}, args...), Stdout: out, Stderr: out})
	}()
	var code string
	eventually(t, "the code is shown", func() error {
		m := regexp.MustCompile(`Open (\S+) and type the code (\S+)`).FindStringSubmatch(out.String())
		if m == nil || m[1] != s.Issuer+"/device" {
			return fmt.Errorf("output: %s", out)
		}
		code = m[2]
		return nil
	})
	s.connect(t, "alice", code)
	if exit := <-done; exit != 0 || !strings.Contains(out.String(), "Signed in as alice@acme.example at "+s.Issuer) {
		t.Fatalf("exit code %d: %s", exit, out)
	}
	info, err := os.Stat(logins)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if folder, err := os.Stat(filepath.Dir(logins)); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder %v, %v", folder.Mode(), err)
	}

	access := s.accessToken(t, args)
	if s.subjectOf(t, access) != s.user(t, "alice").Sub {
		t.Error("the token is not alice's")
	}
	if again := s.accessToken(t, args); again != access {
		t.Error("a token that is good yet was renewed")
	}
	// Without a sign-in this is the demo's admin, who may.
	if exit, _, stderr := run(t, nil, append([]string{"clients", "list"}, args...)...); exit != 1 || !strings.Contains(stderr, "cannot list the clients") {
		t.Errorf("alice lists clients: exit code %d, %s", exit, stderr)
	}
	if exit, stdout, stderr := run(t, nil, append([]string{"access-token", "--client", "demo-service"}, args...)...); exit != 0 || strings.TrimSpace(stdout) == access {
		t.Errorf("a client that was named: exit code %d, %s", exit, stderr)
	}

	expire(t, logins)
	renewed := s.accessToken(t, args)
	if renewed == access || s.subjectOf(t, renewed) != s.user(t, "alice").Sub {
		t.Error("the token was not renewed")
	}
	expire(t, logins)
	if again := s.accessToken(t, args); again == renewed {
		t.Error("what was renewed was not kept")
	}

	if exit, stdout, stderr := run(t, nil, append([]string{"logout"}, args...)...); exit != 0 || !strings.Contains(stdout, "Signed out alice@acme.example") {
		t.Fatalf("logging out: exit code %d: %s%s", exit, stdout, stderr)
	}
	eventually(t, "the tokens have ended everywhere", func() error {
		if a := call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, bearer(renewed)); a.status != http.StatusUnauthorized {
			return fmt.Errorf("answered %d", a.status)
		}
		return nil
	})
	if exit, stdout, _ := run(t, nil, append([]string{"logout"}, args...)...); exit != 0 || !strings.Contains(stdout, "Nobody is signed in") {
		t.Errorf("again: exit code %d: %s", exit, stdout)
	}
}

// TestASignInThatHasEnded says so, and what to do.
// TestNobodyIsSignedIn: who calls an installation of their own for the first time is told how to begin.
func TestNobodyIsSignedIn(t *testing.T) {
	t.Chdir(t.TempDir())
	at := []string{"--issuer", "http://127.0.0.1:1", "--gateway", "http://127.0.0.1:1"}
	for _, args := range [][]string{{"users", "list"}, append([]string{"users", "list"}, at...), append([]string{"sessions", "list"}, at...)} {
		exit, stdout, stderr := run(t, nil, append(args, "--login-file", "logins.json")...)
		if exit != 2 || stdout != "" || !strings.Contains(stderr, "nobody is signed in: run realguardio login first") {
			t.Errorf("%v: exit code %d: %s", args, exit, stderr)
		}
	}
}

func TestASignInThatHasEnded(t *testing.T) {
	s := startDev(t, "--ephemeral")
	logins := filepath.Join(t.TempDir(), "logins.json")
	stale := signin.Login{Issuer: s.Issuer, Gateway: s.Gateway, CAFile: s.CAFile, ClientID: "realguardio-cli", Username: "alice@acme.example", RefreshToken: "ended"}
	if err := signin.File(logins).Put(stale); err != nil {
		t.Fatal(err)
	}
	exit, _, stderr := run(t, nil, "access-token", "--login-file", logins, "--ready-file", s.path)
	if exit != 1 || !strings.Contains(stderr, "the sign-in of alice@acme.example has ended: realguardio login starts another") {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
	exit, _, stderr = run(t, nil, "logout", "--login-file", logins, "--issuer", "http://127.0.0.1:1")
	if exit != 0 {
		t.Errorf("another issuer: exit code %d: %s", exit, stderr)
	}
}

// TestASignInGoesWhereItWasMadeFor: the file that a folder happens to have does not send somebody's tokens elsewhere.
func TestASignInGoesWhereItWasMadeFor(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	logins := filepath.Join(dir, "logins.json")
	login := signin.Login{Issuer: "http://issuer.example", Gateway: "http://127.0.0.1:1", ClientID: "realguardio-cli", AccessToken: "mine", Expires: time.Now().Add(time.Hour)}
	if err := signin.File(logins).Put(login); err != nil {
		t.Fatal(err)
	}
	received := 0
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		received++
		w.WriteHeader(http.StatusTeapot)
	}))
	defer thief.Close()
	if err := os.Mkdir(".realguardio", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := readyfile.Write(".realguardio/demo.json", readyfile.File{Issuer: login.Issuer, Gateway: thief.URL}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--issuer", login.Issuer}} {
		exit, _, stderr := run(t, nil, append([]string{"clients", "list", "--login-file", logins}, args...)...)
		if exit != 1 || !strings.Contains(stderr, "127.0.0.1:1 cannot be reached") {
			t.Errorf("%v: exit code %d: %s", args, exit, stderr)
		}
	}
	if received != 0 {
		t.Error("the folder's gateway was sent something")
	}
	if exit, _, _ := run(t, nil, "clients", "list", "--login-file", logins, "--gateway", thief.URL); exit != 1 || received != 1 {
		t.Errorf("a gateway that was named was called %d times", received)
	}
}

// connect approves a device in a browser, as a person.
func (s *stand) connect(t *testing.T, name, code string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: s.http.Transport, Jar: jar, Timeout: patience}
	hidden := regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`)
	visit := func(path string, form url.Values, more ...string) url.Values {
		t.Helper()
		method, body := http.MethodGet, ""
		if form != nil {
			for i := 0; i < len(more); i += 2 {
				form.Set(more[i], more[i+1])
			}
			method, body = http.MethodPost, form.Encode()
		}
		request, err := http.NewRequestWithContext(t.Context(), method, s.Issuer+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.Header.Set("Origin", s.Issuer)
		}
		response, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		page, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v\n%s", path, response.StatusCode, err, page)
		}
		fields := url.Values{}
		for _, m := range hidden.FindAllStringSubmatch(string(page), -1) {
			fields.Set(m[1], m[2])
		}
		return fields
	}
	user := s.user(t, name)
	visit("/login", visit("/device", nil), "username", user.Username, "password", user.Password)
	visit("/device/answer", visit("/device", url.Values{}, "user_code", code), "decision", "allow")
}

func (s *stand) accessToken(t *testing.T, args []string) string {
	t.Helper()
	exit, stdout, stderr := run(t, nil, append([]string{"access-token"}, args...)...)
	if exit != 0 {
		t.Fatalf("exit code %d: %s", exit, stderr)
	}
	return strings.TrimSpace(stdout)
}

func (s *stand) subjectOf(t *testing.T, access string) string {
	t.Helper()
	a := call(t, s.http, http.MethodGet, s.Issuer+"/oauth2/userinfo", nil, bearer(access))
	var who struct{ Sub string }
	if err := json.Unmarshal(a.body, &who); err != nil || a.status != http.StatusOK {
		t.Fatalf("UserInfo answered %d %s", a.status, a.body)
	}
	return who.Sub
}

// expire makes the access token that is kept one that has expired.
func expire(t *testing.T, path string) {
	t.Helper()
	login, found, err := signin.File(path).Find("")
	if err != nil || !found {
		t.Fatalf("no sign-in: %v", err)
	}
	login.Expires = time.Now()
	if err := signin.File(path).Put(login); err != nil {
		t.Fatal(err)
	}
}
