package cli

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh/tracing"
)

// traceFlags are the settings of traces. What is not set is as the OTEL_... variables say, which is no traces if they
// name no collector either.
type traceFlags struct {
	endpoint, protocol, ratio string
	trust                     bool
}

func (f *traceFlags) declare(s *settings.Set) {
	s.String(&f.endpoint, "trace-endpoint", "collector that OpenTelemetry traces are sent to by OTLP, such as http://localhost:4317 (default: OTEL_EXPORTER_OTLP_ENDPOINT; without it no traces are made)", settings.HTTPURL)
	s.String(&f.protocol, "trace-protocol", "grpc or http/protobuf (default: OTEL_EXPORTER_OTLP_PROTOCOL, or else grpc)", settings.OneOf("", tracing.GRPC, tracing.HTTP))
	s.String(&f.ratio, "trace-ratio", "which part of the traces is recorded, from 0 to 1 (default: as OTEL_TRACES_SAMPLER says, or else all)", ratio)
	s.Bool(&f.trust, "trust-traceparent", "go on with the traces of callers from outside, who then choose what is recorded: for an installation behind a proxy that sets the header itself")
}

func ratio(value string) error {
	if value == "" {
		return nil
	}
	if r, err := strconv.ParseFloat(value, 64); err != nil || !(r >= 0 && r <= 1) {
		return errors.New("must be a number from 0 to 1")
	}
	return nil
}

// config is what the flags and the environment say together.
func (f *traceFlags) config(environ []string) assembly.Traces {
	cfg := assembly.Traces{Endpoint: f.endpoint, Protocol: f.protocol, TrustOutside: f.trust}
	cfg.On = f.endpoint != "" || variable(environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	if strings.EqualFold(variable(environ, "OTEL_SDK_DISABLED"), "true") || variable(environ, "OTEL_TRACES_EXPORTER") == "none" {
		cfg.On = false
	}
	if cfg.Protocol == "" {
		cfg.Protocol = variable(environ, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	if cfg.Protocol == "" {
		cfg.Protocol = tracing.GRPC
	}
	if r, err := strconv.ParseFloat(f.ratio, 64); err == nil {
		cfg.Ratio = &r
	}
	return cfg
}

// variable is the first of these environment variables that is set, or "".
func variable(environ []string, names ...string) string {
	for _, name := range names {
		if i := slices.IndexFunc(environ, func(pair string) bool { return strings.HasPrefix(pair, name+"=") }); i >= 0 {
			if value := environ[i][len(name)+1:]; value != "" {
				return value
			}
		}
	}
	return ""
}
