package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
)

func TestTracesAreMadeWhereACollectorIsNamed(t *testing.T) {
	half := 0.5
	for _, tt := range []struct {
		name    string
		flags   traceFlags
		environ []string
		want    assembly.Traces
	}{
		{name: "not by themselves", want: assembly.Traces{Protocol: "grpc"}},
		{name: "by flags", flags: traceFlags{endpoint: "http://localhost:4318", protocol: "http/protobuf", ratio: "0.5", trust: true},
			want: assembly.Traces{On: true, Endpoint: "http://localhost:4318", Protocol: "http/protobuf", Ratio: &half, TrustOutside: true}},
		{name: "by the environment, which the library reads itself",
			environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"},
			want:    assembly.Traces{On: true, Protocol: "http/protobuf"}},
		{name: "the nearer name counts", environ: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://localhost:4317",
			"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc"},
			want: assembly.Traces{On: true, Protocol: "grpc"}},
		{name: "an empty variable says nothing", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, want: assembly.Traces{Protocol: "grpc"}},
		{name: "switched off as a whole", flags: traceFlags{endpoint: "http://localhost:4317"}, environ: []string{"OTEL_SDK_DISABLED=true"},
			want: assembly.Traces{Endpoint: "http://localhost:4317", Protocol: "grpc"}},
		{name: "switched off alone", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317", "OTEL_TRACES_EXPORTER=none"},
			want: assembly.Traces{Protocol: "grpc"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.flags.config(tt.environ)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for value, good := range map[string]bool{"": true, "0": true, "1": true, "0.01": true, "-1": false, "2": false, "NaN": false, "all": false} {
		if (ratio(value) == nil) != good {
			t.Errorf("%q: %v", value, ratio(value))
		}
	}
}
