package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

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
	authorities, pair, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		RootCAs:              authorities.get(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get(), nil },
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

// followed is what some files hold, read again when they have changed.
type followed[T any] struct {
	files []string
	read  func() (T, error)
	log   *slog.Logger

	mu      sync.Mutex
	value   T
	written []stamp
	problem string
}

// stamp is what tells one version of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

func follow[T any](log *slog.Logger, read func() (T, error), files ...string) (*followed[T], error) {
	f := &followed[T]{files: files, read: read, log: log}
	written, err := f.stamps()
	if err == nil {
		f.value, err = read()
	} else {
		_, err = read() // which says better what is wrong
	}
	f.written = written
	return f, err
}

// get returns what the files hold, or held when they could last be used.
func (f *followed[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	written, err := f.stamps()
	if err == nil && slices.Equal(written, f.written) {
		return f.value
	}
	if err == nil {
		var value T
		if value, err = f.read(); err == nil {
			f.value, f.written = value, written
		}
	}
	f.report(err)
	return f.value
}

// report logs a problem once.
func (f *followed[T]) report(err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != "" && problem != f.problem && f.log != nil {
		f.log.Error("TLS files cannot be used; the last that could stay in use", slog.String("error", problem))
	}
	f.problem = problem
}

func (f *followed[T]) stamps() ([]stamp, error) {
	stamps := make([]stamp, 0, len(f.files))
	for _, file := range f.files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, stamp{info.ModTime(), info.Size()})
	}
	return stamps, nil
}

// TLSSource gives the TLS configuration of each connection that is made, so that what is renewed is followed.
type TLSSource interface {
	Client() (*tls.Config, error)
}

// sourced is TLS whose configuration is asked for at every handshake. While the source has none, the last is used.
type sourced struct {
	credentials.TransportCredentials // of the first
	source                           TLSSource

	mu   sync.Mutex
	last *tls.Config
}

func newSourced(source TLSSource) (*sourced, error) {
	config, err := source.Client()
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("mesh: TLS: the source has no configuration")
	}
	return &sourced{TransportCredentials: newTLS(config), source: source, last: config}, nil
}

func (s *sourced) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return newTLS(s.config()).ClientHandshake(ctx, authority, conn)
}

func (s *sourced) config() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if config, err := s.source.Client(); err == nil && config != nil {
		s.last = config
	}
	return s.last
}

// Clone returns s: a connection of ours overrides no name in its copy.
func (s *sourced) Clone() credentials.TransportCredentials { return s }

// newTLS is c, with TLS 1.3 where it does not say which version.
func newTLS(c *tls.Config) credentials.TransportCredentials {
	if c.MinVersion == 0 {
		c = c.Clone()
		c.MinVersion = tls.VersionTLS13
	}
	return credentials.NewTLS(c)
}
