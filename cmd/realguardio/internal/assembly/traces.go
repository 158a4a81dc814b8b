package assembly

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/realguardio/realguardio/mesh/tracing"
)

// Traces says whether spans are made, and where they go.
type Traces struct {
	// On makes spans.
	On bool
	// Endpoint is the collector's URL; empty for what the OTEL_EXPORTER_OTLP_... variables say. Protocol is tracing.GRPC or
	// tracing.HTTP.
	Endpoint, Protocol string
	// Ratio is which part of the traces is recorded, from 0 to 1; nil for what OTEL_TRACES_SAMPLER says.
	Ratio *float64
	// TrustOutside goes on with the traces of callers from outside.
	TrustOutside bool
}

// LogTraces makes log the one that OpenTelemetry's library writes to. Like LogRedis it is for the whole process.
func LogTraces(log *slog.Logger) { tracing.LogErrors(log) }

// openTracer makes the part's tracer, unless there is to be none.
func (p *Part) openTracer(ctx context.Context, cfg Traces) error {
	if !cfg.On {
		return nil
	}
	exporter, err := tracing.NewExporter(ctx, cfg.Protocol, cfg.Endpoint)
	if err != nil {
		return fmt.Errorf("cannot send traces: %w", err)
	}
	options := tracing.Config{Part: p.Name, Exporter: exporter, TrustOutside: cfg.TrustOutside}
	if cfg.Ratio != nil {
		options.Sampler = tracing.Ratio(*cfg.Ratio)
	}
	if p.tracer, err = tracing.New(ctx, options); err != nil {
		return err
	}
	p.onClose(func() error {
		if err := p.tracer.Close(); err != nil {
			p.log.Warn("some spans were not sent", "error", err) // no reason to call the part's work failed
		}
		return nil
	})
	return nil
}
