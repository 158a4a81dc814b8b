package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/authority"
	"github.com/realguardio/realguardio/mesh"
)

func open(t *testing.T, dir string, now func() time.Time) *authority.Authority {
	t.Helper()
	a, err := authority.Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *authority.Authority, part string, hosts ...string) *x509.Certificate {
	t.Helper()
	files, err := a.Issue(part, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestCertificatesNameThePartAndWhereItIs(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, time.Now)
	cert := issue(t, a, "customer", "customer.example", "10.0.0.7")
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "customer", "customer.example", "10.0.0.7"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if name, ok := (mesh.WorkloadIDs{}).Name(cert); !ok || name != "customer" {
		t.Errorf("names the workload %q", name)
	}
	pem, err := os.ReadFile(a.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			t.Error(err)
		}
	}
	for _, secret := range []string{"ca-key.pem", "customer-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, secret)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", secret, info.Mode(), err)
		}
	}
}

func TestWhatIsStillGoodIsKept(t *testing.T) {
	dir := t.TempDir()
	first := issue(t, open(t, dir, time.Now), "token")
	if again := issue(t, open(t, dir, time.Now), "token"); !again.Equal(first) {
		t.Error("a good certificate was replaced")
	}
	if wider := issue(t, open(t, dir, time.Now), "token", "id.example"); wider.VerifyHostname("id.example") != nil {
		t.Error("a new host is not in the certificate")
	}
	later := func() time.Time { return time.Now().Add(350 * 24 * time.Hour) }
	if renewed := issue(t, open(t, dir, later), "token", "id.example"); !renewed.NotAfter.After(later().Add(300 * 24 * time.Hour)) {
		t.Errorf("not renewed before its end: %v", renewed.NotAfter)
	}
}

func TestACertificateOfAnotherAuthorityIsReplaced(t *testing.T) {
	dir := t.TempDir()
	first := issue(t, open(t, dir, time.Now), "token")
	for _, file := range []string{"ca.pem", "ca-key.pem"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	if again := issue(t, open(t, dir, time.Now), "token"); again.Equal(first) {
		t.Error("kept a certificate that nobody trusts any more")
	}
}
