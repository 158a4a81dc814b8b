// Package tracing makes OpenTelemetry spans of what a part does, and sends them to a collector by OTLP. It joins spans to
// the trace ids that package mesh carries from call to call, so that there is one trace, not two.
//
// What leaves is closed by default: of a span's attributes only those on a list of ours are exported, and no text of an
// error, so that neither a library nor a caller can put a secret or somebody's name into a trace. What went wrong stands
// in the log, under the same trace id. What is measured is left to package telemetry.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says what a [Tracer] records and for whom.
type Config struct {
	// Part is the part's name, such as "customer": the service.name of its spans, unless OTEL_SERVICE_NAME says otherwise.
	// Required.
	Part string
	// Exporter takes the spans: see [NewExporter]. Required.
	Exporter sdktrace.SpanExporter
	// Sampler decides which traces are recorded: see [Ratio]. Default: what OTEL_TRACES_SAMPLER says, which is by default
	// every trace that begins here and, of others, those that are recorded where they began.
	Sampler sdktrace.Sampler
	// TrustOutside goes on with the traces of strangers, at the edge and wherever callers prove themselves by no
	// certificate: they then choose what is recorded. Default: a new trace begins, with a link to theirs.
	TrustOutside bool
}

// Tracer makes spans. A nil one makes none, and everything that it is given works all the same. It is safe for concurrent
// use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	trust    bool
}

// propagator is the only way in which a trace travels. There is none for baggage: what strangers put there would reach
// every part, and its logs.
var propagator = propagation.TraceContext{}

// closeTime is how long the last spans may take to be sent.
const closeTime = 3 * time.Second

// New returns a tracer. Close sends what it still holds.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	switch {
	case cfg.Part == "":
		return nil, errors.New("tracing: Part is missing")
	case cfg.Exporter == nil:
		return nil, errors.New("tracing: Exporter is missing")
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", cfg.Part)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: describe %s: %w", cfg.Part, err)
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(bare{cfg.Exporter}), sdktrace.WithResource(about)}
	if cfg.Sampler != nil {
		options = append(options, sdktrace.WithSampler(cfg.Sampler))
	}
	provider := sdktrace.NewTracerProvider(options...)
	return &Tracer{provider: provider, tracer: provider.Tracer(scope), trust: cfg.TrustOutside}, nil
}

const scope = "github.com/realguardio/realguardio/mesh/tracing"

// Ratio records that part of the traces that begin here, from 0 to 1, and of others those that are recorded where they
// began.
func Ratio(r float64) sdktrace.Sampler { return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(r)) }

// Close sends the spans that are left, for a few seconds at most.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: send the last spans: %w", err)
	}
	return nil
}

// LogErrors makes log the one that OpenTelemetry's library writes to, in place of stderr. It is for the whole process, so
// it is for a program to call, once.
func LogErrors(log *slog.Logger) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not being exported", "error", err) }))
	otel.SetLogger(logr.Discard())
}
