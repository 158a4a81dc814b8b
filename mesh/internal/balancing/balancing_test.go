package balancing

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/resolver"
)

var (
	errOfReplica = errors.New("the replica's fault")
	errOfCaller  = errors.New("the caller's fault")
)

func TestAReplicaThatFailsIsPassedOverForAWhile(t *testing.T) {
	for _, tt := range []struct {
		name      string
		addresses []string
		// answer is how replica "a" ends its n-th call.
		answer func(n int) error
		ejects bool
	}{
		{name: "one of two that always fails", addresses: []string{"a", "b"}, answer: func(int) error { return errOfReplica }, ejects: true},
		{name: "one of three that always fails", addresses: []string{"a", "b", "c"}, answer: func(int) error { return errOfReplica }, ejects: true},
		{name: "one that works half of the time", addresses: []string{"a", "b"}, answer: func(n int) error {
			if n%2 == 0 {
				return errOfReplica
			}
			return nil
		}, ejects: true},
		{name: "one that fails now and then", addresses: []string{"a", "b"}, answer: func(n int) error {
			if n%5 == 0 {
				return errOfReplica
			}
			return nil
		}},
		{name: "one that refuses", addresses: []string{"a", "b"}, answer: func(int) error { return errOfCaller }},
		{name: "the only one", addresses: []string{"a"}, answer: func(int) error { return errOfReplica }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			pick := picks(func() time.Time { return now }, tt.addresses...)
			asked := 0
			share := func(calls int) (a int) {
				for range calls {
					address, done := pick()
					if address != "a" {
						done(nil)
						continue
					}
					a++
					done(tt.answer(asked))
					asked++
				}
				return a
			}
			share(30 * len(tt.addresses))
			if got := share(20*len(tt.addresses)) > 0; got == tt.ejects {
				t.Fatalf("it is asked: %v", got)
			}
			if !tt.ejects {
				return
			}
			now = now.Add(5*time.Second + 1)
			if share(2*len(tt.addresses)) == 0 {
				t.Error("it is not tried again")
			}
			share(30 * len(tt.addresses))
			now = now.Add(5*time.Second + 1)
			if share(2*len(tt.addresses)) != 0 {
				t.Error("the second time is no longer than the first")
			}
		})
	}
}

func TestHalfOfTheReplicasAreAlwaysAsked(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	pick := picks(func() time.Time { return now }, "a", "b", "c", "d")
	for range 200 {
		_, done := pick()
		done(errOfReplica)
	}
	asked := map[string]bool{}
	for range 40 {
		address, done := pick()
		asked[address] = true
		done(nil)
	}
	if len(asked) != 2 {
		t.Errorf("of four that fail %d are asked", len(asked))
	}
}

// picks makes the picker of a connection to addresses, all of which are ready, and what tells it how a call ended.
func picks(now func() time.Time, addresses ...string) (pick func() (address string, done func(error))) {
	faulty := func(err error) bool { return !errors.Is(err, errOfCaller) }
	r := &replicas{now: now, faulty: faulty, ejected: toldBy(nil), known: map[string]*replica{}}
	info := base.PickerBuildInfo{ReadySCs: map[balancer.SubConn]base.SubConnInfo{}}
	names := map[balancer.SubConn]string{}
	for _, address := range addresses {
		conn := &fakeConn{address: address}
		info.ReadySCs[conn] = base.SubConnInfo{Address: resolver.Address{Addr: address}}
		names[conn] = address
	}
	picker := r.Build(info)
	return func() (string, func(error)) {
		result, err := picker.Pick(balancer.PickInfo{})
		if err != nil {
			panic(err)
		}
		return names[result.SubConn], func(err error) { result.Done(balancer.DoneInfo{Err: err}) }
	}
}

type fakeConn struct {
	balancer.SubConn
	address string
}
