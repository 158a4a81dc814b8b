// Package assembly builds each part out of its service, the mesh and its stores, and runs it. Development and production
// use the same constructors; they differ in what they pass. Where addresses, keys and URLs come from is the command
// line's.
package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/ops"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
)

// The parts.
const (
	Token          = "token"
	Customer       = "customer"
	SecuritySystem = "securitysystem"
	Notification   = "notification"
	Gateway        = "gateway"
)

// Names lists the parts in the order in which they are easiest to start: each after those it asks.
var Names = []string{Token, Customer, SecuritySystem, Notification, Gateway}

// Part is one part, built and not yet running.
type Part struct {
	Name string
	Ops  *ops.Ops
	// log names the part; meshLog does not, because the mesh and the gateway add the name themselves.
	log, meshLog *slog.Logger
	// tracer is nil where no traces are made.
	tracer *tracing.Tracer
	// drainDelay is how long the part goes on serving after it stopped being ready, so that load balancers notice.
	drainDelay time.Duration
	// servers answer others, workers work by themselves. Workers outlive servers, which may need them to finish.
	servers, workers []task
	// grpc are those of the servers that tell their clients whether they serve.
	grpc []*mesh.Server
	// closers run last, in reverse order.
	closers []func() error
}

// task runs until its context ends.
type task struct {
	what string
	run  func(context.Context) error
}

func (p *Part) serve(what string, run func(context.Context) error) {
	p.servers = append(p.servers, task{what, run})
}

func (p *Part) work(what string, run func(context.Context) error) {
	p.workers = append(p.workers, task{what, run})
}

func (p *Part) onClose(f func() error) { p.closers = append(p.closers, f) }

// Run serves until ctx ends, then drains: it stops being ready, lets running requests end, stops its background work and
// closes its stores. It returns nil after that, or what made it stop earlier.
func (p *Part) Run(ctx context.Context) error {
	group, failing := errgroup.WithContext(context.WithoutCancel(ctx))
	serving, stopServing := context.WithCancel(failing)
	working, stopWorking := context.WithCancel(failing)
	defer stopServing()
	defer stopWorking()
	for _, w := range p.workers {
		group.Go(func() error { return p.report(w, w.run(working), working) })
	}
	group.Go(func() error {
		defer stopWorking()
		servers, failing := errgroup.WithContext(serving)
		for _, s := range p.servers {
			servers.Go(func() error { return p.report(s, s.run(failing), failing) })
		}
		return servers.Wait()
	})
	group.Go(func() error {
		defer stopServing()
		select {
		case <-ctx.Done():
			p.drain(failing)
		case <-working.Done():
		}
		return nil
	})
	return errors.Join(group.Wait(), p.Close())
}

func (p *Part) drain(ctx context.Context) {
	p.Ops.Drain()
	for _, s := range p.grpc {
		s.SetServing(false)
	}
	p.log.Info("shutting down")
	timer := time.NewTimer(p.drainDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// report turns the end of a task into an error unless it was asked to end.
func (p *Part) report(t task, err error, ctx context.Context) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	if err == nil {
		err = errors.New("ended by itself")
	}
	return fmt.Errorf("%s: %s: %w", p.Name, t.what, err)
}

// Close releases what the part holds. Run does it; call it only for a part that never ran.
func (p *Part) Close() error {
	var all error
	for _, closer := range slices.Backward(p.closers) {
		all = errors.Join(all, closer())
	}
	p.closers = nil
	return all
}

// httpDrain is how long HTTP requests may go on after shutdown began.
const httpDrain = 10 * time.Second

// serveUntil answers on the listener, with TLS where the server has a certificate, until ctx ends, then lets requests finish for a while.
func serveUntil(ctx context.Context, server *http.Server, l net.Listener, drain time.Duration) error {
	served := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			served <- server.ServeTLS(l, "", "")
			return
		}
		served <- server.Serve(l)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		_ = server.Close() // what did not finish in time is cut off
	}
	<-served
	return nil
}
