package token

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/denials"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/backchannel"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/letters"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/password"
	"github.com/realguardio/realguardio/services/token/password/breached"
	"github.com/realguardio/realguardio/services/token/redisstore"
	"github.com/realguardio/realguardio/services/token/revocation"
	"github.com/realguardio/realguardio/services/token/rpc"
	"github.com/realguardio/realguardio/services/token/sqlstore"
	"github.com/realguardio/realguardio/services/token/upstream"
	"github.com/realguardio/realguardio/services/token/usage"
	"github.com/realguardio/realguardio/services/token/web"
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
	// KeyEncryptionKey (32 bytes) encrypts signing keys at rest. Losing it loses the keys.
	KeyEncryptionKey []byte
	// OldKeyEncryptionKeys are earlier ones. What is sealed with one of them is sealed with KeyEncryptionKey by New.
	OldKeyEncryptionKeys [][]byte
	// SigningKeyLifetime is how long a key signs until the next one does. Default: keys.DefaultLifetime, 90 days.
	SigningKeyLifetime time.Duration
	// TokenMACKey (at least 32 bytes) authenticates refresh tokens and what browsers are recognized by, and encrypts opaque
	// access tokens.
	// Changing it ends all of them.
	TokenMACKey []byte
	// PasswordParams are the costs of new password hashes. Default: password.Default.
	PasswordParams password.Params
	// Upstreams are OpenID Providers of others that people may sign in at. AllowPlaintextUpstreams admits http to other
	// machines for them, where the same holds.
	Upstreams               []upstream.Provider
	AllowPlaintextUpstreams bool
	// ConcurrentHashes bounds how many passwords are hashed at once. Default: one for each processor.
	ConcurrentHashes int
	// RevocationHeartbeat is how often who watches revocations hears that there is nothing new. Default: a second.
	RevocationHeartbeat time.Duration
	// RevocationPoll is how soon a revocation of another replica is seen when Redis lost its nudge. Default: a quarter second.
	RevocationPoll time.Duration
	// KeyUseInterval is how often it is stored when API keys were last used. Default: a minute.
	KeyUseInterval time.Duration
	// DenialGathering is how long denials wait to be recorded together. Default: a second.
	DenialGathering time.Duration
	// DPoPNonces says whether proofs have to name a nonce. Default: NoncesOffered.
	DPoPNonces NoncePolicy
	// MutualTLS says how clients show certificates. Default: they cannot.
	MutualTLS MutualTLS
	// Mail says which mail server takes the letters to people, with their links. Nil for none: links are then to be handed
	// over by an operator (see PasswordLink), and nobody can ask for one.
	Mail *MailConfig
	// BreachedPasswords is the path of a list of passwords that nobody may choose, besides the one that is part of the
	// program: sorted lines of SHA-1 in hexadecimal. Empty for none.
	BreachedPasswords string
	// Home is the client id of the application that people are sent to from pages of ours. Empty for none.
	Home string
	// LogoutRoots are trusted for the certificates of clients that are told of logouts. Default: the system's.
	LogoutRoots *x509.CertPool
	// ClientAddress tells where a request comes from, for limits and logs. Default: the peer's address, which is
	// that of a proxy if there is one.
	ClientAddress func(*http.Request) string
	// Tracer makes spans of HTTP requests. Default: none.
	Tracer *tracing.Tracer
	Logger *slog.Logger
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// MailConfig says which mail server delivers, and for whom.
type MailConfig = mail.Config

// MailTLS says how the connection to the mail server is protected.
type MailTLS = mail.TLSMode

// Service is the identity provider. It is safe for concurrent use.
type Service struct {
	store       *sqlstore.Store
	redis       *redisstore.Store
	ring        *keys.Ring
	oauth       *oauth.Server
	revocations *revocation.Service
	logouts     *backchannel.Deliverer
	audit       *audit.Service
	usage       *usage.Recorder
	refusals    chan refusal
	denials     *denials.Recorder
	hasher      *password.Hasher
	accounts    *account.Lifecycle
	policy      *password.Policy
	// postman is nil where no mail is sent.
	postman *letters.Postman
	// breached is nil without a further list of passwords.
	breached   *breached.File
	handlers   web.Handlers
	log        *slog.Logger
	now        func() time.Time
	deprecated deprecatedGrants
	origins    *oauth.Origins
}

// Migrate brings the database to today's schema. It may be called by all replicas at once.
func Migrate(ctx context.Context, db *sqldb.DB) error { return sqlstore.Migrate(ctx, db) }

// New returns a Service. It loads the signing keys, and makes them the first time.
func New(cfg Config) (*Service, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	counters, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s := &Service{log: cfg.Logger, now: cfg.Now, redis: redisstore.New(cfg.Redis, cfg.Now), audit: audit.NewService(cfg.DB, "token")}
	s.store = sqlstore.New(cfg.DB, func(kind revocation.Kind) {
		counters.revoked(kind)
		s.revocations.Notify()
		if kind != revocation.Token { // which ends no session that clients have to be told of
			s.logouts.Wake()
		}
	})
	s.revocations = revocation.NewService(revocation.Config{
		Store: s.store, Nudges: s.redis, Logger: cfg.Logger, Heartbeat: cfg.RevocationHeartbeat, Poll: cfg.RevocationPoll,
	})
	if err := counters.watch(cfg.Registerer, s.revocations.Stats); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s.usage = usage.New(usage.Config{Store: s.store, Every: cfg.KeyUseInterval, Logger: cfg.Logger, Now: cfg.Now})
	s.refusals = make(chan refusal, refusalsWaiting)
	s.denials = denials.New(denials.Config{Record: s.store.RecordAll, Gather: cfg.DenialGathering, Logger: cfg.Logger, Now: cfg.Now})
	if err := counters.watchDenials(cfg.Registerer, s.denials.Dropped); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s.hasher = password.New(cfg.PasswordParams, cfg.ConcurrentHashes)
	s.origins = oauth.NewOrigins(s.store, cfg.Now, cfg.Logger)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	authenticator, err := s.openCore(ctx, cfg, counters)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if err := s.openAccounts(cfg, authenticator); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if err := s.openPages(cfg, authenticator, counters); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return s, s.deprecated.look(ctx, s.store)
}

func (cfg *Config) complete() error {
	var problems []error
	for name, missing := range map[string]bool{"DB": cfg.DB == nil, "Redis": cfg.Redis == nil, "Logger": cfg.Logger == nil,
		"Issuer": cfg.Issuer == "", "KeyEncryptionKey": len(cfg.KeyEncryptionKey) == 0, "TokenMACKey": len(cfg.TokenMACKey) == 0} {
		if missing {
			problems = append(problems, fmt.Errorf("token: %s is missing", name))
		}
	}
	if cfg.Issuer != "" {
		problems = append(problems, checkIssuer(cfg.Issuer, cfg.AllowPlaintextIssuer))
	}
	if cfg.PasswordParams == (password.Params{}) {
		cfg.PasswordParams = password.Default
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

// Handler serves everything under the issuer's URL.
func (s *Service) Handler() http.Handler { return s.handlers.Issuer }

// MutualTLSHandler serves what is at MutualTLS.Origin, for a listener that asks its clients for certificates.
func (s *Service) MutualTLSHandler() http.Handler { return s.handlers.MutualTLS }

// JWKS returns the published keys, as a verifier in the issuer's own process reads them.
func (s *Service) JWKS(context.Context) ([]byte, error) { return s.ring.JWKS(), nil }

// Register adds the service's RPCs to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	rpc.Register(r, rpc.Config{
		OAuth: s.oauth, Keys: s.ring, Accounts: s.accounts, Clients: s.store, People: s.store, Access: s.store,
		Registered: s.registered, Logger: s.log, Now: s.now,
	})
	s.revocations.Register(r)
	s.audit.Register(r)
}

// Denied has it recorded that the server of the RPCs refused somebody. It does not block.
func (s *Service) Denied(d mesh.Denial) { s.denials.Denied(d) }

const (
	// housekeepEvery is how often what expired is forgotten, and how soon a change of other replicas shows in discovery.
	housekeepEvery = 5 * time.Minute
	// keepExpired is how long it is kept for those who resume reading the revocation log: a hole in its numbers would
	// make them start again.
	keepExpired = time.Hour
)

// Run does the background work until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = s.ring.Run(ctx) })        // returns nil, at ctx's end
	tasks.Go(func() { _ = s.revocations.Run(ctx) }) // likewise
	tasks.Go(func() { _ = s.usage.Run(ctx) })       // likewise
	tasks.Go(func() { _ = s.logouts.Run(ctx) })     // likewise
	tasks.Go(func() { _ = s.denials.Run(ctx) })     // likewise
	tasks.Go(func() { s.recordRefusals(ctx) })
	tasks.Go(func() { s.housekeep(ctx) })
	if s.postman != nil {
		tasks.Go(func() { _ = s.postman.Run(ctx) }) // likewise
	}
	tasks.Wait()
	if s.breached != nil {
		return s.breached.Close()
	}
	return nil
}

func (s *Service) housekeep(ctx context.Context) {
	tick := time.NewTicker(housekeepEvery)
	defer tick.Stop()
	for {
		err := errors.Join(s.store.Purge(ctx, s.now().Add(-keepExpired)), s.deprecated.look(ctx, s.store))
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "housekeeping failed and will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Ready tells whether what the service needs can be reached.
func (s *Service) Ready(ctx context.Context) error {
	_, err := s.store.Head(ctx)
	return errors.Join(err, s.redis.Ping(ctx))
}
