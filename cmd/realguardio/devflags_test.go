package main_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
)

func TestDevWithTLSSpeaksHTTPSToEverybody(t *testing.T) {
	s := startDev(t, "--ephemeral", "--tls")
	if !strings.HasPrefix(s.Gateway, "https://") || !strings.HasPrefix(s.Issuer, "https://") {
		t.Fatalf("gateway %s, issuer %s", s.Gateway, s.Issuer)
	}
	browser := s.signIn(t, "mary")
	a := call(t, browser, http.MethodGet, s.Gateway+"/api/securitysystems", nil)
	if a.status != http.StatusOK || !strings.Contains(string(a.body), "Oakland") || a.header.Get("Strict-Transport-Security") != "" {
		t.Errorf("answered %d %v\n%s", a.status, a.header, a.body)
	}
	t.Run("a client shows its certificate", s.clientShowsCertificate)
}

// clientShowsCertificate gets a token by the certificate of the ready file, where programs are asked for one and browsers are not.
func (s *stand) clientShowsCertificate(t *testing.T) {
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	name := "spiffe://realguardio/client"
	runJSON(t, &made, s.here("clients", "create", "--name", "Reports", "--grant", "client_credentials", "--scope", "customer.read",
		"--tls-san-uri", name, "--certificate-bound")...)
	var kept struct {
		URI   string `json:"tlsClientAuthSanUri"`
		Bound bool   `json:"tlsClientCertificateBoundAccessTokens"`
	}
	runJSON(t, &kept, s.here("clients", "get", made.ID)...)
	if made.Secret != "" || kept.URI != name || !kept.Bound {
		t.Errorf("made %+v, kept %+v", made, kept)
	}
	var said struct {
		Token   string `json:"token_endpoint"`
		Aliases struct {
			Token string `json:"token_endpoint"`
		} `json:"mtls_endpoint_aliases"`
	}
	pair, err := tls.LoadX509KeyPair(s.ClientCertFile, s.ClientKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	config, err := assembly.Trusting(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { asked++; return &pair, nil }
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	t.Cleanup(client.CloseIdleConnections)
	call(t, client, http.MethodGet, s.Issuer+"/.well-known/openid-configuration", nil).decode(t, &said)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {made.ID}}
	for at, want := range map[string]int{said.Token: http.StatusUnauthorized, said.Aliases.Token: http.StatusOK} {
		response, err := client.PostForm(at, form)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s answers %d %s", at, response.StatusCode, body)
		}
	}
	if asked != 1 {
		t.Errorf("asked for a certificate %d times", asked)
	}
}

func TestDevWithoutDemoKnowsNobody(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, "--data-dir", dir, "--no-demo")
	if len(s.Users)+len(s.Clients)+len(s.APIKeys) != 0 {
		t.Errorf("the ready file has %+v %+v %+v", s.Users, s.Clients, s.APIKeys)
	}
	if _, err := os.Stat(filepath.Join(dir, "demo.json")); !os.IsNotExist(err) {
		t.Errorf("demo.json: %v", err)
	}
	s.api(t, http.StatusUnauthorized, http.MethodGet, "/api/securitysystems", nil)
}

func TestADataFolderIsUsedByOneAtATime(t *testing.T) {
	dir := t.TempDir()
	startDev(t, "--data-dir", dir, "--no-demo")
	stale := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(stale, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run(t, nil, "dev", "--data-dir", dir, "--random-ports", "--ready-file", stale)
	if code != 1 || !strings.Contains(stderr, "is in use by another realguardio dev") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("a stale ready file was left: %v", err)
	}
}

func TestDevOnRealStores(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	dir := t.TempDir()
	_, postgres := startPostgres(t)
	_, redis := startRedis(t)
	args := []string{"--data-dir", dir, "--postgres-url", postgres, "--redis-url", "redis://" + redis}
	s := startDev(t, args...)
	before := s.APIKeys
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	s = startDev(t, args...)
	if !slices.Equal(before, s.APIKeys) {
		t.Errorf("API keys %v became %v", before, s.APIKeys)
	}
	if got := names(s.systems(t, bearer(s.tokenOf(t, "admin")))); !slices.Equal(got, []string{"Berkeley", "Hayward", "Oakland", "Springfield"}) {
		t.Errorf("the admin sees %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "customer.db")); !os.IsNotExist(err) {
		t.Errorf("an SQLite file beside PostgreSQL: %v", err)
	}
}

// TestBanner starts the binary as a person would and runs what it prints.
func TestBanner(t *testing.T) {
	if testing.Short() {
		t.Skip("needs curl")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready.json")
	p := newProcess(t, "realguardio dev", func() *exec.Cmd {
		return exec.Command(path, "dev", "--random-ports", "--data-dir", filepath.Join(filepath.Dir(ready), "a folder"), "--ready-file", ready)
	})
	started := time.Now()
	p.start(t)
	eventually(t, "it is ready", func() error {
		_, err := os.Stat(ready)
		return err
	})
	t.Logf("ready after %v", time.Since(started))
	eventually(t, "the banner is there", func() error {
		if !strings.Contains(p.output.String(), "Ctrl-C stops it.") {
			return problem("not yet:\n%s", p.output)
		}
		return nil
	})
	pasted := 0
	for line := range strings.Lines(p.output.String()) {
		command := strings.TrimSpace(line)
		if !strings.HasPrefix(command, "curl ") && !strings.HasPrefix(command, path) {
			continue
		}
		pasted++
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(command, "curl ", "curl -sS --fail ")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Oakland") && !strings.Contains(string(out), `"messages"`) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if pasted != 3 {
		t.Errorf("the banner has %d commands:\n%s", pasted, p.output)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.running.Process.Pid) + "/status")
	if err == nil { // Linux
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil || kilobytes > 150<<10 {
			t.Errorf("resident memory: %d kB, %v", kilobytes, err)
		}
		t.Logf("resident: %d MB", kilobytes>>10)
	}
	p.stop(t, syscall.SIGINT)
	if _, err := os.Stat(ready); !os.IsNotExist(err) {
		t.Errorf("the ready file is still there: %v", err)
	}
}
