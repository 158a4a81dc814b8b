package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger writes a log to w: format is "json" or "text", level "debug", "info", "warn" or "error". An attribute whose
// name says that it is a secret is written as [redacted], whatever it holds.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: redact}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("log format %q is not json or text", format)
	}
}

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
