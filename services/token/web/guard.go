package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"runtime/debug"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/telemetry"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/pages"
)

// guarded is what every request goes through.
func (h *handler) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header, start := w.Header(), h.Now()
		header.Set("X-Request-Id", rand.Text())
		header.Set("X-Content-Type-Options", "nosniff")
		// Our own pages post to us with their origin; nobody else learns where a browser has been.
		header.Set("Referrer-Policy", "same-origin")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Content-Security-Policy", contentPolicy(""))
		header.Set("Cache-Control", "no-store")
		if h.keepHTTPS {
			header.Set("Strict-Transport-Security", "max-age=31536000")
		}
		ctx, span := h.Tracer.Request(header, r.WithContext(mesh.WithRequestID(r.Context(), idOf(w))))
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		r = r.WithContext(audit.WithOrigin(ctx, h.Address(r), idOf(w)))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		out := &recorder{ResponseWriter: w}
		defer func() {
			h.logged(out, r, start)
			span.Answered(r.Method, r.Pattern, out.code())
		}()
		defer h.recovered(out, r)
		next.ServeHTTP(out, r)
	})
}

// idOf is the request's id, for logs and error pages.
func idOf(w http.ResponseWriter) string { return w.Header().Get("X-Request-Id") }

func (h *handler) recovered(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { // net/http's own way to drop a connection
		panic(cause)
	}
	h.Logger.ErrorContext(r.Context(), "request panicked", "request_id", idOf(w), "method", telemetry.Method(r.Method),
		"path", telemetry.Path(r.URL.Path), "panic", cause, "stack", string(debug.Stack()))
	http.Error(w, "internal error", http.StatusInternalServerError)
}

// record writes down what a person did that changed nothing in the database, where all else is written down with its change.
func (h *handler) record(r *http.Request, e audit.Entry) {
	e.Time = h.Now()
	if err := h.Record(r.Context(), e); err != nil {
		h.Logger.ErrorContext(r.Context(), "an audit entry is lost", "action", e.Action, "subject", e.Actor, "client_id", e.ClientID, "error", err)
	}
}

// own refuses a form that was not sent from a page of ours.
func (h *handler) own(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h.sameOrigin.Check(r); err != nil {
			h.message(w, r, http.StatusForbidden, pages.Message{Title: "Not from here",
				Text: "This form was sent from another site. Nothing was done. Go back to the application and start again."})
			return
		}
		next(w, r)
	}
}

// contentPolicy allows a page our own style and forms, and nothing else. formTarget is where the answer to a form may
// redirect to: Chromium holds redirects to "form-action" too.
func contentPolicy(formTarget string) string {
	form := "'self'"
	if formTarget != "" {
		form += " " + formTarget
	}
	return "default-src 'none'; style-src 'self'; img-src 'self'; form-action " + form +
		"; frame-ancestors 'none'; base-uri 'none'"
}
