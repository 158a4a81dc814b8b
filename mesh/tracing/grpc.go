package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"

	"github.com/realguardio/realguardio/mesh"
)

// Attributes of ours, beside OpenTelemetry's own. The subject is not among them: who it was stands in the log.
const (
	callerKind   = attribute.Key("mesh.caller.kind")
	callerClient = attribute.Key("mesh.caller.client_id")
	requestID    = attribute.Key("mesh.request_id")
	refusalCause = attribute.Key("mesh.refusal.cause")
)

// Server makes a server's calls spans. Call it when cfg has its TLS, which tells strangers from callers whose traces go
// on; see [mesh.ServerConfig.TrustsTraces].
func (t *Tracer) Server(cfg *mesh.ServerConfig) {
	if t == nil {
		return
	}
	cfg.TrustTraceparent = cfg.TrustTraceparent || t.trust
	options := t.options()
	if !cfg.TrustsTraces() {
		options = append(options, otelgrpc.WithPublicEndpoint())
	}
	cfg.StatsHandlers = append(cfg.StatsHandlers, serverHandler{otelgrpc.NewServerHandler(options...)})
	before := cfg.Decided
	cfg.Decided = func(ctx context.Context, d mesh.Decision) {
		describe(ctx, d)
		if before != nil {
			before(ctx, d)
		}
	}
}

// Client makes a connection's calls spans, and the other side's spans children of these.
func (t *Tracer) Client(cfg *mesh.DialConfig) {
	if t == nil {
		return
	}
	cfg.StatsHandlers = append(cfg.StatsHandlers, clientHandler{otelgrpc.NewClientHandler(t.options()...)})
}

func (t *Tracer) options() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(propagator),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()), // counting is package telemetry's
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return !strings.HasPrefix(info.FullMethodName, "/grpc.health.v1.Health/")
		}),
	}
}

// describe adds to a call's span what the guard has found out.
func describe(ctx context.Context, d mesh.Decision) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(requestID.String(mesh.RequestID(ctx)))
	if d.Caller != nil {
		span.SetAttributes(callerKind.String(string(d.Caller.Kind)), callerClient.String(d.Caller.ClientID))
	}
	if d.Cause != "" {
		span.SetAttributes(refusalCause.String(d.Cause))
	}
}

// serverHandler tells mesh where in the trace the call's span is.
type serverHandler struct{ stats.Handler }

func (h serverHandler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return located(h.Handler.TagRPC(ctx, info))
}

// clientHandler is told by mesh where in the trace a call is made. What it injects takes the place of what mesh has put
// into the metadata.
type clientHandler struct{ stats.Handler }

func (h clientHandler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return h.Handler.TagRPC(standing(ctx), info)
}
