package tracing

import (
	"context"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The protocols of OTLP, as in OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	GRPC = "grpc"
	HTTP = "http/protobuf"
)

// NewExporter sends spans to the collector at endpoint, such as "http://localhost:4317" or, with TLS, "https://...".
// Where endpoint is empty, and for everything else, it goes by the OTEL_EXPORTER_OTLP_... variables. It connects when it
// has something to send; while the collector cannot be reached, spans are dropped and nothing waits for it.
func NewExporter(ctx context.Context, protocol, endpoint string) (sdktrace.SpanExporter, error) {
	switch protocol {
	case GRPC:
		var options []otlptracegrpc.Option
		if endpoint != "" {
			options = append(options, otlptracegrpc.WithEndpointURL(endpoint))
		}
		return exporter(otlptracegrpc.New(ctx, options...))
	case HTTP:
		var options []otlptracehttp.Option
		if endpoint != "" {
			options = append(options, otlptracehttp.WithEndpointURL(endpoint))
		}
		return exporter(otlptracehttp.New(ctx, options...))
	default:
		return nil, fmt.Errorf("tracing: protocol %q is not %s or %s", protocol, GRPC, HTTP)
	}
}

func exporter[E sdktrace.SpanExporter](e E, err error) (sdktrace.SpanExporter, error) {
	if err != nil {
		return nil, fmt.Errorf("tracing: make exporter: %w", err)
	}
	return e, nil
}

// exported are the attributes that may leave. None holds what a caller made up, but for ids that were checked.
var exported = map[attribute.Key]bool{
	"rpc.system.name": true, "rpc.method": true, "rpc.response.status_code": true,
	"http.request.method": true, "http.route": true, "http.response.status_code": true,
	"server.address": true, "server.port": true,
	"messaging.system": true, "messaging.operation.name": true, "messaging.destination.name": true, "messaging.message.id": true,
	"db.system.name": true, "db.operation.name": true, "db.collection.name": true,
	callerKind: true, callerClient: true, requestID: true, refusalCause: true,
}

// bare exports of each span what is on the list, and no text of an error or event.
type bare struct{ sdktrace.SpanExporter }

func (b bare) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	out := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		out[i] = bareSpan{span}
	}
	return b.SpanExporter.ExportSpans(ctx, out)
}

type bareSpan struct{ sdktrace.ReadOnlySpan }

// unknown reports whether the span is of a call to a method that does not exist: its name is then the caller's own.
func (s bareSpan) unknown() bool {
	return s.SpanKind() == trace.SpanKindServer && slices.Contains(s.ReadOnlySpan.Attributes(), unimplemented)
}

var unimplemented = attribute.String("rpc.response.status_code", "UNIMPLEMENTED")

func (s bareSpan) Name() string {
	if s.unknown() {
		return "unknown method"
	}
	return s.ReadOnlySpan.Name()
}

func (s bareSpan) Attributes() []attribute.KeyValue {
	unknown := s.unknown()
	var kept []attribute.KeyValue
	for _, a := range s.ReadOnlySpan.Attributes() {
		if exported[a.Key] && !(unknown && a.Key == "rpc.method") {
			kept = append(kept, a)
		}
	}
	return kept
}

func (s bareSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

func (s bareSpan) Events() []sdktrace.Event { return nil }

func (s bareSpan) Links() []sdktrace.Link {
	var links []sdktrace.Link
	for _, l := range s.ReadOnlySpan.Links() {
		links = append(links, sdktrace.Link{SpanContext: l.SpanContext})
	}
	return links
}
