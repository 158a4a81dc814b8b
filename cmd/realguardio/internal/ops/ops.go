// Package ops serves what operators and orchestrators ask of a part: /healthz, /readyz and /metrics, on a port of its own
// that must not be reachable from outside. What a part needs to be ready is the part's.
package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds one run of all checks of readiness.
const checkTimeout = 2 * time.Second

// Check reports what is missing for readiness, nil when nothing is. It is asked at every /readyz.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// Once turns a check of something that is needed to start, but not to go on, into one that stays satisfied: with the
// identity provider stopped, for example, a part goes on serving tokens that are valid.
func Once(check Check) Check {
	var done atomic.Bool
	return Check{Name: check.Name, Run: func(ctx context.Context) error {
		if done.Load() {
			return nil
		}
		err := check.Run(ctx)
		if err == nil {
			done.Store(true)
		}
		return err
	}}
}

// Ops is what one part shows. Register its metrics in Registry.
type Ops struct {
	Registry *prometheus.Registry
	part     string
	checks   []Check
	log      *slog.Logger
	draining atomic.Bool
}

// New returns the operations of a part.
func New(part string, log *slog.Logger, checks ...Check) *Ops {
	o := &Ops{Registry: prometheus.NewRegistry(), part: part, checks: checks, log: log}
	o.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return o
}

// Add adds checks. Call it before serving.
func (o *Ops) Add(checks ...Check) { o.checks = append(o.checks, checks...) }

// Drain makes the part not ready, so that no new work is sent to it.
func (o *Ops) Drain() { o.draining.Store(true) }

// Ready runs the checks, all at the same time, and returns what is missing by name.
func (o *Ops) Ready(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]error, len(o.checks))
	var wait sync.WaitGroup
	for i, check := range o.checks {
		wait.Go(func() { results[i] = check.Run(ctx) })
	}
	wait.Wait()
	byName := map[string]error{}
	for i, check := range o.checks {
		byName[check.Name] = results[i]
	}
	if o.draining.Load() {
		byName["process"] = errors.New("shutting down")
	}
	return byName
}

// WaitReady returns when everything is ready, or says what is not when ctx ends.
func (o *Ops) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing := missing(o.Ready(ctx))
		if missing == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", o.part, missing)
		case <-ticker.C:
		}
	}
}

func missing(results map[string]error) error {
	var all []error
	for name, err := range results {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(all...)
}

// Handler serves the three pages.
func (o *Ops) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok", "part": o.part})
	})
	mux.HandleFunc("GET /readyz", o.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelWarn)}))
	return mux
}

func (o *Ops) readyz(w http.ResponseWriter, r *http.Request) {
	status, word := http.StatusOK, "ready"
	checks := map[string]string{}
	for name, err := range o.Ready(r.Context()) {
		checks[name] = "ok"
		if err != nil {
			checks[name] = err.Error()
			status, word = http.StatusServiceUnavailable, "not ready"
		}
	}
	answer(w, status, map[string]any{"status": word, "part": o.part, "checks": checks})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// Serve answers on the listener until ctx ends.
func (o *Ops) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: o.Handler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s's operations: %w", o.part, err)
	}
	return nil
}
