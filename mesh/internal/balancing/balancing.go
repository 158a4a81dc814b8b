// Package balancing decides by which of its connections a call goes: it spreads calls over the replicas of a server, passes
// over those that fail, and makes connections anew whose certificates have changed.
//
// Which errors are a replica's fault it is told, and when a connection is outdated; how often a call is tried again, and
// whether a server may be talked to, is decided in package mesh.
package balancing

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
)

// Name is by which a service config asks for this load balancing.
const Name = "realguardio_round_robin"

// New returns what makes the balancers of connections: calls go to all replicas in turn that are connected, say of
// themselves that they serve (grpc.health.v1), and do not fail much more than they work. faulty reports whether an error
// with which a call ended speaks of the replica rather than of the call.
func New(faulty func(error) bool) balancer.Builder { return roundRobin{faulty} }

type roundRobin struct{ faulty func(error) bool }

func (roundRobin) Name() string { return Name }

func (b roundRobin) Build(cc balancer.ClientConn, o balancer.BuildOptions) balancer.Balancer {
	r := &replicas{now: time.Now, faulty: b.faulty, ejected: toldBy(o.DialCreds), known: map[string]*replica{}}
	builder := base.NewBalancerBuilder(Name, r, base.Config{HealthCheck: true})
	security, ok := renewing(o.DialCreds)
	if !ok {
		return builder.Build(cc, o)
	}
	renewer := newRenewer(cc, security)
	return renewed{builder.Build(renewer, o), renewer}
}

// replicas are what one connection knows of the addresses that it can reach.
type replicas struct {
	now    func() time.Time
	faulty func(error) bool
	// ejected is told of each that is passed over.
	ejected Ejected
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
	addr  string
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
			known = &replica{of: r, addr: at.Address.Addr}
			r.known[at.Address.Addr] = known
		}
		lasts, _ := conn.(*lasting)
		if lasts != nil {
			lasts.replica.Store(known)
		}
		p.members = append(p.members, member{known, lasts, balancer.PickResult{SubConn: conn, Done: known.done}})
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
	// lasts is nil where the connection is one for ever.
	lasts  *lasting
	result balancer.PickResult
}

// pick is the connection that calls go by now.
func (m *member) pick() balancer.PickResult {
	if m.lasts != nil {
		return m.lasts.now.Load().pick()
	}
	return m.result
}

func (p *picker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	n := uint32(len(p.members))
	first := p.next.Add(1)
	if p.of.ejectedUntil.Load() == 0 {
		return p.members[first%n].pick(), nil
	}
	now := p.of.now().UnixNano()
	if p.of.ejectedUntil.Load() < now {
		p.of.ejectedUntil.Store(0) // one that is ejected in this moment is passed over from its next failure
	}
	for i := range n {
		if m := &p.members[(first+i)%n]; m.until.Load() <= now {
			return m.pick(), nil
		}
	}
	return p.members[first%n].pick(), nil
}
