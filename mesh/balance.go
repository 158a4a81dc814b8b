package mesh

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// balancing is the name by which a service config asks for our load balancing.
const balancing = "realguardio_round_robin"

// When a replica is passed over. grpc's own outlier detection comes with the whole of xDS, and takes every error for a
// failure of the replica, a refusal of its caller included.
const (
	// failureWindow is how long failures are counted together, from the first.
	failureWindow = 10 * time.Second
	// ejectAfter failures in a window, when they are at least half of the calls, a replica is passed over.
	ejectAfter = 5
	// ejection is how long, at the first time. Each further one takes as much longer, up to maxEjection.
	ejection    = 5 * time.Second
	maxEjection = time.Minute
)

// grpc knows load balancing only by a name in a registry that is filled before anything runs.
func init() { balancer.Register(roundRobin{}) }

// roundRobin makes the balancers of connections: calls go to all replicas in turn that are connected, say of themselves
// that they serve (grpc.health.v1), and do not fail much more than they work.
type roundRobin struct{}

func (roundRobin) Name() string { return balancing }

func (roundRobin) Build(cc balancer.ClientConn, o balancer.BuildOptions) balancer.Balancer {
	r := &replicas{now: time.Now, known: map[string]*replica{}}
	return base.NewBalancerBuilder(balancing, r, base.Config{HealthCheck: true}).Build(cc, o)
}

// replicas are what one connection knows of the addresses that it can reach.
type replicas struct {
	now func() time.Time
	// ejectedUntil is when the last of those passed over is not any more, in nanoseconds: while it is in the past, picking
	// looks at no clock of any.
	ejectedUntil atomic.Int64

	mu    sync.Mutex
	known map[string]*replica
	ready int
}

// replica is what is known of one address.
type replica struct {
	of    *replicas
	calls atomic.Int64
	until atomic.Int64
	// since, failures and ejections are read and written under the lock of replicas, on failures only.
	since     time.Time
	failures  int64
	ejections int
}

// Build makes the picker for the connections that are ready now.
func (r *replicas) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &picker{of: r}
	for conn, at := range info.ReadySCs {
		known := r.known[at.Address.Addr]
		if known == nil {
			known = &replica{of: r}
			r.known[at.Address.Addr] = known
		}
		p.members = append(p.members, member{known, balancer.PickResult{SubConn: conn, Done: known.done}})
	}
	r.ready = len(p.members)
	r.forget()
	p.next.Store(rand.Uint32())
	return p
}

// forget drops replicas that are gone for good, where there are many: addresses change for as long as a process lives.
func (r *replicas) forget() {
	if len(r.known) < 4*r.ready+16 {
		return
	}
	now := r.now()
	for addr, one := range r.known {
		if one.until.Load() < now.UnixNano() && now.Sub(one.since) > maxEjection {
			delete(r.known, addr)
		}
	}
}

// picker takes one after the other.
type picker struct {
	of      *replicas
	members []member
	next    atomic.Uint32
}

type member struct {
	*replica
	result balancer.PickResult
}

func (p *picker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	n := uint32(len(p.members))
	first := p.next.Add(1)
	if p.of.ejectedUntil.Load() == 0 {
		return p.members[first%n].result, nil
	}
	now := p.of.now().UnixNano()
	if p.of.ejectedUntil.Load() < now {
		p.of.ejectedUntil.Store(0) // one that is ejected in this moment is passed over from its next failure
	}
	for i := range n {
		if m := p.members[(first+i)%n]; m.until.Load() <= now {
			return m.result, nil
		}
	}
	return p.members[first%n].result, nil
}

// done counts how a call ended.
func (r *replica) done(info balancer.DoneInfo) {
	r.calls.Add(1)
	if isFailure(info.Err) {
		r.of.failed(r)
	}
}

// isFailure reports whether an error speaks of the replica rather than of the call. One that sheds is well, and passing
// it over would only bury the others.
func isFailure(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Unknown, codes.DataLoss:
		return Reason(err) != ReasonOverloaded
	default:
		return false
	}
}

func (r *replicas) failed(one *replica) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Sub(one.since) > failureWindow {
		one.since, one.failures = now, 0
		one.calls.Store(1)
	}
	one.failures++
	if one.failures < ejectAfter || 2*one.failures < one.calls.Load() || !r.mayEject(now) {
		return
	}
	if now.Sub(time.Unix(0, one.until.Load())) > maxEjection {
		one.ejections = 0
	}
	one.ejections++
	until := now.Add(min(time.Duration(one.ejections)*ejection, maxEjection)).UnixNano()
	one.until.Store(until)
	one.since = time.Time{}
	r.ejectedUntil.Store(max(until, r.ejectedUntil.Load()))
}

// mayEject keeps half of the replicas: where most fail, it is not they who are at fault.
func (r *replicas) mayEject(now time.Time) bool {
	ejected := 0
	for _, one := range r.known {
		if one.until.Load() > now.UnixNano() {
			ejected++
		}
	}
	return ejected+1 <= r.ready/2
}
