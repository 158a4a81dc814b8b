package tracing

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/realguardio/realguardio/mesh"
)

// Kind is what a span is towards others.
type Kind = trace.SpanKind

// The kinds of spans that are begun by hand.
const (
	Internal = trace.SpanKindInternal
	Client   = trace.SpanKindClient
	Producer = trace.SpanKindProducer
	Consumer = trace.SpanKindConsumer
)

// Attribute says more about a span. It is exported if its key is on the list of this package.
type Attribute = attribute.KeyValue

// String is an attribute with a text.
func String(key, value string) Attribute { return attribute.String(key, value) }

// Span is a piece of work. The zero Span records nothing.
type Span struct{ span trace.Span }

// Begin begins a span as a child of where ctx stands, or, where it stands nowhere, a trace. The work is done with the
// returned context, and then the span is ended.
func (t *Tracer) Begin(ctx context.Context, kind Kind, name string, attributes ...Attribute) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(standing(ctx), name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return located(ctx), Span{span}
}

// Within begins a span as a child of the one that ctx belongs to, by the tracer that made that one: for what has no tracer
// of its own, such as a database. Where that span is not recorded, or there is none, it does nothing. Ask [Recorded] first
// where naming the span costs something.
func Within(ctx context.Context, kind Kind, name string, attributes ...Attribute) (context.Context, Span) {
	around := trace.SpanFromContext(ctx)
	if !around.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := around.TracerProvider().Tracer(scope).Start(standing(ctx), name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return located(ctx), Span{span}
}

// Recorded reports whether ctx belongs to a span that is recorded, so that a child of it is worth its cost.
func Recorded(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// End ends the span; err is what came of it.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// standing makes OpenTelemetry stand where mesh says that ctx does: what mesh knows may have come from elsewhere than a
// span of this process, such as a stored event.
func standing(ctx context.Context) context.Context {
	at := mesh.Traceparent(ctx)
	if at == "" || at == traceparent(trace.SpanContextFromContext(ctx)) {
		return ctx
	}
	return propagator.Extract(ctx, propagation.HeaderCarrier(http.Header{"Traceparent": {at}}))
}

// located is the reverse: it makes mesh stand where OpenTelemetry does.
func located(ctx context.Context) context.Context {
	return mesh.WithTraceparent(ctx, traceparent(trace.SpanContextFromContext(ctx)))
}

// traceparent is a span's place as W3C Trace Context writes it (section 3.2), or "".
func traceparent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags()&trace.FlagsSampled)
}
