package tracing_test

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/realguardio/realguardio/mesh/tracing"
)

// printed exports spans to standard output.
type printed struct{}

func (printed) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		fmt.Println(s.Name(), s.Attributes())
	}
	return nil
}

func (printed) Shutdown(context.Context) error { return nil }

// Work that no call caused gets a span, and whatever is called in it spans of the same trace. What is not on the list of
// attributes stays here.
func Example() {
	ctx := context.Background()
	tracer, err := tracing.New(ctx, tracing.Config{
		Part: "greeter", Exporter: printed{}, Sampler: tracing.Ratio(1), // elsewhere: tracing.NewExporter(ctx, tracing.GRPC, endpoint)
	})
	if err != nil {
		log.Fatal(err)
	}
	_, span := tracer.Begin(ctx, tracing.Internal, "clean up", tracing.String("password", "hunter2"))
	span.End(nil)
	if err := tracer.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: clean up []
}
