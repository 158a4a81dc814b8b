package assembly

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/upstream"
)

// TokenConfig is what the token service is told besides.
type TokenConfig struct {
	Environment
	// KeyEncryptionKey and MACKey have 32 bytes each.
	KeyEncryptionKey, MACKey []byte
	// OldKeyEncryptionKeys are earlier ones, still understood.
	OldKeyEncryptionKeys [][]byte
	// SigningKeyLifetime is how long a key signs until the next one does. 0: the service's default.
	SigningKeyLifetime time.Duration
	// PublicTLS is the certificate of the HTTP port; nil for plaintext, behind a proxy on the same machine.
	PublicTLS *tls.Config
	// TrustedProxies may say in X-Forwarded-For whom they speak for.
	TrustedProxies []netip.Prefix
	// DPoPNonces says whether proofs must name a nonce. Empty: the service's default.
	DPoPNonces token.NoncePolicy
	// MutualTLS says how clients show certificates. On the listener for it they are asked for one by PublicTLS.
	MutualTLS token.MutualTLS
	// AllowDemoSecrets admits a database with accounts whose password is published.
	AllowDemoSecrets bool
	// AllowPlaintextIssuer admits an http issuer on another machine, ours and those of Upstreams.
	AllowPlaintextIssuer bool
	// Upstreams are OpenID Providers of others that people may sign in at.
	Upstreams []upstream.Provider
	// Mail says which mail server takes letters to people; nil for none.
	Mail *token.MailConfig
	// BreachedPasswords is a file of passwords that nobody may choose; empty for none.
	BreachedPasswords string
}

// AdminRole stands in the tokens of platform admins.
const AdminRole = "REALGUARDIO_ADMIN"

// errDemoSecrets keeps the demo's database out of production.
var errDemoSecrets = errors.New("the database has accounts with the demo's published password: give production a database of its own (--insecure-demo-secrets allows it)")

// NewToken builds the token service.
func NewToken(ctx context.Context, cfg TokenConfig, l Listeners) (_ *Part, err error) {
	p, err := newPart(ctx, Token, cfg.Environment)
	if err != nil {
		return nil, err
	}
	defer p.closeUnless(&err)
	service, err := p.newTokenService(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if demo, err := service.HasDemoPassword(ctx); err != nil || demo && !cfg.AllowDemoSecrets {
		return nil, errors.Join(err, errDemoSecrets)
	}
	in, err := p.join(ctx, cfg.Environment, service.JWKS)
	if err != nil {
		return nil, err
	}
	in.denied = service.Denied
	p.work("token service", service.Run)
	p.serveHTTP(service.Handler(), l.HTTP, cfg.PublicTLS)
	if l.MTLS != nil {
		if cfg.PublicTLS == nil {
			return nil, errNoCertificate
		}
		p.serveHTTP(service.MutualTLSHandler(), l.MTLS, askingForCertificates(cfg.PublicTLS))
	}
	return p, p.finish(in, cfg.Environment, l, service.Register)
}

func (p *Part) newTokenService(ctx context.Context, cfg TokenConfig) (*token.Service, error) {
	db, err := p.openDatabase(ctx, cfg.Environment, token.Migrate)
	if err != nil {
		return nil, err
	}
	shared, err := p.openRedis(cfg.RedisURL, false)
	if err != nil {
		return nil, err
	}
	roots, err := logoutRoots(cfg.IssuerCA)
	if err != nil {
		return nil, err
	}
	return token.New(token.Config{
		DB: db, Redis: shared, Issuer: cfg.Issuer, AllowPlaintextIssuer: cfg.AllowPlaintextIssuer,
		Keys: token.Keys{
			Encryption: cfg.KeyEncryptionKey, OldEncryption: cfg.OldKeyEncryptionKeys, SigningLifetime: cfg.SigningKeyLifetime, MAC: cfg.MACKey,
		},
		Passwords:  token.Passwords{Breached: cfg.BreachedPasswords},
		Upstreams:  token.Upstreams{Providers: cfg.Upstreams, AllowPlaintext: cfg.AllowPlaintextIssuer},
		DPoPNonces: cfg.DPoPNonces, MutualTLS: cfg.MutualTLS, Mail: cfg.Mail,
		LogoutRoots: roots, Home: WebClient, ClientAddress: clientAddress(cfg.TrustedProxies),
		Registerer: p.Ops.Registry, Tracer: p.tracer, Logger: p.log, Now: cfg.Now,
	})
}

var errNoCertificate = errors.New("clients cannot be asked for certificates without a certificate for the outside")

// askingForCertificates asks clients for certificates, from whatever authority: the service knows which are good. TLS itself
// makes sure that they hold the keys.
func askingForCertificates(public *tls.Config) *tls.Config {
	asking := public.Clone()
	asking.ClientAuth = tls.RequestClientCert
	return asking
}

// ClientAuthorities reads the authorities that certificates of clients come from; nil for no file.
func ClientAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	trusting, err := Trusting(file)
	if err != nil {
		return nil, err
	}
	return trusting.RootCAs, nil
}

// logoutRoots are trusted for the certificates of clients that are told of logouts: the system's authorities, and that of
// the issuer's own certificate, from which the gateway's often is.
func logoutRoots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate authority: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return pool, nil
}

// Registry is the token service's accounts and clients, opened on its database without serving them: for setting up an
// installation.
type Registry struct {
	*token.Service
	part *Part
}

// OpenRegistry opens it. Of cfg the database and the keys are looked at, and the issuer if links are to be made.
func OpenRegistry(ctx context.Context, cfg TokenConfig) (_ *Registry, err error) {
	// It is not asked by what a registry does.
	cfg.RedisURL, cfg.Issuer = "redis://localhost", cmp.Or(cfg.Issuer, "https://localhost")
	p, err := newPart(ctx, Token, cfg.Environment)
	if err != nil {
		return nil, err
	}
	defer p.closeUnless(&err)
	service, err := p.newTokenService(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Registry{service, p}, nil
}

// Close closes the database.
func (r *Registry) Close() error { return r.part.Close() }
