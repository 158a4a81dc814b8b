// Package authority is a certificate authority for development: it makes the certificates by which the parts know each
// other, in one folder. Production brings its own (a mesh, a secret manager, cert-manager); nothing else depends on this
// one.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 30 * 24 * time.Hour
)

// Authority signs certificates. It is not safe for concurrent use.
type Authority struct {
	dir  string
	now  func() time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open returns the authority kept in dir, made at the first call.
func Open(dir string, now func() time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of certificates: %w", err)
	}
	a := &Authority{dir: dir, now: now}
	cert, key, err := readPair(a.CAFile(), filepath.Join(dir, "ca-key.pem"))
	switch {
	case err == nil && now().Add(leafLifetime).Before(cert.NotAfter):
		a.cert, a.key = cert, key
		return a, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot read the development authority: %w", err)
	}
	return a, a.create()
}

// CAFile is what a verifier trusts.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, "ca.pem") }

func (a *Authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of the development authority: %w", err)
	}
	template := a.template("RealGuardIO development CA", authorityLifetime)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a.cert, a.key = template, key
	cert, err := a.sign(template, key)
	if err != nil {
		return err
	}
	a.cert = cert
	return writePair(a.CAFile(), filepath.Join(a.dir, "ca-key.pem"), cert, key)
}

// Issue returns the certificate of a part: valid for localhost, the part's name and hosts (names or addresses), as a
// server and as a client. It is kept in the folder and made anew when it ends soon, was signed by another authority or
// lacks a host.
func (a *Authority) Issue(part string, hosts ...string) (mesh.TLSFiles, error) {
	files := mesh.TLSFiles{CA: a.CAFile(), Cert: filepath.Join(a.dir, part+".pem"), Key: filepath.Join(a.dir, part+"-key.pem")}
	hosts = append([]string{"localhost", "127.0.0.1", "::1", part}, hosts...)
	if cert, _, err := readPair(files.Cert, files.Key); err == nil && a.stillGood(cert, hosts) {
		return files, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return mesh.TLSFiles{}, fmt.Errorf("make the key of %s: %w", part, err)
	}
	template := a.template(part, leafLifetime)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: mesh.TrustDomain, Path: "/" + part}}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := a.sign(template, key)
	if err != nil {
		return mesh.TLSFiles{}, err
	}
	return files, writePair(files.Cert, files.Key, cert, key)
}

func (a *Authority) stillGood(cert *x509.Certificate, hosts []string) bool {
	if cert.CheckSignatureFrom(a.cert) != nil || a.now().Add(renewBefore).After(cert.NotAfter) {
		return false
	}
	for _, host := range hosts {
		if cert.VerifyHostname(host) != nil {
			return false
		}
	}
	return true
}

func (a *Authority) template(name string, life time.Duration) *x509.Certificate {
	now := a.now()
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"RealGuardIO development"}, CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks of other machines may be behind
		NotAfter:     now.Add(life),
	}
}

func (a *Authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// serial is 120 random bits (RFC 5280, section 4.1.2.2: positive, at most 20 octets).
func serial() *big.Int {
	var b [15]byte
	rand.Read(b[:])
	return new(big.Int).SetBytes(b[:])
}
