// Package trail is the audit log of a part as the part serves it: AuditService, and denials on their way into the log. What
// else is recorded is left to the part, in the transactions of its changes.
package trail

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/denials"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Config says whose log it is.
type Config struct {
	// DB is the part's database, which audit.Migrate has seen. Required.
	DB *sqldb.DB
	// Part is its name. Required.
	Part string
	// Gather is how long denials wait for others that are written with them. Default: a second.
	Gather time.Duration
	// Registerer takes the metrics. Default: they are not shown.
	Registerer prometheus.Registerer
	// Logger is for what could not be recorded. Required.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Trail is safe for concurrent use. Denials are recorded while Run runs.
type Trail struct {
	service *audit.Service
	denials *denials.Recorder
}

// New returns the log of a part.
func New(cfg Config) (*Trail, error) {
	t := &Trail{
		service: audit.NewService(cfg.DB, cfg.Part),
		denials: denials.New(denials.Config{
			Record: func(ctx context.Context, entries []audit.Entry) error { return audit.AddAll(ctx, cfg.DB, entries) },
			Gather: cfg.Gather, Logger: cfg.Logger, Now: cfg.Now,
		}),
	}
	if cfg.Registerer == nil {
		return t, nil
	}
	dropped := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "realguardio", Name: "denials_dropped_total",
		Help: "Calls refused to callers who are known, but not recorded in the audit log: too many that differ came at once.",
	}, func() float64 { return float64(t.denials.Dropped()) })
	if err := cfg.Registerer.Register(dropped); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return t, nil
}

// Register adds AuditService to a server.
func (t *Trail) Register(r grpc.ServiceRegistrar) { t.service.Register(r) }

// Denied has it recorded that the part's server has refused somebody; it is what [mesh.ServerConfig] asks for.
func (t *Trail) Denied(d mesh.Denial) { t.denials.Denied(d) }

// Run records denials until ctx ends, and then what is left.
func (t *Trail) Run(ctx context.Context) error { return t.denials.Run(ctx) }
