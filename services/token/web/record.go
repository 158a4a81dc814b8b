package web

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/realguardio/realguardio/mesh/telemetry"
)

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (o *recorder) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *recorder) code() int {
	if o.status == 0 {
		return http.StatusOK
	}
	return o.status
}

// Unwrap lets http.ResponseController reach what is behind it.
func (o *recorder) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// logged writes the one line of a request. Of the URL it has the path only: queries hold codes and links' secrets.
func (h *handler) logged(out *recorder, r *http.Request, start time.Time) {
	if h.Logger.Enabled(r.Context(), slog.LevelInfo) {
		h.Logger.LogAttrs(r.Context(), slog.LevelInfo, "http", slog.String("method", telemetry.Method(r.Method)),
			slog.String("path", telemetry.Path(r.URL.Path)), slog.Int("status", out.code()), slog.Duration("took", h.Now().Sub(start)),
			slog.String("client", h.Address(r)), slog.String("request_id", idOf(out)))
	}
}
