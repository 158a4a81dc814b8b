package securitysystem_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/securitysystem"
)

// bound is within how long a change of systems or rights is to be noticed.
const bound = time.Second

// watching is an open stream.
type watching struct {
	*world
	stream grpc.ServerStreamingClient[v1.WatchSecuritySystemsResponse]
	stop   context.CancelFunc
}

// watch opens a stream that may be refused, once the service follows its events.
func (w *world) watch(ctx context.Context, position string) *watching {
	w.Helper()
	ctx, stop := context.WithCancel(ctx)
	w.Cleanup(stop)
	stream, err := w.systems.WatchSecuritySystems(ctx, &v1.WatchSecuritySystemsRequest{Position: position})
	if err != nil {
		w.Fatal(err)
	}
	return &watching{w, stream, stop}
}

// next is the next message, or how the stream ended, each in one line.
func (s *watching) next() (told, position string) {
	s.Helper()
	m, err := s.stream.Recv()
	switch {
	case err != nil:
		return status.Code(err).String() + " " + mesh.Reason(err), ""
	case m.GetListAgain():
		told = "list again"
	case m.GetRemovedSecuritySystemId() != "":
		told = "removed " + m.GetRemovedSecuritySystemId()
	case m.GetSecuritySystem() != nil:
		system := m.GetSecuritySystem()
		told = strings.Join([]string{system.GetLocationId(), system.GetState().String(), allowed(system)}, " ")
	default:
		told = "nothing"
	}
	return told, m.GetPosition()
}

func allowed(system *v1.SecuritySystem) string {
	var all []string
	for _, a := range system.GetAllowedActions() {
		all = append(all, a.String())
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// wants reads the messages that are to come, within the bound.
func (s *watching) wants(want ...string) (position string) {
	s.Helper()
	late := time.AfterFunc(10*bound, s.stop)
	defer late.Stop()
	for _, w := range want {
		var told string
		if told, position = s.next(); told != w {
			s.Fatalf("got %q, want %q", told, w)
		}
	}
	return position
}

// follows runs the service and waits until it has followed all events.
func (w *world) follows() {
	w.Helper()
	w.run()
	meshtest.Await(w, "changes are followed", func() bool {
		var unpublished int
		if err := w.db.QueryRow(w.Context(), `SELECT count(*) FROM outbox WHERE published_at IS NULL`).Scan(&unpublished); err != nil {
			w.Fatal(err)
		}
		end := "0-0"
		if entries := w.redis.XRevRangeN(w.Context(), outbox.Stream("securitysystem"), "+", "-", 1).Val(); len(entries) > 0 {
			end = entries[0].ID
		}
		told, _ := w.watch(w.as("admin"), "").next()
		return unpublished == 0 && told == "list again" && securitysystem.Followed(w.service) == end
	})
}

// in is the world in a subtest.
func (w world) in(t *testing.T) *world {
	w.T = t
	return &w
}

func (w *world) armAs(as, system string) {
	w.Helper()
	if _, err := w.systems.ArmSecuritySystem(w.as(as), &v1.ArmSecuritySystemRequest{SecuritySystemId: system}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) disarmAs(as, system string) {
	w.Helper()
	if _, err := w.systems.DisarmSecuritySystem(w.as(as), &v1.DisarmSecuritySystemRequest{SecuritySystemId: system}); err != nil {
		w.Fatal(err)
	}
}

func TestWhoWatchesIsToldOfWhatTheyMayView(t *testing.T) {
	w := newWorld(t, options{})
	oakland, hayward := w.install("oakland").GetId(), w.install("hayward").GetId()
	w.follows()
	alice, victor, mary, bob := w.watch(w.as("alice"), ""), w.watch(w.as("victor"), ""), w.watch(w.as("mary"), ""), w.watch(w.as("bob"), "")
	for _, each := range []*watching{alice, victor, mary, bob} {
		each.wants("list again")
	}
	all := func(alices, victors string) {
		t.Helper()
		alice.wants(alices)
		victor.wants(victors)
		mary.wants(alices)
	}
	disarmed := true
	meshtest.Within(t, bound, "a change is told", func() time.Duration {
		if !disarmed {
			w.disarmAs("mary", oakland)
			all("oakland DISARMED ARM", "oakland DISARMED ")
		}
		disarmed = false
		started := time.Now()
		w.armAs("mary", oakland)
		all("oakland ARMED DISARM", "oakland ARMED ")
		return time.Since(started)
	})
	w.armAs("alice", hayward)
	alice.wants("hayward ARMED DISARM")
	w.disarmAs("mary", oakland)
	alice.wants("oakland DISARMED ARM")
	mary.wants("oakland DISARMED ARM") // and nothing of Hayward
	if _, err := w.systems.RemoveSecuritySystem(w.as("alice"), &v1.RemoveSecuritySystemRequest{SecuritySystemId: oakland}); err != nil {
		t.Fatal(err)
	}
	alice.wants("removed " + oakland)
	mary.wants("removed " + oakland)
	springfield := w.install("springfield").GetId()
	bob.wants("springfield DISARMED ARM")
	w.armAs("bob", springfield)
	bob.wants("springfield ARMED ") // and nothing of what happened at Acme
}

func TestAWatchNeedsSomethingToWatch(t *testing.T) {
	w := newWorld(t, options{})
	w.follows()
	w.watch(w.as("eve"), "").wants("PermissionDenied ROLE_MISSING")
	w.watch(w.with(meshtest.Claims{Subject: "mary", Scopes: []string{"securitysystem.arm"}}), "").wants("PermissionDenied SCOPE_MISSING")
	w.watch(t.Context(), "").wants("Unauthenticated UNAUTHENTICATED")
	w.watch(w.as("mary"), "elsewhere").wants("InvalidArgument INVALID_FIELD")
	w.customers.grant("eve", "acme", "oakland", customerv1.Role_SECURITY_SYSTEM_VIEWER)
	w.watch(w.as("eve"), "").wants("list again")
}

func TestAWatchEndsWhenTheRightIsGone(t *testing.T) {
	w := newWorld(t, options{})
	oakland := w.install("oakland").GetId()
	w.follows()

	t.Run("without anything happening", func(t *testing.T) {
		w := w.in(t)
		meshtest.Within(t, bound, "it ends", func() time.Duration {
			w.customers.grant("mary", "acme", "oakland", customerv1.Role_SECURITY_SYSTEM_ARMER)
			mary := w.watch(w.as("mary"), "")
			mary.wants("list again")
			w.customers.withdraw("mary")
			began := time.Now()
			mary.wants("PermissionDenied ROLE_MISSING")
			return time.Since(began)
		})
	})
	t.Run("before the next change is told", func(t *testing.T) {
		w := w.in(t)
		victor := w.watch(w.as("victor"), "")
		victor.wants("list again")
		w.customers.withdraw("victor")
		w.armAs("alice", oakland)
		victor.wants("PermissionDenied ROLE_MISSING")
	})
	t.Run("one of several is gone, or one more is there", func(t *testing.T) {
		w := w.in(t)
		charlie := w.watch(w.as("charlie"), "")
		charlie.wants("list again")
		w.customers.grant("charlie", "acme", "oakland", customerv1.Role_SECURITY_SYSTEM_ARMER)
		charlie.wants("list again")
		w.disarmAs("alice", oakland)
		charlie.wants("oakland DISARMED ARM")
		w.customers.withdraw("charlie")
		w.customers.grant("charlie", "acme", "berkeley", customerv1.Role_SECURITY_SYSTEM_VIEWER)
		charlie.wants("list again")
		w.armAs("alice", oakland)
		w.install("berkeley")
		charlie.wants("berkeley DISARMED ") // and nothing of Oakland any more
	})
	t.Run("the token ends", func(t *testing.T) {
		w := w.in(t)
		short := meshtest.Claims{Subject: "alice", Scopes: allScopes, Expiry: time.Now().Add(2 * time.Second)}
		w.watch(w.with(short), "").wants("list again", "Unauthenticated UNAUTHENTICATED")
	})
	t.Run("the owner of rights cannot be asked", func(t *testing.T) {
		w := w.in(t)
		alice := w.watch(w.as("alice"), "")
		alice.wants("list again")
		w.customers.fail(codes.Unavailable)
		alice.wants("Unavailable DEPENDENCY_DOWN")
		w.customers.fail(codes.OK)
	})
}

func TestAWatchGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t, options{})
	oakland, hayward := w.install("oakland").GetId(), w.install("hayward").GetId()
	w.follows()
	first := w.watch(w.as("alice"), "")
	first.wants("list again")
	w.armAs("alice", oakland)
	position := first.wants("oakland ARMED DISARM")
	first.stop()

	w.armAs("alice", hayward)
	w.disarmAs("alice", oakland)
	w.watch(w.as("alice"), position).wants("nothing", "hayward ARMED DISARM", "oakland DISARMED ARM")
	again := w.watch(w.as("alice"), position)
	again.wants("nothing")
	moved := func(to string, without bool) string {
		t.Helper()
		position, err := securitysystem.Moved(t.Context(), w.service, position, to, without)
		if err != nil {
			t.Fatal(err)
		}
		return position
	}
	w.watch(w.as("alice"), moved("", false)).wants("nothing")
	for name, ended := range map[string]string{
		"of a caller with other rights": moved("", true),
		"that is too old":               moved("1-1", false),
		"that is yet to come":           moved("99999999999999-1", false),
		"that nobody has told":          strings.Repeat("A", len(position)),
	} {
		t.Run("from a position "+name, func(t *testing.T) {
			w := w.in(t)
			w.watch(w.as("alice"), ended).wants("list again")
		})
	}
	w.watch(w.as("mary"), position).wants("list again")
}

// TestAPositionTellsNothing: neither where in the stream it stands, nor whether anything has happened since another one.
func TestAPositionTellsNothing(t *testing.T) {
	w := newWorld(t, options{})
	w.follows()
	one, two := w.watch(w.as("alice"), "").wants("list again"), w.watch(w.as("alice"), "").wants("list again")
	first, err := base64.RawURLEncoding.DecodeString(one)
	if err != nil {
		t.Fatal(err)
	}
	second, err := base64.RawURLEncoding.DecodeString(two)
	if err != nil || len(first) != len(second) {
		t.Fatalf("%d and %d bytes, %v", len(first), len(second), err)
	}
	same := 0
	for i := range first {
		if first[i] == second[i] {
			same++
		}
	}
	if same > len(first)/8 { // of random bytes one in 256 is
		t.Errorf("%d of %d bytes are the same where nothing has happened", same, len(first))
	}
}

// TestTheRightsOfWhoWatchesAreAskedForOnce: for all streams of a person, and not of somebody else.
func TestTheRightsOfWhoWatchesAreAskedForOnce(t *testing.T) {
	w := newWorld(t, options{})
	oakland := w.install("oakland").GetId()
	w.follows()
	var alice []*watching
	for range 12 {
		alice = append(alice, w.watch(w.as("alice"), ""))
	}
	victor := w.watch(w.as("victor"), "")
	for _, each := range append(alice, victor) {
		each.wants("list again")
	}
	asked := func(user string) (n int) {
		w.customers.mu.Lock()
		defer w.customers.mu.Unlock()
		for _, c := range w.customers.callers {
			if c.Subject == user {
				n++
			}
		}
		return n
	}
	before := asked("alice")
	meshtest.Await(t, "they ask together", func() bool {
		since, victors := asked("alice"), asked("victor")
		meshtest.Await(t, "victor has asked three times more", func() bool { return asked("victor") >= victors+3 })
		return asked("alice")-since <= 5
	})
	if asked("alice") == before {
		t.Error("nobody asks about alice")
	}
	w.customers.withdraw("alice")
	w.armAs("mary", oakland)
	for _, each := range alice {
		each.wants("PermissionDenied ROLE_MISSING")
	}
	victor.wants("oakland ARMED ")
}

func TestAWatchSeesWhatAnotherReplicaDid(t *testing.T) {
	server := miniredis.RunT(t)
	one := newWorld(t, options{redis: server.Addr()})
	oakland := one.install("oakland").GetId()
	two := newWorld(t, options{redis: server.Addr(), db: one.db})
	one.follows()
	two.follows()
	alice := two.watch(two.as("alice"), "")
	alice.wants("list again")
	one.armAs("mary", oakland)
	position := alice.wants("oakland ARMED DISARM")
	meshtest.Await(t, "the other has followed as well", func() bool {
		return securitysystem.Followed(one.service) == securitysystem.Followed(two.service)
	})
	one.disarmAs("mary", oakland)
	one.watch(one.as("alice"), position).wants("nothing", "oakland DISARMED ARM") // where the other has stopped
}

// TestReplicasThatBeginAtOnceReadEachOthersPositions: the key of positions is made by whoever needs it first.
func TestReplicasThatBeginAtOnceReadEachOthersPositions(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		server := miniredis.RunT(t)
		var replicas []*world
		for range 4 {
			w := newWorld(t, options{redis: server.Addr(), db: open()})
			w.run()
			replicas = append(replicas, w)
		}
		positions := make(chan string, len(replicas))
		for _, w := range replicas {
			go func() {
				position, err := w.begins()
				if err != nil {
					t.Error(err)
				}
				positions <- position
			}()
		}
		for range replicas {
			position := <-positions
			for _, w := range replicas {
				w.watch(w.as("alice"), position).wants("nothing")
			}
		}
	})
}

// slowKeys is a store that does not answer the first who asks.
type slowKeys struct{ asked atomic.Int64 }

func (s *slowKeys) WatchKey(ctx context.Context, offered []byte) ([]byte, error) {
	if s.asked.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return offered, nil
}

func TestWhoWaitsForTheKeyOfPositionsHoldsNobodyUp(t *testing.T) {
	store := &slowKeys{}
	ready := securitysystem.ReadyPositions(store)
	waits, give := context.WithCancel(t.Context())
	up := make(chan error)
	go func() { up <- ready(waits) }()
	meshtest.Await(t, "the first has asked", func() bool { return store.asked.Load() == 1 })
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*bound)
		defer cancel()
		if err := ready(ctx); err != nil {
			t.Error(err)
		}
	}
	give()
	if err := <-up; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := store.asked.Load(); n != 2 {
		t.Errorf("the store was asked %d times: the key is not kept", n)
	}
}

// begins watches as alice as soon as the service follows its events, and returns where it began.
func (w *world) begins() (position string, err error) {
	ctx, stop := context.WithTimeout(w.as("alice"), 10*bound)
	defer stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		stream, err := w.systems.WatchSecuritySystems(ctx, &v1.WatchSecuritySystemsRequest{})
		if err != nil {
			return "", err
		}
		first, err := stream.Recv()
		if status.Code(err) != codes.Unavailable {
			return first.GetPosition(), err
		}
		<-tick.C
	}
}

func TestAWatchDoesNotHideThatEventsAreMissing(t *testing.T) {
	var ahead atomic.Int64
	server := miniredis.RunT(t)
	w := newWorld(t, options{redis: server.Addr(), now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	oakland := w.install("oakland").GetId()
	w.follows()
	alice := w.watch(w.as("alice"), "")
	alice.wants("list again")

	t.Run("the stream is lost, and its source starts over", func(t *testing.T) {
		w := w.in(t)
		server.FlushAll()
		if _, err := w.db.Exec(t.Context(), `DELETE FROM outbox`); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Exec(t.Context(), `UPDATE outbox_relay SET epoch = 0, sequence = 0`); err != nil {
			t.Fatal(err)
		}
		w.armAs("alice", oakland)
		alice.wants("list again")
	})
	t.Run("the stream cannot be read", func(t *testing.T) {
		w := w.in(t)
		server.SetError("LOADING")
		ahead.Store(int64(3 * time.Second))
		alice.wants("Unavailable DEPENDENCY_DOWN")
		w.watch(w.as("alice"), "").wants("Unavailable DEPENDENCY_DOWN")
		server.SetError("")
		meshtest.Await(w, "changes are followed again", func() bool {
			told, _ := w.watch(w.as("alice"), "").next()
			return told == "list again"
		})
	})
}
