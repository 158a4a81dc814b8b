package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/realguardio/realguardio/mesh"
)

// NewLogger writes a log to w: format is "json" or "text", level "debug", "info", "warn" or "error". A line that is logged
// with the context of a request has its request_id and trace_id. An attribute whose name says that it is a secret is
// written as [redacted], whatever it holds.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: redact}
	switch format {
	case "json":
		return slog.New(traced{slog.NewJSONHandler(w, options)}), nil
	case "text":
		return slog.New(traced{slog.NewTextHandler(w, options)}), nil
	default:
		return nil, fmt.Errorf("log format %q is not json or text", format)
	}
}

// traced adds to each line which request it belongs to, unless the line says so itself.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	ids := [2]slog.Attr{slog.String("request_id", mesh.RequestID(ctx)), slog.String("trace_id", mesh.TraceID(ctx))}
	r.Attrs(func(a slog.Attr) bool {
		for i := range ids {
			if ids[i].Key == a.Key {
				ids[i] = slog.Attr{}
			}
		}
		return true
	})
	for _, id := range ids {
		if id.Key != "" && id.Value.String() != "" {
			r.AddAttrs(id)
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }

var secrets = map[string]bool{
	"authorization": true, "token": true, "access_token": true, "refresh_token": true, "id_token": true,
	"secret": true, "client_secret": true, "password": true, "cookie": true, "set-cookie": true, "session": true,
}

// redact is the last line of defence: nothing is meant to log these.
func redact(_ []string, a slog.Attr) slog.Attr {
	if secrets[strings.ToLower(a.Key)] {
		return slog.String(a.Key, "[redacted]")
	}
	return a
}
