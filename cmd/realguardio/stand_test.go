package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/cli"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/mesh"
)

// patience bounds every wait of these tests. It is long because the machine may be busy; nothing waits for it to pass.
const patience = 60 * time.Second

// stand is a running installation.
type stand struct {
	readyfile.File
	path string
	http *http.Client
	stop func() int
	// log is what `realguardio dev` has logged; nil for processes of their own.
	log *lines
}

// startDev runs `realguardio dev` in this process, on free ports, until the test ends or stop is called, which returns
// its exit code.
func startDev(t *testing.T, args ...string) *stand {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	ctx, cancel := context.WithCancel(context.Background())
	arguments := append([]string{"realguardio", "dev", "--random-ports", "--ready-file", ready}, args...)
	output, log := &lines{}, &lines{}
	done := make(chan int, 1)
	go func() { done <- cli.Main(ctx, cli.World{Args: arguments, Stdout: output, Stderr: log}) }()
	stop := sync.OnceValue(func() int {
		cancel()
		select {
		case code := <-done:
			return code
		case <-time.After(patience):
			t.Errorf("realguardio dev does not stop:\n%s", log)
			return -1
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("output of realguardio dev:\n%s%s", output, log)
		}
	})
	eventually(t, "realguardio dev is ready", func() error {
		select {
		case code := <-done:
			done <- code
			t.Fatalf("realguardio dev ended with %d:\n%s", code, log)
		default:
		}
		_, err := os.Stat(ready)
		return err
	})
	s := loadStand(t, ready)
	s.stop, s.log = stop, log
	return s
}

func loadStand(t *testing.T, ready string) *stand {
	t.Helper()
	file, err := readyfile.Read(ready)
	if err != nil {
		t.Fatal(err)
	}
	client, err := remote.NewHTTPClient(file.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return &stand{File: file, path: ready, http: client}
}

// eventually waits until try returns nil.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		case <-ticker.C:
		}
	}
}

// lines collects what a process prints.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// user is a demo account by the name before its @.
func (s *stand) user(t *testing.T, name string) readyfile.User {
	t.Helper()
	i := slices.IndexFunc(s.Users, func(u readyfile.User) bool { return strings.HasPrefix(u.Username, name+"@") })
	if i < 0 {
		t.Fatalf("the ready file has no user %s", name)
	}
	return s.Users[i]
}

// client is a demo client by its id, or by what its id starts with.
func (s *stand) client(t *testing.T, prefix string) readyfile.Client {
	t.Helper()
	i := slices.IndexFunc(s.Clients, func(c readyfile.Client) bool { return strings.HasPrefix(c.ID, prefix) })
	if i < 0 {
		t.Fatalf("the ready file has no client %s", prefix)
	}
	return s.Clients[i]
}

// tokenOf signs a demo account in by the password grant.
func (s *stand) tokenOf(t *testing.T, name string) string {
	t.Helper()
	trusted, user := s.client(t, "demo-trusted"), s.user(t, name)
	return s.token(t, remote.Credentials{ClientID: trusted.ID, ClientSecret: trusted.Secret, Username: user.Username, Password: user.Password})
}

func (s *stand) token(t *testing.T, c remote.Credentials) string {
	t.Helper()
	token, err := remote.Token(t.Context(), s.http, s.Issuer, c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("answer %d is not JSON: %v\n%s", a.status, err, a.body)
	}
}

// as adds credentials to a request.
type as func(*http.Request)

func bearer(token string) as {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func basic(user, password string) as {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func accepting(kind string) as { return func(r *http.Request) { r.Header.Set("Accept", kind) } }

// call makes one request with client, body as JSON unless nil.
func call(t *testing.T, client *http.Client, method, url string, body any, with ...as) answer {
	t.Helper()
	a, err := try(t.Context(), client, method, url, body, with...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(ctx context.Context, client *http.Client, method, url string, body any, with ...as) (answer, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, w := range with {
		w(request)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: read}, err
}

// api makes one request to the gateway and demands a status.
func (s *stand) api(t *testing.T, want int, method, path string, body any, with ...as) answer {
	t.Helper()
	a := call(t, s.http, method, s.Gateway+path, body, with...)
	if a.status != want {
		t.Fatalf("%s %s answered %d, want %d\n%s", method, path, a.status, want, a.body)
	}
	return a
}

// system is a security system as REST shows it.
type system struct {
	ID, LocationName, LocationID, CustomerID, State, Mode, Alarm, Etag string
	AllowedActions                                                     []string
	UpdatedBy                                                          struct{ ID, Name string }
}

// systems lists what REST shows to these credentials, by location name.
func (s *stand) systems(t *testing.T, with ...as) map[string]system {
	t.Helper()
	var list struct{ SecuritySystems []system }
	a := s.unhurried(t, restRoute{http.MethodGet, "/api/securitysystems"}, with...)
	if a.status != http.StatusOK {
		t.Fatalf("answered %d\n%s", a.status, a.body)
	}
	a.decode(t, &list)
	byName := map[string]system{}
	for _, one := range list.SecuritySystems {
		byName[one.LocationName] = one
	}
	return byName
}

func names[V any](m map[string]V) []string {
	all := []string{}
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// dial connects to a part over TLS: to the gateway as anybody would, to the others with the client certificate.
func (s *stand) dial(t *testing.T, part string) *grpc.ClientConn {
	t.Helper()
	config, err := mesh.TLSFiles{CA: s.CAFile, Cert: s.ClientCertFile, Key: s.ClientKeyFile}.Client()
	if err != nil {
		t.Fatal(err)
	}
	if part == "gateway" {
		config.GetClientCertificate = nil
	}
	conn, err := grpc.NewClient(s.GRPC[part], grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// browser is an HTTP client that keeps cookies and stops at redirects, so that a test sees each.
func (s *stand) browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: s.http.Transport, Jar: jar, Timeout: patience, CheckRedirect: s.http.CheckRedirect}
}

// get follows redirects one by one and returns the last answer with where it came from.
func follow(t *testing.T, client *http.Client, from string) (answer, *url.URL) {
	t.Helper()
	at, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		a := call(t, client, http.MethodGet, at.String(), nil, accepting("text/html"))
		if a.status/100 != 3 {
			return a, at
		}
		if at, err = at.Parse(a.header.Get("Location")); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("too many redirects from %s", from)
	return answer{}, nil
}

// post sends a form.
func post(t *testing.T, client *http.Client, to string, form url.Values, with ...as) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	target, _ := url.Parse(to)
	request.Header.Set("Origin", target.Scheme+"://"+target.Host)
	for _, w := range with {
		w(request)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}
}

// problem says why a condition does not hold, for [eventually].
func problem(format string, args ...any) error { return fmt.Errorf(format, args...) }
