package balancing

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
)

// Renewing is transport security that can tell when a connection should be made anew. Its handshakes report what they have
// agreed on by [Made].
type Renewing interface {
	// Outdated reports whether a handshake of now would agree on other certificates than the one that gave info. It may read
	// files.
	Outdated(info credentials.AuthInfo) bool
}

// renewing returns what tells of a connection with this transport security.
func renewing(security credentials.TransportCredentials) (Renewing, bool) {
	if t, ok := security.(telling); ok {
		security = t.TransportCredentials
	}
	r, ok := security.(Renewing)
	return r, ok
}

// lookEvery is how often connections are asked about. The question costs a look at some files.
const lookEvery = time.Second

// Made reports a handshake, within whose context it is called.
func Made(ctx context.Context, info credentials.AuthInfo) {
	if to, ok := credentials.ClientHandshakeInfoFromContext(ctx).Attributes.Value(madeKey{}).(*generation); ok {
		to.made.Store(&info)
	}
}

type madeKey struct{}

// renewer makes the connections of a balancer, and makes them anew when their certificates have changed: the new one first.
// Calls go by that one as soon as it is ready, and by the one before until then. That is shut down when the last call on it has
// ended: one that has picked it may still be waiting for a token, and grpc begins no call on what is shut down, but lets it
// wait until the streams have ended that are there.
type renewer struct {
	balancer.ClientConn
	security Renewing
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu   sync.Mutex
	held map[*lasting]struct{}
	// replaced are not to be picked any more.
	replaced []*generation
}

func newRenewer(cc balancer.ClientConn, security Renewing) *renewer {
	r := &renewer{ClientConn: cc, security: security, held: map[*lasting]struct{}{}}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.work.Go(func() { r.follow(ctx) })
	return r
}

func (r *renewer) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.look()
		case <-ctx.Done():
			return
		}
	}
}

// look renews what is outdated, and shuts down what has been replaced. It holds no lock while it asks: who waits for a file must
// not keep grpc waiting.
func (r *renewer) look() {
	r.mu.Lock()
	r.replaced = slices.DeleteFunc(r.replaced, (*generation).shutWhenUnused)
	ready := map[*lasting]*generation{}
	for l := range r.held {
		if now := l.now.Load(); l.ready && l.next == nil {
			ready[l] = now
		}
	}
	r.mu.Unlock()
	for l, now := range ready {
		if info := now.made.Load(); info != nil && r.security.Outdated(*info) {
			l.renew(now)
		}
	}
}

// NewSubConn makes a connection that lasts through its renewals.
func (r *renewer) NewSubConn(addresses []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	l := &lasting{of: r, addresses: addresses, options: o}
	first, err := l.generate()
	if err != nil {
		return nil, err
	}
	l.SubConn = first.conn
	l.now.Store(first)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[l] = struct{}{}
	return l, nil
}

// lasting is what a balancer takes for one connection to an address. grpc calls its listeners one after the other.
type lasting struct {
	balancer.SubConn // the first
	of               *renewer
	addresses        []resolver.Address
	options          balancer.NewSubConnOptions
	// now is what calls go by.
	now atomic.Pointer[generation]
	// replica is told how calls ended.
	replica atomic.Pointer[replica]

	// Under the lock of the renewer: whether now is ready, and what is to take its place, nil for nothing.
	ready bool
	next  *generation
}

// generation is one of the connections that follow each other.
type generation struct {
	conn balancer.SubConn
	// made is what the last handshake has agreed on.
	made atomic.Pointer[credentials.AuthInfo]
	// calls is how many go by it, and done tells that one has ended.
	calls atomic.Int64
	done  func(balancer.DoneInfo)
}

// pick is the result of a call that goes by g.
func (g *generation) pick() balancer.PickResult {
	g.calls.Add(1)
	return balancer.PickResult{SubConn: g.conn, Done: g.done}
}

// shutWhenUnused reports whether it has shut g down. A call that picks it in this moment is made by another: no stream is left
// that it could wait for.
func (g *generation) shutWhenUnused() bool {
	if g.calls.Load() > 0 {
		return false
	}
	g.conn.Shutdown()
	return true
}

func (l *lasting) generate() (*generation, error) {
	g := &generation{}
	g.done = func(info balancer.DoneInfo) {
		g.calls.Add(-1)
		l.replica.Load().done(info)
	}
	addresses := make([]resolver.Address, 0, len(l.addresses))
	for _, a := range l.addresses {
		a.Attributes = a.Attributes.WithValue(madeKey{}, g)
		addresses = append(addresses, a)
	}
	o := l.options
	o.StateListener = func(s balancer.SubConnState) { l.changed(g, s) }
	var err error
	g.conn, err = l.of.ClientConn.NewSubConn(addresses, o)
	return g, err
}

// renew begins to replace a generation, unless that is not what calls go by any more.
func (l *lasting) renew(now *generation) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if _, held := l.of.held[l]; !held || !l.ready || l.next != nil || l.now.Load() != now {
		return
	}
	if next, err := l.generate(); err == nil { // else the whole of it is being closed
		l.next = next
		next.conn.Connect()
	}
}

// changed is told of every state of every generation. The balancer knows of one connection, and is told of that which calls
// go by.
func (l *lasting) changed(g *generation, s balancer.SubConnState) {
	if l.note(g, s.ConnectivityState) {
		l.options.StateListener(s)
	}
}

// note reports whether a change is one of what calls go by.
func (l *lasting) note(g *generation, s connectivity.State) bool {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	switch now := l.now.Load(); {
	case g == now:
		l.ready = s == connectivity.Ready
		if !l.ready {
			l.drop() // what is made now agrees on the same
		}
		return true
	case g != l.next:
		return false
	case s == connectivity.Ready:
		l.now.Store(g)
		l.next = nil
		l.of.replaced = append(l.of.replaced, now)
		return true
	case s == connectivity.Idle:
		g.conn.Connect()
	}
	return false
}

// drop gives up what was to take the place of now. The lock is held.
func (l *lasting) drop() {
	if l.next != nil {
		l.next.conn.Shutdown()
		l.next = nil
	}
}

func (l *lasting) Connect() { l.now.Load().conn.Connect() }

func (l *lasting) Shutdown() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	delete(l.of.held, l)
	l.drop()
	l.now.Load().conn.Shutdown()
}

// renewed is a balancer whose connections are renewed.
type renewed struct {
	balancer.Balancer
	renewer *renewer
}

func (r renewed) Close() {
	r.renewer.stop()
	r.renewer.work.Wait()
	r.Balancer.Close()
}
