package securitysystem_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// site is a world in which systems are installed, and the customer service asks for them.
type site struct {
	*world
	// later is how far the service's clock is ahead.
	later    atomic.Int64
	customer v1.SecuritySystemServiceClient
}

func eachSite(t *testing.T, test func(s *site)) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		s := &site{}
		s.world = newWorld(t, options{db: open(), now: func() time.Time { return time.Now().Add(time.Duration(s.later.Load())) }})
		s.customer = v1.NewSecuritySystemServiceClient(s.server.DialAs(t, "customer"))
		test(s)
	})
}

func (s *site) create(ctx context.Context, location string) error {
	_, err := s.systems.CreateSecuritySystem(ctx, &v1.CreateSecuritySystemRequest{LocationId: location})
	return err
}

func (s *site) occupied(location string) bool {
	s.Helper()
	answer, err := s.customer.HasSystemAt(meshtest.As(s.Context(), s.iss.Workload(s.T, "customer")),
		&v1.HasSystemAtRequest{LocationId: location})
	if err != nil {
		s.Error(err)
	}
	return answer.GetInstalled()
}

func TestALocationIsTakenBeforeItIsLookedUpForGood(t *testing.T) {
	eachSite(t, func(s *site) {
		s.customers.onLookup(func(n int) error {
			switch n {
			case 1:
				if s.occupied("oakland") {
					t.Error("taken before it is known that the caller may")
				}
			case 2:
				if !s.occupied("oakland") || s.occupied("berkeley") {
					t.Error("a location that is reserved must count as taken, and no other")
				}
				answer, err := s.systems.ListSecuritySystems(s.as("alice"), &v1.ListSecuritySystemsRequest{})
				if err != nil || len(answer.GetSecuritySystems()) > 0 {
					t.Errorf("a system that is not there yet is listed: %v, %v", answer, err)
				}
				s.refused(s.create(s.as("alice"), "oakland"), codes.AlreadyExists, "ALREADY_EXISTS")
			}
			return nil
		})
		if err := s.create(s.as("alice"), "oakland"); err != nil {
			t.Fatal(err)
		}
		if !s.occupied("oakland") || s.rows() != 3 {
			t.Errorf("%d rows", s.rows())
		}
	})
}

func TestNothingIsLeftOfASystemThatCannotBeInstalled(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"the location is being removed", mesh.FailedPrecondition("LOCATION_CLOSING", "is being removed"), codes.FailedPrecondition, "LOCATION_CLOSING"},
		{"the location is gone", mesh.NotFound("location", "oakland"), codes.NotFound, "NOT_FOUND"},
		{"the customer service is down", status.Error(codes.Unavailable, "down"), codes.Unavailable, "DEPENDENCY_DOWN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachSite(t, func(s *site) {
				for _, at := range []int{1, 2} {
					s.customers.onLookup(func(n int) error {
						if n >= at { // and when it is asked again
							return test.err
						}
						return nil
					})
					s.refused(s.create(s.as("alice"), "oakland"), test.code, test.reason)
					if s.rows() != 0 || s.occupied("oakland") {
						t.Errorf("%d rows are left after lookup %d", s.rows(), at)
					}
				}
				s.customers.onLookup(nil)
				s.install("oakland")
			})
		})
	}
}

func TestAReservationOfOneWhoDiedEndsAfterAMinute(t *testing.T) {
	eachSite(t, func(s *site) {
		_, err := s.db.Exec(t.Context(), `INSERT INTO reservation (location_id, system_id, until_time) VALUES ($1, $2, $3), ($4, $2, $3)`,
			"oakland", "sys_dead", sqldb.Micros(time.Now().Add(time.Minute)), "berkeley")
		if err != nil {
			t.Fatal(err)
		}
		s.refused(s.create(s.as("alice"), "oakland"), codes.AlreadyExists, "ALREADY_EXISTS")
		s.later.Store(int64(time.Minute))
		if s.occupied("berkeley") {
			t.Error("berkeley is still taken")
		}
		s.install("oakland")
		if s.rows() != 3 {
			t.Errorf("%d rows", s.rows())
		}
	})
}

// The clocks of replicas differ, and processes stall: who was told that a location is free counts, not what time it was.
func TestAnInstallationThatTookTooLongMakesNothing(t *testing.T) {
	eachSite(t, func(s *site) {
		for _, test := range []struct {
			name, place string
			meanwhile   func()
			left        int
		}{
			{"the location was found free to be removed", "oakland", func() {
				if s.occupied("oakland") {
					t.Error("still taken")
				}
			}, 0},
			{"another system was installed", "berkeley", func() { s.install("berkeley") }, 3},
		} {
			t.Run(test.name, func(t *testing.T) {
				s.customers.onLookup(func(n int) error {
					if n == 2 {
						s.customers.onLookup(nil)
						s.later.Add(int64(time.Minute))
						test.meanwhile()
					}
					return nil
				})
				before := s.rows()
				s.refused(s.create(s.as("alice"), test.place), codes.Aborted, "RESERVATION_LAPSED")
				if got := s.rows() - before; got != test.left {
					t.Errorf("%d rows more, want %d", got, test.left)
				}
			})
		}
	})
}

// The customer service removes locations, as it says it does, while systems are installed there.
func TestNoSystemStandsAtALocationThatWasRemoved(t *testing.T) {
	eachSite(t, func(s *site) {
		ended := map[string]int{}
		for round := range 40 {
			place := fmt.Sprint("place", round)
			s.customers.set(place, &customerv1.Location{Id: place, CustomerId: "acme", Name: place})
			// The removal begins with the installation, at its first lookup, or at the one that decides.
			begin := make(chan struct{})
			if round%3 == 0 {
				close(begin)
			}
			var closing atomic.Bool
			s.customers.onLookup(func(n int) error {
				if closing.Load() {
					return mesh.FailedPrecondition("LOCATION_CLOSING", "is being removed")
				}
				if n == round%3 {
					close(begin)
				}
				return nil
			})
			var (
				racing    sync.WaitGroup
				installed error
				removed   bool
			)
			alice := s.as("alice")
			racing.Go(func() { installed = s.create(alice, place) })
			racing.Go(func() {
				<-begin
				closing.Store(true)
				if removed = !s.occupied(place); removed {
					s.customers.set(place, nil)
				}
				closing.Store(false)
			})
			racing.Wait()
			if removed && (installed == nil || s.occupied(place)) {
				t.Fatalf("round %d: a system stands at a location that was removed", round)
			}
			ended[fmt.Sprintf("%s/%v", mesh.Reason(installed), removed)]++
		}
		t.Log("install/removed ended as", ended)
		if ended["/false"] == 0 || ended["LOCATION_CLOSING/true"]+ended["NOT_FOUND/true"] == 0 {
			t.Error("one side always won")
		}
	})
}
