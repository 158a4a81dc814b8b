package mesh_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func expiredCertificate(t *testing.T, iss *meshtest.Issuer) tls.Certificate {
	t.Helper()
	return iss.CA.Issue(t, &x509.Certificate{
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		URIs: []*url.URL{{Scheme: "spiffe", Host: mesh.TrustDomain, Path: "/customer"}},
	})
}

func TestTLSFilesThatCannotBeUsedAreNamed(t *testing.T) {
	ca, dir := meshtest.NewCA(t), t.TempDir()
	good := ca.Files(t, dir, "customer")
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := ca.Files(t, dir, "other")
	for _, tt := range []struct {
		name  string
		files mesh.TLSFiles
		want  string
	}{
		{name: "no CA", files: mesh.TLSFiles{Cert: good.Cert, Key: good.Key}, want: "CA file is missing"},
		{name: "no key", files: mesh.TLSFiles{CA: good.CA, Cert: good.Cert}, want: "Key file is missing"},
		{name: "a CA that is not there", files: mesh.TLSFiles{CA: "/nowhere/ca.pem", Cert: good.Cert, Key: good.Key}, want: "/nowhere/ca.pem"},
		{name: "a CA without certificate", files: mesh.TLSFiles{CA: empty, Cert: good.Cert, Key: good.Key}, want: "no certificate"},
		{name: "a key of another", files: mesh.TLSFiles{CA: good.CA, Cert: good.Cert, Key: other.Key}, want: "does not match"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for side, make := range map[string]func() (*tls.Config, error){"server": tt.files.Server, "client": tt.files.Client} {
				if _, err := make(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want %q", side, err, tt.want)
				}
			}
		})
	}
}

func TestACertificateIsRenewedWithoutARestart(t *testing.T) {
	ca, dir := meshtest.NewCA(t), t.TempDir()
	files := ca.Files(t, dir, "customer")
	config, err := files.Server()
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		t.Helper()
		pair, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	first := serial()
	if serial() != first {
		t.Error("it changes by itself")
	}
	ca.Files(t, dir, "customer")
	later := time.Now().Add(time.Minute)
	for _, f := range []string{files.Cert, files.Key} {
		if err := os.Chtimes(f, later, later); err != nil {
			t.Fatal(err)
		}
	}
	second := serial()
	if second == first {
		t.Error("the old one stays in use")
	}
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if serial() != second {
		t.Error("the last one is lost with its file")
	}
}

func TestFilesMakeAMesh(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	server, err := iss.CA.Files(t, t.TempDir(), "echo").Server()
	if err != nil {
		t.Fatal(err)
	}
	client, err := iss.CA.Files(t, t.TempDir(), "customer").Client()
	if err != nil {
		t.Fatal(err)
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.TLS = server }},
		(&echo{unary: whoami}).register)
	conn, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, TLS: client, Propagation: mesh.AsService(iss.Source(t, "customer"))})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := say(t.Context(), conn, "Internal", ""); err != nil || got != "workload customer" {
		t.Errorf("got %q, %v", got, err)
	}
}

// renewed marks files as written later, whatever the clock of the file system can tell apart.
func renewed(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		later := info.ModTime().Add(time.Minute)
		if err := os.Chtimes(f, later, later); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, to string, from ...string) {
	t.Helper()
	var all []byte
	for _, f := range from {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	if err := os.WriteFile(to, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAnAuthorityIsReplacedWithoutARestart walks through the replacement of an authority as operators do it. At every
// step new connections are made between the parts, and at the end what the old one has issued is refused on both sides.
func TestAnAuthorityIsReplacedWithoutARestart(t *testing.T) {
	iss, next := meshtest.NewIssuer(t), meshtest.NewCA(t)
	dir, newDir, oldDir := t.TempDir(), t.TempDir(), t.TempDir()
	files := map[string]mesh.TLSFiles{"echo": iss.CA.Files(t, dir, "echo"), "customer": iss.CA.Files(t, dir, "customer")}
	ca := files["echo"].CA
	old, fresh := iss.CA.Files(t, oldDir, "customer"), next.Files(t, newDir, "customer")
	oldServer, err := old.Server()
	if err != nil {
		t.Fatal(err)
	}
	oldClient, err := old.Client()
	if err != nil {
		t.Fatal(err)
	}
	lines := &logs{}
	withLog := files["echo"]
	withLog.Logger = lines.logger()
	server, err := withLog.Server()
	if err != nil {
		t.Fatal(err)
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.TLS = server }},
		(&echo{unary: whoami}).register)
	dial := func(cfg mesh.DialConfig) error {
		t.Helper()
		cfg.Propagation = mesh.Anonymous()
		conn, err := mesh.Dial(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = say(t.Context(), conn, "Open", "")
		return err
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"with the first authority", func() {}},
		{"with both authorities", func() { copyFile(t, ca, fresh.CA, old.CA); renewed(t, ca) }},
		{"with the server's certificate of the next", func() {
			pair := next.Files(t, newDir, "echo")
			copyFile(t, files["echo"].Cert, pair.Cert)
			copyFile(t, files["echo"].Key, pair.Key)
			renewed(t, files["echo"].Cert, files["echo"].Key)
		}},
		{"with the client's as well", func() {
			copyFile(t, files["customer"].Cert, fresh.Cert)
			copyFile(t, files["customer"].Key, fresh.Key)
		}},
		{"with an authority's file that is broken for a while", func() {
			if err := os.WriteFile(ca, []byte("half a file"), 0o600); err != nil {
				t.Fatal(err)
			}
			renewed(t, ca)
		}},
		{"with the next authority alone", func() { copyFile(t, ca, fresh.CA); renewed(t, ca) }},
	} {
		step.do()
		source := mesh.TLSSource(files["customer"])
		if strings.Contains(step.name, "broken") {
			source = fresh // a client that starts then needs a file of its own
		}
		if err := dial(mesh.DialConfig{Target: srv.Addr, TLSSource: source}); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if got := strings.Count(lines.String(), "TLS files cannot be used"); got != 1 {
		t.Errorf("the broken file was reported %d times:\n%s", got, lines)
	}
	oldClient.RootCAs = nil
	oldClient.InsecureSkipVerify = true // it is the server that has to refuse
	if err := dial(mesh.DialConfig{Target: srv.Addr, TLS: oldClient}); status.Code(err) != codes.Unavailable {
		t.Errorf("the server takes a client of the old authority: %v", err)
	}
	oldServer.GetConfigForClient, oldServer.ClientAuth = nil, tls.NoClientCert
	imposter := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.TLS = oldServer }},
		(&echo{unary: whoami}).register)
	if err := dial(mesh.DialConfig{Target: imposter.Addr, TLSSource: files["customer"]}); status.Code(err) != codes.Unavailable {
		t.Errorf("the client takes a server of the old authority: %v", err)
	}
}

// TestAConnectionFollowsItsFiles shows that a connection that exists reconnects by what the files hold then.
func TestAConnectionFollowsItsFiles(t *testing.T) {
	iss, next := meshtest.NewIssuer(t), meshtest.NewCA(t)
	dir := t.TempDir()
	files := iss.CA.Files(t, dir, "customer")
	serve := func(ca *meshtest.CA, lis net.Listener) (stop func()) {
		server, err := mesh.NewServer(mesh.ServerConfig{
			Name: "echo", TLS: ca.Server(t, "echo"), Verifier: iss.Verifier(t, "echo"), Revocations: mesh.NoRevocations(), Logger: meshtest.Logger(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		(&echo{unary: whoami}).register(server)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- server.Serve(ctx, lis) }()
		return func() { cancel(); <-done }
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(iss.CA, lis)
	conn, err := mesh.Dial(mesh.DialConfig{Target: lis.Addr().String(), TLSSource: files, Propagation: mesh.Anonymous()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := say(t.Context(), conn, "Open", ""); err != nil {
		t.Fatal(err)
	}
	stop()
	next.Files(t, dir, "customer")
	if lis, err = net.Listen("tcp", lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	defer serve(next, lis)()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = conn.Invoke(ctx, "/test.mesh.v1.Echo/Open", newNote("").Message, newNote("").Message, grpc.WaitForReady(true))
	if err != nil {
		t.Errorf("it did not come back on the next authority: %v", err)
	}
}

func TestTheFormOfWorkloadIDsIsExact(t *testing.T) {
	for _, tt := range []struct {
		name, form, id, want string
	}{
		{name: "the default", form: "spiffe://realguardio/{part}", id: "spiffe://realguardio/customer", want: "customer"},
		{name: "a namespace and an account", form: "spiffe://cluster.local/ns/alarms/sa/{part}", id: "spiffe://cluster.local/ns/alarms/sa/customer", want: "customer"},
		{name: "a prefix of the account", form: "spiffe://cluster.local/ns/alarms/sa/rg-{part}", id: "spiffe://cluster.local/ns/alarms/sa/rg-customer", want: "customer"},
		{name: "something after it", form: "spiffe://cluster.local/{part}/prod", id: "spiffe://cluster.local/customer/prod", want: "customer"},
		{name: "another namespace", form: "spiffe://cluster.local/ns/alarms/sa/{part}", id: "spiffe://cluster.local/ns/evil/sa/customer"},
		{name: "a deeper path", form: "spiffe://cluster.local/ns/alarms/sa/{part}", id: "spiffe://cluster.local/ns/alarms/sa/customer/x"},
		{name: "a path that only ends so", form: "spiffe://cluster.local/sa/{part}", id: "spiffe://cluster.local/ns/evil/sa/customer"},
		{name: "an account without the prefix", form: "spiffe://cluster.local/sa/rg-{part}", id: "spiffe://cluster.local/sa/customer"},
		{name: "no name", form: "spiffe://cluster.local/sa/rg-{part}", id: "spiffe://cluster.local/sa/rg-"},
		{name: "what overlaps", form: "spiffe://cluster.local/a{part}a", id: "spiffe://cluster.local/a"},
		{name: "a step up", form: "spiffe://cluster.local/{part}", id: "spiffe://cluster.local/.."},
		{name: "another domain", form: "spiffe://cluster.local/{part}", id: "spiffe://realguardio/customer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids, err := mesh.ParseWorkloadIDs(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			uri, err := url.Parse(tt.id)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := ids.Name(&x509.Certificate{URIs: []*url.URL{uri}})
			if ok != (tt.want != "") || ok && (got != tt.want || ids.ID(got) != tt.id) {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
	for _, form := range []string{
		"", "realguardio/{part}", "spiffe://realguardio", "spiffe://realguardio/customer", "spiffe://{part}/x", "spiffe:///{part}",
		"spiffe://Realguardio/{part}", "spiffe://realguardio:1/{part}", "spiffe://realguardio/{part}/{part}", "spiffe://realguardio/{part}/",
		"spiffe://realguardio//{part}", "spiffe://realguardio/../{part}", "spiffe://realguardio/{part}?x", "spiffe://realguardio/a%2F{part}",
	} {
		if _, err := mesh.ParseWorkloadIDs(form); err == nil {
			t.Errorf("%q is accepted", form)
		}
	}
}

func TestACertificateNamesAWorkloadInOneFormOnly(t *testing.T) {
	for _, tt := range []struct {
		name string
		uris []string
		want string
	}{
		{name: "one path element", uris: []string{"spiffe://realguardio/customer"}, want: "customer"},
		{name: "no URI"},
		{name: "two URIs", uris: []string{"spiffe://realguardio/customer", "spiffe://realguardio/gateway"}},
		{name: "another domain", uris: []string{"spiffe://evil/customer"}},
		{name: "a domain with a port", uris: []string{"spiffe://realguardio:1/customer"}},
		{name: "another scheme", uris: []string{"https://realguardio/customer"}},
		{name: "no path", uris: []string{"spiffe://realguardio"}},
		{name: "an empty name", uris: []string{"spiffe://realguardio/"}},
		{name: "a deeper path", uris: []string{"spiffe://realguardio/ns/customer"}},
		{name: "an escaped slash", uris: []string{"spiffe://realguardio/a%2Fcustomer"}},
		{name: "a query", uris: []string{"spiffe://realguardio/customer?x"}},
		{name: "a fragment", uris: []string{"spiffe://realguardio/customer#x"}},
		{name: "a user", uris: []string{"spiffe://x@realguardio/customer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert := &x509.Certificate{}
			for _, u := range tt.uris {
				parsed, err := url.Parse(u)
				if err != nil {
					t.Fatal(err)
				}
				cert.URIs = append(cert.URIs, parsed)
			}
			if got, ok := (mesh.WorkloadIDs{}).Name(cert); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, ok, tt.want)
			}
		})
	}
}
