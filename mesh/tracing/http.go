package tracing

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/realguardio/realguardio/mesh"
)

// Request begins the span of an HTTP request that came from outside, and adds the header Server-Timing to its answer, by
// which whoever asked can name the trace. The request is answered with the returned context, and then [Span.Answered].
// Without a tracer the request gets a trace id all the same, which nobody records.
func (t *Tracer) Request(answer http.Header, r *http.Request) (context.Context, Span) {
	ctx := r.Context()
	if t == nil {
		return mesh.WithTraceparent(ctx, mesh.NewTraceparent()), Span{}
	}
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method(r.Method)), requestID.String(mesh.RequestID(ctx))),
	}
	if len(r.Header["Traceparent"]) == 1 { // of two nobody could say which counts
		remote := propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		switch said := trace.SpanContextFromContext(remote); {
		case !said.IsValid():
		case t.trust:
			ctx = remote
		default:
			options = append(options, trace.WithLinks(trace.Link{SpanContext: said.WithTraceState(trace.TraceState{})}))
		}
	}
	ctx, span := t.tracer.Start(ctx, method(r.Method), options...)
	ctx = located(ctx)
	answer.Set("Server-Timing", `traceparent;desc="`+mesh.Traceparent(ctx)+`"`)
	return ctx, Span{span}
}

// Answered ends the span of an HTTP request: route is the pattern that the path has met, never the path, in which there
// may be anything.
func (s Span) Answered(verb, route string, status int) {
	if s.span == nil {
		return
	}
	if s.span.IsRecording() {
		s.span.SetAttributes(attribute.Int("http.response.status_code", status))
		if _, path, found := strings.Cut(route, " "); found { // a pattern may begin with the method
			route = path
		}
		if route != "" {
			s.span.SetName(method(verb) + " " + route)
			s.span.SetAttributes(attribute.String("http.route", route))
		}
		if status >= http.StatusInternalServerError {
			s.span.SetStatus(codes.Error, "")
		}
	}
	s.span.End()
}

// method is an HTTP method as a span may have it: one of the known ones (OpenTelemetry's convention for any other).
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "_OTHER"
	}
}

// Transport makes spans of the requests that go through base, and sends their place along. It is for a server whose paths
// hold no secrets, such as an issuer's.
func (t *Tracer) Transport(base http.RoundTripper) http.RoundTripper {
	if t == nil {
		return base
	}
	return &transport{base, t}
}

type transport struct {
	base   http.RoundTripper
	tracer *Tracer
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := t.tracer.Begin(r.Context(), Client, r.Method+" "+r.URL.Path,
		String("http.request.method", method(r.Method)), String("server.address", r.URL.Hostname()))
	onward := r.Clone(ctx)
	propagator.Inject(ctx, propagation.HeaderCarrier(onward.Header))
	answer, err := t.base.RoundTrip(onward)
	if err == nil {
		span.span.SetAttributes(attribute.Int("http.response.status_code", answer.StatusCode))
	}
	span.End(err)
	return answer, err
}

// CloseIdleConnections is what http.Client looks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
