package mesh

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// serving is what a server tells health checks (grpc.health.v1), of itself and of each of its services.
type serving struct {
	health *health.Server
	// able reports whether the server could do its work now.
	able     func() bool
	services []string

	mu        sync.Mutex
	announced healthv1.HealthCheckResponse_ServingStatus
	unwanted  bool
}

// healthService gives the answer for a service that is not here as an error of ours, which may leave the process.
type healthService struct{ *health.Server }

func (h healthService) Check(ctx context.Context, req *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	resp, err := h.Server.Check(ctx, req)
	if status.Code(err) == codes.NotFound {
		return nil, NotFound("service", req.GetService())
	}
	return resp, err
}

// newServing tells health checks NOT_SERVING at first. The server is able while its verifier is.
func newServing(verifier Verifier) *serving {
	s := &serving{health: health.NewServer(), able: func() bool { return true }}
	if keys, ok := verifier.(interface{ Ready() bool }); ok {
		s.able = keys.Ready
	}
	s.add("")
	return s
}

// add makes a service known to health checks; "" is the server as a whole.
func (s *serving) add(service string) {
	s.services = append(s.services, service)
	s.health.SetServingStatus(service, healthv1.HealthCheckResponse_NOT_SERVING)
}

// want sets whether the server wants to be called.
func (s *serving) want(wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwanted = !wanted
	s.announce()
}

// follow announces what changes until ctx ends.
func (s *serving) follow(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.look()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look announces what has changed.
func (s *serving) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announce()
}

// announce sets what health checks answer. The lock is held.
func (s *serving) announce() {
	state := healthv1.HealthCheckResponse_NOT_SERVING
	if !s.unwanted && s.able() {
		state = healthv1.HealthCheckResponse_SERVING
	}
	if state == s.announced {
		return
	}
	s.announced = state
	for _, service := range s.services {
		s.health.SetServingStatus(service, state)
	}
}
