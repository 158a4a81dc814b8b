package securitysystem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/trail"
)

// Config is what a [Service] works with.
type Config struct {
	// DB is the service's own database, migrated. Required.
	DB *sqldb.DB
	// Redis carries the service's events to others. Required.
	Redis redis.UniversalClient
	// Customers is asked with the caller's own token: dialled with [mesh.Forward]. Required.
	Customers customerv1.CustomerServiceClient
	// Accounts is asked as this service: dialled with [mesh.AsService]. Required.
	Accounts tokenv1.AdminServiceClient
	// Tracer makes spans of publishing events. Default: none.
	Tracer *tracing.Tracer
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// DenialGathering is how long calls that were refused wait to be recorded together. Default: a second.
	DenialGathering time.Duration
	// Logger is told what callers are not. Default: slog.Default().
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := sqldb.Migrate(ctx, db, "securitysystem", schema); err != nil {
		return fmt.Errorf("securitysystem: %w", err)
	}
	if err := audit.Migrate(ctx, db); err != nil {
		return fmt.Errorf("securitysystem: %w", err)
	}
	return outbox.Migrate(ctx, db)
}

// New returns a service that answers once it is registered, and does its background work while Run runs.
func New(cfg Config) (*Service, error) {
	switch {
	case cfg.DB == nil:
		return nil, errors.New("securitysystem: DB is required")
	case cfg.Redis == nil:
		return nil, errors.New("securitysystem: Redis is required")
	case cfg.Customers == nil:
		return nil, errors.New("securitysystem: Customers is required")
	case cfg.Accounts == nil:
		return nil, errors.New("securitysystem: Accounts is required")
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	relay, err := outbox.NewRelay(outbox.Config{
		DB: cfg.DB, Redis: cfg.Redis, Service: "securitysystem", Tracer: cfg.Tracer, Registerer: cfg.Registerer,
		Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("securitysystem: %w", err)
	}
	recorded, err := trail.New(trail.Config{
		DB: cfg.DB, Part: "securitysystem", Gather: cfg.DenialGathering, Registerer: cfg.Registerer, Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("securitysystem: %w", err)
	}
	// Answers must not be finer than what is stored, or the same object would be read with other times.
	now := func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) }
	store, customers := newSQLStore(cfg.DB), customerService{cfg.Customers}
	return &Service{
		systems: store, places: store, rights: customers, directory: customers, panels: store, relay: relay, trail: recorded,
		feed: newFeed(cfg.Redis, "securitysystem", cfg.Logger, now), shared: newSharedRights(customers, now),
		positions: &positions{store: store}, log: cfg.Logger, now: now,
		credentials: &credentials{
			accounts: cfg.Accounts, store: store, log: cfg.Logger, now: now, nudge: make(chan struct{}, 1),
		},
	}, nil
}

// Register serves SecuritySystemService, PanelService and AuditService.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	securitysystemv1.RegisterSecuritySystemServiceServer(r, s)
	securitysystemv1.RegisterPanelServiceServer(r, panelService{Service: s})
	s.trail.Register(r)
}

// Denied has it recorded that the server of the RPCs refused somebody. It does not block.
func (s *Service) Denied(d mesh.Denial) { s.trail.Denied(d) }

// Run publishes events, follows them for those who watch, ends the credentials of panels that were replaced, and records who
// was refused, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return s.relay.Run(ctx) })
	g.Go(func() error { return s.feed.Run(ctx) })
	g.Go(func() error { return s.credentials.Run(ctx) })
	g.Go(func() error { return s.trail.Run(ctx) })
	return g.Wait()
}
