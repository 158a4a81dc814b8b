package customer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/trail"
)

// Config is what a [Service] needs.
type Config struct {
	// DB is the service's database, migrated by [Migrate]. Required.
	DB *sqldb.DB
	// Accounts is the identity provider, called as this service. Required.
	Accounts Accounts
	// SecuritySystems is the security system service, called as this service. Required.
	SecuritySystems SecuritySystems
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// DenialGathering is how long calls that were refused wait to be recorded together. Default: a second.
	DenialGathering time.Duration
	// Logger is for what no caller learns. Default: slog.Default().
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Migrate brings the database of the service up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := sqldb.Migrate(ctx, db, "customer", schema); err != nil {
		return err
	}
	return audit.Migrate(ctx, db)
}

// New returns a service, or an error that names what config lacks.
func New(config Config) (*Service, error) {
	switch {
	case config.DB == nil:
		return nil, errors.New("customer: DB is required")
	case config.Accounts == nil:
		return nil, errors.New("customer: Accounts is required")
	case config.SecuritySystems == nil:
		return nil, errors.New("customer: SecuritySystems is required")
	}
	config.Logger = cmp.Or(config.Logger, slog.Default())
	if config.Now == nil {
		config.Now = time.Now
	}
	recorded, err := trail.New(trail.Config{
		DB: config.DB, Part: "customer", Gather: config.DenialGathering, Registerer: config.Registerer,
		Logger: config.Logger, Now: config.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("customer: %w", err)
	}
	return &Service{
		store: newSQLStore(config.DB), accounts: config.Accounts, systems: config.SecuritySystems, trail: recorded, log: config.Logger,
		// No finer than what is stored, so that an answer to a change has the times of later answers.
		now: func() time.Time { return config.Now().UTC().Truncate(time.Microsecond) },
	}, nil
}

// Register serves the RPCs of the service, and AuditService, at registrar.
func (s *Service) Register(registrar grpc.ServiceRegistrar) {
	customerv1.RegisterCustomerServiceServer(registrar, s)
	s.trail.Register(registrar)
}

// Denied has it recorded that the server of the RPCs refused somebody. It does not block.
func (s *Service) Denied(d mesh.Denial) { s.trail.Denied(d) }

// Run records who was refused, until ctx ends.
func (s *Service) Run(ctx context.Context) error { return s.trail.Run(ctx) }
