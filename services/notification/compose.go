package notification

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
	notificationv1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/trail"
)

// MailConfig says which mail server delivers, and for whom.
type MailConfig = mail.Config

// Config is what a [Service] works with.
type Config struct {
	// DB is the service's own database, migrated. Required.
	DB *sqldb.DB
	// Redis carries the events of the security system service. Required.
	Redis redis.UniversalClient
	// Customers is asked as this service: dialled with [mesh.AsService]. Required.
	Customers customerv1.CustomerServiceClient
	// Mail says how messages are delivered. Required.
	Mail MailConfig
	// Retry says how often, and when again.
	Retry Retry
	// MaxAge is how old an event may be for people to be told of it: what was missed for longer is no news. Default: 24
	// hours.
	MaxAge time.Duration
	// Retention is how long it is kept what was sent to whom. Default: 90 days.
	Retention time.Duration
	// Poll is how often to look for messages whose time has come. Default: 1 second.
	Poll time.Duration
	// Tracer makes spans of what is done about an event, in the trace of the request that caused it. Default: none.
	Tracer *tracing.Tracer
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// Logger is told what callers are not. Default: slog.Default().
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

const (
	purgeEvery = time.Hour
	purgeBatch = 500
)

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := sqldb.Migrate(ctx, db, "notification", schema); err != nil {
		return fmt.Errorf("notification: %w", err)
	}
	if err := audit.Migrate(ctx, db); err != nil {
		return fmt.Errorf("notification: %w", err)
	}
	return nil
}

// New returns a service that answers once it is registered, and delivers while Run runs.
func New(cfg Config) (*Service, error) {
	switch {
	case cfg.DB == nil:
		return nil, errors.New("notification: DB is required")
	case cfg.Redis == nil:
		return nil, errors.New("notification: Redis is required")
	case cfg.Customers == nil:
		return nil, errors.New("notification: Customers is required")
	}
	cfg = cfg.withDefaults()
	sender, err := mail.New(cfg.Mail)
	if err != nil {
		return nil, fmt.Errorf("notification: %w", err)
	}
	writer, err := newWriter()
	if err != nil {
		return nil, fmt.Errorf("notification: %w", err)
	}
	counted, err := newMetrics(cfg.Registerer, cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("notification: %w", err)
	}
	recorded, err := trail.New(trail.Config{DB: cfg.DB, Part: "notification", Registerer: cfg.Registerer, Logger: cfg.Logger, Now: cfg.Now})
	if err != nil {
		return nil, fmt.Errorf("notification: %w", err)
	}
	store := sqlStore{cfg.DB}
	return &Service{deliveries: store, trail: recorded, log: cfg.Logger, workers: cfg.workers(store, writer, sender, counted)}, nil
}

func (cfg Config) withDefaults() Config {
	cfg.Retry = cfg.Retry.withDefaults()
	cfg.MaxAge = cmp.Or(cfg.MaxAge, 24*time.Hour)
	cfg.Retention = cmp.Or(cfg.Retention, 90*24*time.Hour)
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	// Answers must not be finer than what is stored.
	cfg.Now = func() time.Time { return now().UTC().Truncate(time.Microsecond) }
	return cfg
}

// workers are what runs in the background: from the stream to notices, from notices to deliveries, from deliveries to the
// mail server, each at its own pace.
func (cfg Config) workers(store sqlStore, writer writer, sender Sender, counted *metrics) []*worker {
	work := func(name string, poll time.Duration) *worker {
		return &worker{name: name, poll: poll, wake: make(chan struct{}, 1), log: cfg.Logger}
	}
	consume, address := work("take events", min(cfg.Poll, takePoll)), work("find out whom events concern", cfg.Poll)
	deliver, purge := work("deliver messages", cfg.Poll), work("delete what is old", purgeEvery)

	consume.step = (&consumer{
		redis: cfg.Redis, stream: outbox.Stream("securitysystem"), store: store, tracer: cfg.Tracer, metrics: counted,
		log: cfg.Logger, now: cfg.Now, taken: address.Nudge,
	}).step
	address.step = (&addresser{
		store: store, directory: customerService{cfg.Customers}, retry: cfg.Retry, maxAge: cfg.MaxAge,
		tracer: cfg.Tracer, log: cfg.Logger, now: cfg.Now, settled: deliver.Nudge,
	}).step
	deliver.step = (&deliverer{
		store: store, writer: writer, sender: sender, retry: cfg.Retry, tracer: cfg.Tracer, metrics: counted, log: cfg.Logger,
		now: cfg.Now,
	}).step
	purge.step = func(ctx context.Context) (bool, error) {
		n, err := store.Purge(ctx, cfg.Now().Add(-cfg.Retention), purgeBatch)
		return n == purgeBatch, err
	}
	return []*worker{consume, address, deliver, purge}
}

// Register serves NotificationService and AuditService.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	notificationv1.RegisterNotificationServiceServer(r, s)
	s.trail.Register(r)
}

// Denied has it recorded that the server of the RPCs refused somebody. It does not block.
func (s *Service) Denied(d mesh.Denial) { s.trail.Denied(d) }

// Run takes events, delivers messages, and records who was refused, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return s.trail.Run(ctx) })
	for _, w := range s.workers {
		g.Go(func() error { return w.Run(ctx) })
	}
	return g.Wait()
}
