package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLSFiles are the PEM files by which a part proves itself and knows the others. The certificate and its key are read
// again when they change, so that they can be renewed without a restart; the CA is not.
type TLSFiles struct {
	// CA has the certificates of the authorities that others' certificates must come from.
	CA string
	// Cert and Key are the part's own. Its DNS names are what others dial; its one URI is spiffe://<domain>/<part>.
	Cert, Key string
}

// Server returns TLS 1.3 that demands a certificate of the CA from each client.
func (f TLSFiles) Server() (*tls.Config, error) {
	pool, pair, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() },
	}, nil
}

// Client returns TLS 1.3 that shows the part's certificate, and trusts servers of the CA for the name dialled.
func (f TLSFiles) Client() (*tls.Config, error) {
	pool, pair, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		RootCAs:              pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get() },
	}, nil
}

func (f TLSFiles) load() (*x509.CertPool, *keyPair, error) {
	for name, file := range map[string]string{"CA": f.CA, "Cert": f.Cert, "Key": f.Key} {
		if file == "" {
			return nil, nil, fmt.Errorf("mesh: TLS: %s file is missing", name)
		}
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, nil, fmt.Errorf("mesh: TLS: read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("mesh: TLS: no certificate in CA file %s", f.CA)
	}
	pair := &keyPair{cert: f.Cert, key: f.Key}
	if _, err := pair.get(); err != nil {
		return nil, nil, err
	}
	return pool, pair, nil
}

// keyPair is a certificate that follows its files.
type keyPair struct {
	cert, key string

	mu      sync.Mutex
	loaded  *tls.Certificate
	written [2]time.Time
}

// get returns the certificate as it stands in the files. While they cannot be read, or do not fit each other because
// only one of them was replaced yet, the last that did stays in use.
func (p *keyPair) get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written, err := p.modified()
	if err == nil && p.loaded != nil && written == p.written {
		return p.loaded, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(p.cert, p.key); err == nil {
			p.loaded, p.written = &pair, written
		}
	}
	if p.loaded == nil {
		return nil, fmt.Errorf("mesh: TLS: read certificate: %w", err)
	}
	return p.loaded, nil
}

func (p *keyPair) modified() ([2]time.Time, error) {
	c, errCert := os.Stat(p.cert)
	k, errKey := os.Stat(p.key)
	if err := errors.Join(errCert, errKey); err != nil {
		return [2]time.Time{}, err
	}
	return [2]time.Time{c.ModTime(), k.ModTime()}, nil
}
