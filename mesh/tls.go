package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"google.golang.org/grpc/credentials"
)

// TLSFiles are the PEM files by which a part proves itself and knows the others. All are read again when they change, so
// that certificates and authorities can be replaced without a restart: each new connection goes by what is in them then.
// While a file cannot be used, or a certificate and its key do not fit each other because only one of them was replaced
// yet, the last that could stays in use.
type TLSFiles struct {
	// CA has the certificates of the authorities that others' certificates must come from. To change an authority, add
	// the new one, replace the certificates, and remove the old one.
	CA string
	// Cert and Key are the part's own. Its DNS names are what others dial; its one URI is its SPIFFE id.
	Cert, Key string
	// Logger is told of files that cannot be used. Default: nobody.
	Logger *slog.Logger
}

// Server returns TLS 1.3 that demands a certificate of the CA from each client. Sessions are not resumed, so that no
// client comes back on a certificate that would not be accepted any more.
func (f TLSFiles) Server() (*tls.Config, error) {
	authorities, pair, err := f.load()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              authorities.get(),
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get(), nil },
		SessionTicketsDisabled: true,
	}
	now := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := now.Clone()
		c.ClientCAs = authorities.get()
		return c, nil
	}
	return config, nil
}

// Client returns TLS 1.3 that shows the part's certificate, and trusts servers of the CA, as it is now, for the name
// dialled. A connection that is to follow its changes has these files as [DialConfig.TLSSource].
func (f TLSFiles) Client() (*tls.Config, error) {
	opened, err := f.open()
	if err != nil {
		return nil, err
	}
	return opened.Client()
}

// openFiles are files that were read, and are read again when they have changed.
type openFiles struct {
	authorities *followed[*x509.CertPool]
	pair        *followed[*tls.Certificate]
}

func (f TLSFiles) open() (openFiles, error) {
	authorities, pair, err := f.load()
	return openFiles{authorities, pair}, err
}

func (o openFiles) Client() (*tls.Config, error) {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		RootCAs:              o.authorities.get(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.pair.get(), nil },
	}, nil
}

func (f TLSFiles) load() (*followed[*x509.CertPool], *followed[*tls.Certificate], error) {
	for name, file := range map[string]string{"CA": f.CA, "Cert": f.Cert, "Key": f.Key} {
		if file == "" {
			return nil, nil, fmt.Errorf("mesh: TLS: %s file is missing", name)
		}
	}
	authorities, err := follow(f.Logger, f.readCA, f.CA)
	if err != nil {
		return nil, nil, err
	}
	pair, err := follow(f.Logger, f.readPair, f.Cert, f.Key)
	return authorities, pair, err
}

func (f TLSFiles) readCA() (*x509.CertPool, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("mesh: TLS: read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("mesh: TLS: no certificate in CA file %s", f.CA)
	}
	return pool, nil
}

func (f TLSFiles) readPair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("mesh: TLS: read certificate: %w", err)
	}
	return &pair, nil
}

// newTLS is c, with TLS 1.3 where it does not say which version.
func newTLS(c *tls.Config) credentials.TransportCredentials {
	if c.MinVersion == 0 {
		c = c.Clone()
		c.MinVersion = tls.VersionTLS13
	}
	return credentials.NewTLS(c)
}
