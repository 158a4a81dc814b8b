package securitysystem_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
	"github.com/realguardio/realguardio/services/securitysystem"
)

func TestManyWhoArmAtOnceMakeOneEvent(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open()})
		id := w.install("oakland").GetId()
		var calls sync.WaitGroup
		for _, who := range []string{"alice", "mary"} {
			for range 8 {
				calls.Go(func() {
					answer, err := w.systems.ArmSecuritySystem(w.as(who), &v1.ArmSecuritySystemRequest{SecuritySystemId: id})
					if err != nil || answer.GetSecuritySystem().GetState() != v1.State_ARMED {
						t.Errorf("%v, %v", answer.GetSecuritySystem().GetState(), err)
					}
				})
			}
		}
		calls.Wait()
		if n := w.count(id, v1.EventType_SYSTEM_ARMED); n != 1 {
			t.Errorf("%d events", n)
		}
		if etag := w.get(id).GetEtag(); etag != "2" {
			t.Errorf("etag %s", etag)
		}
	})
}

func TestOfManyWithOneETagOneWins(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open()})
		system := w.install("oakland")
		var (
			calls sync.WaitGroup
			won   atomic.Int32
		)
		for i := range 12 {
			calls.Go(func() {
				_, err := w.systems.ArmSecuritySystem(w.as("mary"), &v1.ArmSecuritySystemRequest{
					SecuritySystemId: system.GetId(), Etag: system.GetEtag(), Mode: v1.Mode(1 + i%3),
				})
				switch status.Code(err) {
				case codes.OK:
					won.Add(1)
				case codes.Aborted:
				default:
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if won.Load() != 1 || w.count(system.GetId(), v1.EventType_SYSTEM_ARMED) != 1 {
			t.Errorf("%d won", won.Load())
		}
	})
}

func TestOfManyWhoInstallAtOneLocationOneSucceeds(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open()})
		var (
			calls sync.WaitGroup
			made  atomic.Int32
		)
		for range 10 {
			calls.Go(func() {
				_, err := w.systems.CreateSecuritySystem(w.as("alice"), &v1.CreateSecuritySystemRequest{LocationId: "oakland"})
				switch status.Code(err) {
				case codes.OK:
					made.Add(1)
				case codes.AlreadyExists:
				default:
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if made.Load() != 1 || w.rows() != 3 {
			t.Errorf("%d made, %d rows", made.Load(), w.rows())
		}
	})
}

// Arming and disarming race; whatever the order, the timeline is a history that the state machine allows, and its
// versions have no gap.
func TestATimelineOfRacingChangesIsAHistory(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open()})
		id := w.install("oakland").GetId()
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				for range 5 {
					_, err := w.systems.ArmSecuritySystem(w.as("mary"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id})
					if err != nil {
						t.Error(err)
					}
				}
			})
			calls.Go(func() {
				for range 5 {
					_, err := w.systems.DisarmSecuritySystem(w.as("alice"), &v1.DisarmSecuritySystemRequest{SecuritySystemId: id})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		calls.Wait()
		events := w.events(id)
		slices.Reverse(events)
		state := v1.State_DISARMED
		for _, e := range events[1:] {
			if e.GetState() == state {
				t.Fatalf("%v from %v", e.GetType(), state)
			}
			state = e.GetState()
		}
		if system := w.get(id); system.GetState() != state || system.GetEtag() != fmt.Sprint(len(events)) {
			t.Errorf("system is %v at %s, its timeline ends %v after %d", system.GetState(), system.GetEtag(), state, len(events))
		}
	})
}

func TestAListIsWhatGetShowsOneByOne(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open()})
		random := rand.New(rand.NewPCG(1, 2))
		var ids []string
		for i := range 40 {
			location := fmt.Sprintf("loc%d", i)
			w.customers.locations[location] = &customerv1.Location{
				Id: location, CustomerId: fmt.Sprintf("cust%d", random.IntN(8)),
				// Few names, so that pages end between systems of one name.
				Name: []string{"Depot", "office", "Ölmühle", "Lager 'x'"}[random.IntN(4)],
			}
			ids = append(ids, w.install(location).GetId())
		}
		all := []customerv1.Role{1, 2, 3, 4}
		for person := range 14 {
			name := fmt.Sprintf("person%d", person)
			for range random.IntN(4) {
				w.customers.grant(name, fmt.Sprintf("cust%d", random.IntN(8)), "", all[random.IntN(4)])
			}
			for range random.IntN(8) {
				l := w.customers.locations[fmt.Sprintf("loc%d", random.IntN(40))]
				w.customers.grant(name, l.GetCustomerId(), l.GetId(), all[1+random.IntN(3)])
			}
		}
		for person := range 15 {
			name := fmt.Sprintf("person%d", person)
			if person == 14 {
				name = "admin"
			}
			ctx, want := w.as(name), map[string]*v1.SecuritySystem{}
			for _, id := range ids {
				answer, err := w.systems.GetSecuritySystem(ctx, &v1.GetSecuritySystemRequest{SecuritySystemId: id})
				if err == nil {
					want[id] = answer.GetSecuritySystem()
				} else if status.Code(err) != codes.NotFound {
					t.Fatal(err)
				}
			}
			got, inOrder := map[string]*v1.SecuritySystem{}, []string{}
			size := int32(1 + random.IntN(20))
			token := ""
			for {
				answer, err := w.systems.ListSecuritySystems(ctx, &v1.ListSecuritySystemsRequest{PageSize: size, PageToken: token})
				if err != nil {
					t.Fatal(err)
				}
				if len(answer.GetSecuritySystems()) > int(size) {
					t.Fatalf("a page of %d, asked for %d", len(answer.GetSecuritySystems()), size)
				}
				for _, s := range answer.GetSecuritySystems() {
					if got[s.GetId()] != nil {
						t.Fatalf("%s is listed twice", s.GetId())
					}
					got[s.GetId()] = s
					inOrder = append(inOrder, s.GetLocationName())
				}
				if token = answer.GetNextPageToken(); token == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if groups := slices.Compact(inOrder); len(groups) > 4 {
				t.Errorf("%s: not in order of names: %q", name, groups)
			}
		}
	})
}

type listQuery struct {
	text string
	args []any
	// sorted queries come out of an index in their order.
	sorted bool
}

func listQueries() map[string]listQuery {
	queries := map[string]listQuery{}
	add := func(name string, sorted bool, v securitysystem.Visible, p securitysystem.Place) {
		text, args := securitysystem.ListQuery(v, p, 10)
		queries[name] = listQuery{text, args, sorted}
	}
	one, many := []string{"a"}, []string{"a", "b", "c"}
	place := securitysystem.Place{LocationName: "x", ID: "y"}
	add("everything", true, securitysystem.Visible{All: true}, securitysystem.Place{})
	add("everything, a later page", true, securitysystem.Visible{All: true}, place)
	add("one customer", true, securitysystem.Visible{Customers: one}, place)
	add("some customers", false, securitysystem.Visible{Customers: many}, place)
	add("some locations", false, securitysystem.Visible{Locations: many}, place)
	add("customers and locations", false, securitysystem.Visible{Customers: many, Locations: many}, place)
	return queries
}

// A list must not look at systems that the caller has no right to, however many there are.
func TestAListUsesAnIndexForEachKindOfRight(t *testing.T) {
	w := newWorld(t, options{})
	for name, query := range listQueries() {
		t.Run(name, func(t *testing.T) {
			rows, err := w.db.Query(t.Context(), "EXPLAIN QUERY PLAN "+query.text, query.args...)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var plan []string
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				plan = append(plan, detail)
			}
			text := strings.Join(plan, "\n")
			for _, line := range plan {
				if strings.HasPrefix(line, "SCAN security_system") && !strings.Contains(line, "USING INDEX") {
					t.Errorf("reads the whole table:\n%s", text)
				}
			}
			if query.sorted && strings.Contains(text, "USE TEMP B-TREE") {
				t.Errorf("sorts:\n%s", text)
			}
		})
	}
}

func TestAChangeIsPublishedWithFactsAboutItsActor(t *testing.T) {
	storetest.EachRedis(t, func(t *testing.T, addr string) {
		w := newWorld(t, options{redis: addr})
		w.run()
		id := w.install("oakland").GetId()
		w.arm(id)
		stream := redis.NewClient(&redis.Options{Addr: addr})
		defer stream.Close()
		var messages []redis.XMessage
		meshtest.Await(w, "both events are in the stream", func() bool {
			var err error
			messages, err = stream.XRange(t.Context(), outbox.Stream("securitysystem"), "-", "+").Result()
			return err == nil && len(messages) == 2
		})
		envelope, _, err := outbox.Decode(messages[1])
		if err != nil {
			t.Fatal(err)
		}
		var got v1.SecuritySystemChanged
		if err := protojson.Unmarshal(envelope.Data, &got); err != nil {
			t.Fatal(err)
		}
		event := w.events(id)[0]
		want := &v1.SecuritySystemChanged{Event: event, CustomerId: "acme", LocationId: "oakland", LocationName: "Location oakland"}
		if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if envelope.ID != event.GetId() || envelope.Subject != id || envelope.Source != "urn:realguardio:securitysystem" ||
			envelope.Type != "realguardio.securitysystem.v1.SecuritySystemChanged.system_armed" || !envelope.Time.Equal(event.GetTime().AsTime()) {
			t.Errorf("envelope %+v", envelope)
		}
		text, err := json.Marshal(messages)
		if err != nil || strings.Contains(string(text), "eyJ") || strings.Contains(strings.ToLower(string(text)), "bearer") {
			t.Errorf("a token in an event: %s, %v", text, err)
		}
	})
}

func TestSystemsSurviveARestart(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		before := newWorld(t, options{db: open()})
		id := before.install("oakland").GetId()
		before.arm(id)
		want := before.get(id)
		after := newWorld(t, options{db: open(), now: func() time.Time { return time.Now().Add(time.Hour) }})
		if diff := cmp.Diff(want, after.get(id), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}
