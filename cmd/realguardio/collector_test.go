package main_test

import (
	"context"
	"net"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// traces is a collector of OpenTelemetry traces: a server that speaks OTLP and keeps what it is sent.
type traces struct {
	collector.UnimplementedTraceServiceServer
	url string

	mu    sync.Mutex
	spans []span
	// raw is every request as it came.
	raw []byte
}

// span is what of a span tests look at.
type span struct {
	part, name, trace, id, parent string
	attributes                    map[string]string
}

// collectTraces starts a collector. It ends after what was started later, and so gets the last spans.
func collectTraces(t *testing.T) *traces {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &traces{url: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return c
}

// Export implements the OTLP trace service.
func (c *traces) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	raw, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, raw...)
	for _, resource := range request.GetResourceSpans() {
		part := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				part = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := span{part: part, name: s.GetName(), trace: hexOf(s.GetTraceId()), id: hexOf(s.GetSpanId()), parent: hexOf(s.GetParentSpanId()), attributes: map[string]string{}}
				for _, a := range s.GetAttributes() {
					one.attributes[a.GetKey()] = a.GetValue().GetStringValue()
				}
				c.spans = append(c.spans, one)
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// of returns the spans of one trace that have come, by part and name; of several with one name, one.
func (c *traces) of(trace string) map[string]span {
	found := map[string]span{}
	for _, s := range c.all(trace) {
		found[s.part+": "+s.name] = s
	}
	return found
}

// all returns the spans of one trace that have come.
func (c *traces) all(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []span
	for _, s := range c.spans {
		if s.trace == trace {
			found = append(found, s)
		}
	}
	return found
}
