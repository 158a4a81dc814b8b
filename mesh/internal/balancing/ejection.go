package balancing

import (
	"time"

	"google.golang.org/grpc/balancer"
)

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

// done counts how a call ended.
func (r *replica) done(info balancer.DoneInfo) {
	r.calls.Add(1)
	if info.Err != nil && r.of.faulty(info.Err) {
		r.of.failed(r)
	}
}

func (r *replicas) failed(one *replica) {
	if pause := r.eject(one); pause > 0 {
		r.ejected(one.addr, pause)
	}
}

// eject counts a failure, and returns for how long the replica is passed over now because of it; 0 where it is not.
func (r *replicas) eject(one *replica) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Sub(one.since) > failureWindow {
		one.since, one.failures = now, 0
		one.calls.Store(1)
	}
	one.failures++
	if one.failures < ejectAfter || 2*one.failures < one.calls.Load() || !r.mayEject(now) {
		return 0
	}
	if now.Sub(time.Unix(0, one.until.Load())) > maxEjection {
		one.ejections = 0
	}
	one.ejections++
	pause := min(time.Duration(one.ejections)*ejection, maxEjection)
	until := now.Add(pause).UnixNano()
	one.until.Store(until)
	one.since = time.Time{}
	r.ejectedUntil.Store(max(until, r.ejectedUntil.Load()))
	return pause
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
