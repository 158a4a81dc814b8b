package token

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/password"
	"github.com/realguardio/realguardio/services/token/upstream"
)

// Config says what a Service works with. What has no default is required.
type Config struct {
	// DB is a database migrated by Migrate.
	DB *sqldb.DB
	// Redis is shared by all replicas.
	Redis redis.UniversalClient
	// Issuer is the URL under which Handler is reached, without a trailing slash: "https://id.example.com".
	Issuer string
	// AllowPlaintextIssuer admits an http issuer on another host than this machine. Safe only where nobody else is on
	// the network, such as in a test; passwords and tokens travel in the clear.
	AllowPlaintextIssuer bool

	// Keys are its secrets.
	Keys Keys
	// Passwords says which are taken, and what a guess costs. Default: see there.
	Passwords Passwords
	// Upstreams are where else people may sign in. Default: nowhere.
	Upstreams Upstreams
	// DPoPNonces says whether proofs have to name a nonce. Default: NoncesOffered.
	DPoPNonces NoncePolicy
	// MutualTLS says how clients show certificates. Default: they cannot.
	MutualTLS MutualTLS
	// Mail says which mail server takes the letters to people, with their links. Nil for none: links are then to be handed
	// over by an operator (see PasswordLink), and nobody can ask for one.
	Mail *MailConfig
	// LogoutRoots are trusted for the certificates of clients that are told of logouts. Default: the system's.
	LogoutRoots *x509.CertPool
	// Home is the client id of the application that people are sent to from pages of ours. Empty for none.
	Home string
	// ClientAddress tells where a request comes from, for limits and logs. Default: the peer's address, which is
	// that of a proxy if there is one.
	ClientAddress func(*http.Request) string
	// Intervals are those of the work in the background. Default: see there.
	Intervals Intervals

	// Tracer makes spans of HTTP requests. Default: none.
	Tracer *tracing.Tracer
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Keys are what must not be lost, and not be known by anybody else.
type Keys struct {
	// Encryption (32 bytes) encrypts signing keys at rest. Losing it loses them. Required.
	Encryption []byte
	// OldEncryption are earlier ones. What is sealed with one of them is sealed with Encryption by New. Default: none.
	OldEncryption [][]byte
	// SigningLifetime is how long a key signs until the next one does. Default: keys.DefaultLifetime, 90 days.
	SigningLifetime time.Duration
	// MAC (at least 32 bytes) authenticates refresh tokens and what browsers are recognized by, and encrypts opaque access
	// tokens. Changing it ends all of them. Required.
	MAC []byte
}

// Passwords says what a password must be, and what it costs to check one.
type Passwords struct {
	// Params are the costs of new hashes. Default: password.Default.
	Params password.Params
	// Concurrent bounds how many are hashed at once. Default: one for each processor.
	Concurrent int
	// Breached is the path of a list of passwords that nobody may choose, besides the one that is part of the program:
	// sorted lines of SHA-1 in hexadecimal. Empty for none.
	Breached string
}

// Upstreams are OpenID Providers of others.
type Upstreams struct {
	// Providers are those that people may sign in at. Default: none.
	Providers []upstream.Provider
	// AllowPlaintext admits http to other machines for them, where the same holds as for AllowPlaintextIssuer.
	AllowPlaintext bool
}

// Intervals are how often, or after how long, something is done by itself.
type Intervals struct {
	// RevocationHeartbeat is how often who watches revocations hears that there is nothing new. Default: a second.
	RevocationHeartbeat time.Duration
	// RevocationPoll is how soon a revocation of another replica is seen when Redis lost its nudge. Default: a quarter second.
	RevocationPoll time.Duration
	// KeyUse is how often it is stored when API keys were last used. Default: a minute.
	KeyUse time.Duration
	// Denials is how long denials wait to be recorded together. Default: a second.
	Denials time.Duration
}

// MailConfig says which mail server delivers, and for whom.
type MailConfig = mail.Config

// MailTLS says how the connection to the mail server is protected.
type MailTLS = mail.TLSMode

func (cfg *Config) complete() error {
	var problems []error
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"DB", cfg.DB == nil}, {"Redis", cfg.Redis == nil}, {"Issuer", cfg.Issuer == ""},
		{"Keys.Encryption", len(cfg.Keys.Encryption) == 0}, {"Keys.MAC", len(cfg.Keys.MAC) == 0}, {"Logger", cfg.Logger == nil},
	} {
		if required.missing {
			problems = append(problems, fmt.Errorf("token: %s is missing", required.name))
		}
	}
	if cfg.Issuer != "" {
		problems = append(problems, checkIssuer(cfg.Issuer, cfg.AllowPlaintextIssuer))
	}
	if cfg.Passwords.Params == (password.Params{}) {
		cfg.Passwords.Params = password.Default
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	problems = append(problems, cfg.completeBinding())
	return errors.Join(problems...)
}

func checkIssuer(issuer string, plaintext bool) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(issuer, "/") || u.Path != "":
		return fmt.Errorf("token: issuer %q must be a scheme and a host, without a path or trailing slash", issuer)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (plaintext || u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"):
		return nil
	}
	return fmt.Errorf("token: issuer %q must use https", issuer)
}
