package mesh_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
			if got, ok := mesh.WorkloadName(cert, "realguardio"); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, ok, tt.want)
			}
		})
	}
}
