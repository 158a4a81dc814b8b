package customer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

func (a *acme) lookup(ctx context.Context, location string) error {
	_, err := a.client.LookupLocation(ctx, &customerv1.LookupLocationRequest{LocationId: location})
	return err
}

func (a *acme) remove(ctx context.Context, location string) error {
	_, err := a.client.RemoveLocation(ctx, &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: location})
	return err
}

func eachAcme(t *testing.T, test func(t *testing.T, a *acme)) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) { test(t, newAcme(t, worldOver(t, open()))) })
}

func TestALocationThatIsBeingRemovedIsClosed(t *testing.T) {
	eachAcme(t, func(t *testing.T, a *acme) {
		a.systems.while(func(string) bool {
			refused(t, a.lookup(a.as("alice"), a.oakland), codes.FailedPrecondition, "LOCATION_CLOSING")
			refused(t, a.lookup(a.as("bob"), a.oakland), codes.NotFound, "NOT_FOUND")
			refused(t, a.remove(a.as("alice"), a.oakland), codes.FailedPrecondition, "LOCATION_CLOSING")
			if err := a.lookup(a.as("alice"), a.berkeley); err != nil {
				t.Error(err)
			}
			return false
		})
		if err := a.remove(a.as("alice"), a.oakland); err != nil {
			t.Fatal(err)
		}
		refused(t, a.lookup(a.as("alice"), a.oakland), codes.NotFound, "NOT_FOUND")
	})
}

func TestALocationThatIsNotRemovedAfterAllIsOpen(t *testing.T) {
	eachAcme(t, func(t *testing.T, a *acme) {
		for _, test := range []struct {
			name      string
			meanwhile func(leave func()) bool
			down      error
			code      codes.Code
		}{
			{"it has a system", func(func()) bool { return true }, nil, codes.FailedPrecondition},
			{"the security system service is down", func(func()) bool { return false }, status.Error(codes.Unavailable, "down"), codes.Unavailable},
			{"the caller leaves", func(leave func()) bool { leave(); return true }, nil, codes.Canceled},
		} {
			t.Run(test.name, func(t *testing.T) {
				ctx, leave := context.WithCancel(a.as("alice"))
				defer leave()
				a.systems.set("", test.down)
				a.systems.while(func(string) bool { return test.meanwhile(leave) })
				if err := a.remove(ctx, a.oakland); status.Code(err) != test.code {
					t.Errorf("ended with %v, want %v", err, test.code)
				}
				// One who leaves does not wait for it.
				meshtest.Await(t, "it is open again", func() bool { return a.lookup(a.as("alice"), a.oakland) == nil })
			})
		}
	})
}

func TestAnAttemptToRemoveThatDiedClosesALocationForHalfAMinute(t *testing.T) {
	eachAcme(t, func(t *testing.T, a *acme) {
		die := func() {
			_, err := a.db.Exec(t.Context(), `UPDATE locations SET closing_until = $1 WHERE id = $2`,
				sqldb.Micros(a.clock.Now().Add(30*time.Second)), a.oakland)
			if err != nil {
				t.Fatal(err)
			}
		}
		die()
		a.clock.Advance(29 * time.Second)
		refused(t, a.lookup(a.as("alice"), a.oakland), codes.FailedPrecondition, "LOCATION_CLOSING")
		a.clock.Advance(2 * time.Second)
		if err := a.lookup(a.as("alice"), a.oakland); err != nil {
			t.Error(err)
		}
		die()
		a.clock.Advance(31 * time.Second)
		if err := a.remove(a.as("alice"), a.oakland); err != nil {
			t.Error(err)
		}
	})
}

// The clocks of replicas differ, and processes stall: who was let in counts, not what time it was.
func TestARemovalThatTookTooLongRemovesNothingThatOthersRelyOn(t *testing.T) {
	eachAcme(t, func(t *testing.T, a *acme) {
		a.systems.while(func(string) bool {
			a.clock.Advance(31 * time.Second)
			if err := a.lookup(a.as("alice"), a.oakland); err != nil {
				t.Error(err)
			}
			return false
		})
		refused(t, a.remove(a.as("alice"), a.oakland), codes.Aborted, "CLOSING_LAPSED")
		if err := a.lookup(a.as("alice"), a.oakland); err != nil {
			t.Error(err)
		}
		a.systems.while(nil)
		if err := a.remove(a.as("alice"), a.oakland); err != nil {
			t.Error(err)
		}
	})
}

// A security system service that reserves before it looks races with removals of the same location.
func TestNoSystemIsInstalledAtALocationThatIsRemoved(t *testing.T) {
	eachAcme(t, func(t *testing.T, a *acme) {
		var (
			mu       sync.Mutex
			reserved = map[string]bool{}
		)
		reserve := func(location string, yes bool) {
			mu.Lock()
			defer mu.Unlock()
			reserved[location] = yes
		}
		a.systems.while(func(location string) bool {
			mu.Lock()
			defer mu.Unlock()
			return reserved[location]
		})
		ended := map[string]int{}
		for round := range 40 {
			place := a.location("alice", a.id, fmt.Sprint("Place ", round))
			var (
				racing             sync.WaitGroup
				installed, removed error
			)
			start := make(chan struct{})
			racing.Go(func() {
				<-start
				reserve(place, true)
				if installed = a.lookup(a.as("alice"), place); installed != nil {
					reserve(place, false)
				}
			})
			racing.Go(func() {
				<-start
				removed = a.remove(a.as("alice"), place)
			})
			close(start)
			racing.Wait()
			if installed == nil && removed == nil {
				t.Fatalf("round %d: a system stands at a location that is removed", round)
			}
			ended[mesh.Reason(installed)+"/"+mesh.Reason(removed)]++
		}
		t.Log("install/remove ended as", ended)
	})
}
