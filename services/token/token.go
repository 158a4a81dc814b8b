package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/trail"
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
	"github.com/realguardio/realguardio/services/token/usage"
	"github.com/realguardio/realguardio/services/token/web"
)

// Service is the identity provider. It is safe for concurrent use.
type Service struct {
	store       *sqlstore.Store
	redis       *redisstore.Store
	ring        *keys.Ring
	oauth       *oauth.Server
	revocations *revocation.Service
	logouts     *backchannel.Deliverer
	trail       *trail.Trail
	usage       *usage.Recorder
	refusals    chan refusal
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
	s := &Service{log: cfg.Logger, now: cfg.Now, redis: redisstore.New(cfg.Redis, cfg.Now)}
	s.store = sqlstore.New(cfg.DB, func(kind revocation.Kind) {
		counters.revoked(kind)
		s.revocations.Notify()
		if kind != revocation.Token { // which ends no session that clients have to be told of
			s.logouts.Wake()
		}
	})
	s.revocations = revocation.NewService(revocation.Config{
		Store: s.store, Nudges: s.redis, Logger: cfg.Logger, Heartbeat: cfg.Intervals.RevocationHeartbeat, Poll: cfg.Intervals.RevocationPoll,
	})
	if err := counters.watch(cfg.Registerer, s.revocations.Stats); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s.usage = usage.New(usage.Config{Store: s.store, Every: cfg.Intervals.KeyUse, Logger: cfg.Logger, Now: cfg.Now})
	s.refusals = make(chan refusal, refusalsWaiting)
	if s.trail, err = trail.New(trail.Config{
		DB: cfg.DB, Part: "token", Gather: cfg.Intervals.Denials, Registerer: cfg.Registerer, Logger: cfg.Logger, Now: cfg.Now,
	}); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s.hasher = password.New(cfg.Passwords.Params, cfg.Passwords.Concurrent)
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
	s.trail.Register(r)
}

// Denied has it recorded that the server of the RPCs refused somebody. It does not block.
func (s *Service) Denied(d mesh.Denial) { s.trail.Denied(d) }

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
	tasks.Go(func() { _ = s.trail.Run(ctx) })       // likewise
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
