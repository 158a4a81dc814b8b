package meshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// CA issues certificates of a trust domain that lasts for a test.
type CA struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

// NewCA makes a certificate authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{key: newKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "meshtest CA"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	ca.cert = ca.sign(t, template, template, ca.key.Public())
	ca.pool.AddCert(ca.cert)
	return ca
}

// Certificate issues a certificate to part: it speaks for localhost and for the part's name, and names the workload
// spiffe://realguardio/<part>.
func (ca *CA) Certificate(t testing.TB, part string) tls.Certificate {
	t.Helper()
	return ca.Issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: part},
		URIs:    []*url.URL{{Scheme: "spiffe", Host: mesh.TrustDomain, Path: "/" + part}},
	}, part)
}

// Issue issues a certificate after template, for localhost and names. It is for certificates that something is wrong
// with.
func (ca *CA) Issue(t testing.TB, template *x509.Certificate, names ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template.DNSNames = append([]string{"localhost"}, names...)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert := ca.sign(t, template, ca.cert, key.Public())
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// Server is mutual TLS for a server that is part.
func (ca *CA) Server(t testing.TB, part string) *tls.Config {
	t.Helper()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{ca.Certificate(t, part)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.pool,
	}
}

// Client is TLS for a client that shows the certificate of part, or none where part is empty.
func (ca *CA) Client(t testing.TB, part string) *tls.Config {
	t.Helper()
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.pool}
	if part != "" {
		c.Certificates = []tls.Certificate{ca.Certificate(t, part)}
	}
	return c
}

// Files writes a certificate of part, its key and the CA into dir.
func (ca *CA) Files(t testing.TB, dir, part string) mesh.TLSFiles {
	t.Helper()
	pair := ca.Certificate(t, part)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatalf("encode key: %v", err)
	}
	files := mesh.TLSFiles{
		CA:   filepath.Join(dir, "ca.pem"),
		Cert: filepath.Join(dir, part+".pem"),
		Key:  filepath.Join(dir, part+".key"),
	}
	write(t, files.CA, "CERTIFICATE", ca.cert.Raw)
	write(t, files.Cert, "CERTIFICATE", pair.Certificate[0])
	write(t, files.Key, "PRIVATE KEY", key)
	return files
}

func (ca *CA) sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("choose serial: %v", err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, ca.key)
	if err != nil {
		t.Fatalf("sign certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("parse certificate: %v", err)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("generate key: %v", err)
	}
	return key
}

func write(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatalf("write %s: %v", file, err)
	}
}
