package notification

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/internal/mail/mailtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

// world is the service between a stream that it reads, a customer service that it asks and a mail server.
type world struct {
	*testing.T
	iss      *meshtest.Issuer
	db       *sqldb.DB
	stream   *redis.Client
	people   *people
	office   *mailtest.Office
	customer *meshtest.Server
	position outbox.Position
	later    atomic.Int64
}

// mailBy is the configuration for a mail server of a test.
func mailBy(addr string) MailConfig {
	return MailConfig{Addr: addr, From: "RealGuardIO <alarms@realguardio.example>", TLS: mail.NoTLS}
}

func newWorld(t *testing.T, db *sqldb.DB, redisAddr string) *world {
	t.Helper()
	w := &world{T: t, iss: meshtest.NewIssuer(t), db: db, people: &people{}, position: outbox.Position{Epoch: 1}}
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w.stream = redis.NewClient(&redis.Options{Addr: redisAddr})
	t.Cleanup(func() { _ = w.stream.Close() })
	w.customer = meshtest.Serve(t, w.iss, meshtest.Part{Name: "customer"}, func(r grpc.ServiceRegistrar) {
		customerv1.RegisterCustomerServiceServer(r, w.people)
	})
	w.office = mailtest.New(t)
	return w
}

// eachWorld runs a test on each database with each kind of stream.
func eachWorld(t *testing.T, test func(w *world)) {
	storetest.EachRedis(t, func(t *testing.T, addr string) {
		storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
			w := newWorld(t, open(), addr)
			if err := w.stream.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			test(w)
		})
	})
}

func (w *world) service(change ...func(*Config)) *Service {
	w.Helper()
	cfg := Config{
		DB: w.db, Redis: w.stream, Logger: meshtest.Logger(w.T), Mail: mailBy(w.office.Addr), Poll: 10 * time.Millisecond,
		Retry: Retry{Attempts: 4, First: 5 * time.Millisecond, Longest: 20 * time.Millisecond},
		Customers: customerv1.NewCustomerServiceClient(
			w.customer.Connect(w.T, "notification", mesh.AsService(w.iss.Source(w.T, "notification")))),
		Now: func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) },
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// run runs services until the returned function is called.
func (w *world) run(services ...*Service) (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	for _, s := range services {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				w.Error(err)
			}
		})
	}
	stop = func() { cancel(); running.Wait() }
	w.Cleanup(stop)
	return stop
}

// publish puts an event into the stream, as the security system service's relay does.
func (w *world) publish(id string, kind securitysystemv1.EventType, actor string, change ...func(*outbox.Envelope)) {
	w.Helper()
	data, err := protojson.Marshal(&securitysystemv1.SecuritySystemChanged{
		Event: &securitysystemv1.Event{
			Id: id, Type: kind, SecuritySystemId: "sys_1", Mode: securitysystemv1.Mode_AWAY,
			Alarm: securitysystemv1.AlarmKind_INTRUSION, Actor: &securitysystemv1.Actor{Id: actor, Name: strings.ToUpper(actor)},
		},
		CustomerId: "acme", LocationId: "oakland", LocationName: "Oakland",
	})
	if err != nil {
		w.Fatal(err)
	}
	e := outbox.Envelope{
		SpecVersion: "1.0", ID: id, Source: "urn:realguardio:securitysystem", Subject: "sys_1", Time: time.Now(), Data: data,
		Type: "realguardio.securitysystem.v1.SecuritySystemChanged." + strings.ToLower(kind.String()),
	}
	for _, f := range change {
		f(&e)
	}
	text, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	w.add(string(text))
}

func (w *world) add(text string) {
	w.Helper()
	w.position.Sequence++
	err := w.stream.XAdd(w.Context(), &redis.XAddArgs{
		Stream: outbox.Stream("securitysystem"), ID: w.position.String(), Values: []any{"event", text},
	}).Err()
	if err != nil {
		w.Fatal(err)
	}
}

const (
	alarm    = securitysystemv1.EventType_ALARM_RAISED
	armed    = securitysystemv1.EventType_SYSTEM_ARMED
	disarmed = securitysystemv1.EventType_SYSTEM_DISARMED
)

// got is what the mail server took, as "recipient: subject", sorted.
func (w *world) got() []string {
	var list []string
	for _, l := range w.office.Taken() {
		list = append(list, l.To+": "+l.Subject())
	}
	slices.Sort(list)
	return list
}

// states counts deliveries by their state.
func (w *world) states() map[State]int {
	w.Helper()
	rows, err := w.db.Query(w.Context(), `SELECT state, count(*) FROM delivery GROUP BY state`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	counts := map[State]int{}
	for rows.Next() {
		var (
			s State
			n int
		)
		if err := rows.Scan(&s, &n); err != nil {
			w.Fatal(err)
		}
		counts[s] = n
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return counts
}

// settled waits until everything that was published has been taken and worked off.
func (w *world) settled() {
	w.Helper()
	w.until("everything is worked off", func() bool {
		store := sqlStore{w.db}
		at, err := store.Position(w.Context(), outbox.Stream("securitysystem"))
		var open int
		openErr := w.db.QueryRow(w.Context(), `SELECT (SELECT count(*) FROM notice WHERE NOT settled)
			+ (SELECT count(*) FROM delivery WHERE state = 'PENDING')`).Scan(&open)
		return err == nil && openErr == nil && at == w.position && open == 0
	})
}

func (w *world) until(what string, done func() bool) {
	w.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			w.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// people is a customer service that knows who holds a role at Oakland.
type people struct {
	customerv1.UnimplementedCustomerServiceServer
	mu      sync.Mutex
	down    bool
	gone    bool
	asked   int
	callers []mesh.Identity
}

func (p *people) ListRecipients(ctx context.Context, req *customerv1.ListRecipientsRequest) (
	*customerv1.ListRecipientsResponse, error,
) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	p.callers = append(p.callers, mesh.Caller(ctx))
	switch {
	case p.down:
		return nil, mesh.Unavailable("the database")
	case p.gone || req.GetLocationId() != "oakland":
		return nil, mesh.NotFound("location", req.GetLocationId())
	}
	return &customerv1.ListRecipientsResponse{Recipients: []*customerv1.Recipient{
		{UserId: "alice", Name: "Alice", Email: "alice@acme.example"},
		{UserId: "mary", Name: "Mary", Email: "mary@acme.example"},
		{UserId: "silent", Name: "No Address"},
	}}, nil
}

func (p *people) set(f func(*people)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func TestPeopleAreToldOfWhatConcernsThem(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.run(w.service())
		w.publish("evt_1", armed, "mary")
		w.publish("evt_2", alarm, "panel_1")
		w.publish("evt_3", securitysystemv1.EventType_ALARM_ACKNOWLEDGED, "mary")
		w.publish("evt_4", securitysystemv1.EventType_FAULTS_CHANGED, "panel_1")
		w.publish("evt_5", disarmed, "rgk_1")
		w.settled()
		want := []string{
			"alice@acme.example: ALARM: Oakland (intrusion)", "alice@acme.example: Armed: Oakland (away)",
			"alice@acme.example: Disarmed: Oakland",
			"mary@acme.example: ALARM: Oakland (intrusion)", "mary@acme.example: Disarmed: Oakland",
		}
		if diff := gocmp.Diff(want, w.got()); diff != "" {
			w.Error(diff)
		}
		for _, c := range w.people.callers {
			if c.Kind != mesh.KindWorkload || c.Subject != "notification" || len(c.Roles) > 0 {
				w.Errorf("asked as %v", c)
			}
		}
	})
}

func TestAMailServerThatFailsAtFirstGetsEachMessageOnce(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.office.Refuse = func(n int, _ string) error {
			if n <= 4 {
				return mailtest.Busy
			}
			return nil
		}
		w.run(w.service())
		w.publish("evt_1", alarm, "panel_1")
		w.settled()
		want := []string{"alice@acme.example: ALARM: Oakland (intrusion)", "mary@acme.example: ALARM: Oakland (intrusion)"}
		if diff := gocmp.Diff(want, w.got()); diff != "" {
			w.Error(diff)
		}
		if got := w.states(); got[Sent] != 2 || w.office.Tries() != 6 {
			w.Errorf("%v after %d tries", got, w.office.Tries())
		}
	})
}

func TestAMailServerThatWasAwayGetsEachMessageOnce(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), miniredis.RunT(t).Addr())
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := away.Addr().String()
	_ = away.Close()
	w.run(w.service(func(c *Config) { c.Mail, c.Retry.Attempts = mailBy(addr), 1000 }))
	w.publish("evt_1", alarm, "panel_1")
	w.until("it was tried in vain", func() bool {
		var n int
		err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM delivery WHERE attempts > 1 AND failure <> ''`).Scan(&n)
		return err == nil && n == 2
	})
	back, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	w.office = mailtest.NewAt(t, back)
	w.settled()
	if got := w.got(); len(got) != 2 {
		t.Errorf("%d messages: %q", len(got), got)
	}
}

func TestAMessageIsGivenUpAfterTheLastAttempt(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), miniredis.RunT(t).Addr())
	w.office.Refuse = func(_ int, to string) error {
		if to == "alice@acme.example" {
			return mailtest.Busy
		}
		return mailtest.Unknown
	}
	w.run(w.service())
	w.publish("evt_1", alarm, "panel_1")
	w.settled()
	if got := w.states(); got[Failed] != 2 || len(w.got()) != 0 {
		t.Errorf("%v", got)
	}
	// Four attempts at Alice, and one at Mary, whom the server does not know.
	if n := w.office.Tries(); n != 5 {
		t.Errorf("%d tries", n)
	}
}

func TestReplicasTellEachPersonOnce(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.run(w.service(), w.service(), w.service())
		for i := range 15 {
			w.publish(fmt.Sprintf("evt_%d", i), alarm, "panel_1")
		}
		w.settled()
		ids := map[string]int{}
		for _, l := range w.office.Taken() {
			ids[l.Header.Get("Message-Id")]++
		}
		if len(ids) != 30 || len(w.got()) != 30 {
			w.Errorf("%d messages, %d different, want 30", len(w.got()), len(ids))
		}
	})
}

func TestAnEventThatComesAgainIsToldOnce(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), miniredis.RunT(t).Addr())
	stop := w.run(w.service())
	w.publish("evt_1", alarm, "panel_1")
	w.publish("evt_1", alarm, "panel_1")
	w.settled()
	stop()
	// The stream is read from the beginning again.
	if _, err := w.db.Exec(t.Context(), `DELETE FROM stream_position`); err != nil {
		t.Fatal(err)
	}
	w.run(w.service())
	w.settled()
	if got := w.got(); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// Whoever claims a notice or a message and dies leaves it to others, once its lease has run out.
func TestWhatWasClaimedByOneThatDiedIsTakenUpAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		store := sqlStore{w.db}
		now := time.Now()
		notice := Notice{EventID: "evt_1", Kind: Alarm, Time: now, LocationID: "oakland", LocationName: "Oakland", Alarm: "fire"}
		if err := store.Take(t.Context(), "s", outbox.Position{Epoch: 1, Sequence: 1}, []Notice{notice}, now); err != nil {
			t.Fatal(err)
		}
		claimNotices := func(at time.Time) int {
			t.Helper()
			got, err := store.ClaimNotices(t.Context(), at, at.Add(addressLease), 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(got)
		}
		claimDeliveries := func(at time.Time) int {
			t.Helper()
			got, err := store.ClaimDeliveries(t.Context(), at, at.Add(sendLease), 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(got)
		}
		if first, second := claimNotices(now), claimNotices(now.Add(addressLease/2)); first != 1 || second != 0 {
			t.Errorf("notices claimed: %d, then %d", first, second)
		}
		if n := claimNotices(now.Add(2 * addressLease)); n != 1 {
			t.Errorf("%d notices taken up again", n)
		}
		delivery := Delivery{ID: "ntf_1", EventID: "evt_1", UserID: "alice", Channel: Email, Address: "alice@acme.example", CreateTime: now}
		if err := store.Settle(t.Context(), "evt_1", []Delivery{delivery}); err != nil {
			t.Fatal(err)
		}
		if first, second := claimDeliveries(now), claimDeliveries(now.Add(sendLease/2)); first != 1 || second != 0 {
			t.Errorf("deliveries claimed: %d, then %d", first, second)
		}
		// A new process, later: it sends what the one before had claimed, and what settled twice once.
		if err := store.Settle(t.Context(), "evt_1", []Delivery{{ID: "ntf_2", UserID: "alice", Channel: Email, CreateTime: now}}); err != nil {
			t.Fatal(err)
		}
		w.later.Store(int64(2 * sendLease))
		w.run(w.service())
		w.until("it was sent", func() bool { return len(w.office.Taken()) == 1 })
		w.until("it is recorded", func() bool { return w.states()[Sent] == 1 })
		if id := w.office.Taken()[0].Header.Get("Message-Id"); !strings.HasPrefix(id, "<ntf_1@") || w.states()[Pending] != 0 {
			t.Errorf("sent %s, %v", id, w.states())
		}
	})
}

func TestManyWhoClaimAtOnceGetDifferentDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		store, now := sqlStore{w.db}, time.Now()
		err := store.Take(t.Context(), "s", outbox.Position{Epoch: 1, Sequence: 1}, []Notice{{EventID: "evt_1", Time: now}}, now)
		if err != nil {
			t.Fatal(err)
		}
		var all []Delivery
		for i := range 40 {
			all = append(all, Delivery{ID: fmt.Sprint("ntf_", i), UserID: fmt.Sprint("u", i), Channel: Email, CreateTime: now})
		}
		if err := store.Settle(t.Context(), "evt_1", all); err != nil {
			t.Fatal(err)
		}
		var (
			claiming sync.WaitGroup
			mu       sync.Mutex
			claimed  = map[string]int{}
		)
		for range 8 {
			claiming.Go(func() {
				for {
					got, err := store.ClaimDeliveries(t.Context(), now, now.Add(time.Hour), 3)
					if err != nil || len(got) == 0 {
						if err != nil {
							t.Error(err)
						}
						var left int
						if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM delivery WHERE attempts = 0`).Scan(&left); err != nil || left == 0 {
							return
						}
						continue
					}
					mu.Lock()
					for _, c := range got {
						claimed[c.Delivery.ID]++
					}
					mu.Unlock()
				}
			})
		}
		claiming.Wait()
		for id, n := range claimed {
			if n != 1 {
				t.Errorf("%s was claimed %d times", id, n)
			}
		}
		if len(claimed) != 40 {
			t.Errorf("%d claimed", len(claimed))
		}
	})
}

func TestWithoutTheCustomerServiceNoticesWait(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.people.set(func(p *people) { p.down = true })
		stop := w.run(w.service())
		w.publish("evt_1", alarm, "panel_1")
		w.publish("evt_2", alarm, "panel_1")
		w.until("it was asked again and again", func() bool {
			w.people.mu.Lock()
			defer w.people.mu.Unlock()
			return w.people.asked > 6
		})
		stop()
		if n := len(w.got()); n != 0 {
			w.Errorf("%d messages", n)
		}
		// Even the loss of the stream loses nothing that was taken.
		if err := w.stream.FlushAll(w.Context()).Err(); err != nil {
			w.Fatal(err)
		}
		w.people.set(func(p *people) { p.down = false })
		w.run(w.service())
		w.settled()
		if n := len(w.got()); n != 4 {
			w.Errorf("%d messages, want 4", n)
		}
	})
}

func TestAStreamThatWasAwayIsReadOnceItIsBack(t *testing.T) {
	stream := miniredis.RunT(t)
	w := newWorld(t, storetest.SQLite(t), stream.Addr())
	w.run(w.service())
	w.publish("evt_1", alarm, "panel_1")
	w.settled()
	stream.Close()
	if err := stream.Restart(); err != nil {
		t.Fatal(err)
	}
	w.until("the stream answers", func() bool { return w.stream.Ping(t.Context()).Err() == nil })
	w.publish("evt_2", alarm, "panel_1")
	w.settled()
	if got := w.got(); len(got) != 4 {
		t.Errorf("%q", got)
	}
}

func TestWhatCannotBeToldHoldsUpNothing(t *testing.T) {
	tests := []struct {
		name    string
		publish func(w *world)
	}{
		{"an entry that is not JSON", func(w *world) { w.add("{") }},
		{"an entry that is no event", func(w *world) { w.add(`{"specversion":"1.0"}`) }},
		{"an event without a location", func(w *world) {
			w.publish("evt_0", alarm, "p", func(e *outbox.Envelope) { e.Data = json.RawMessage(`{"event":{"type":"ALARM_RAISED"}}`) })
		}},
		{"data of another shape", func(w *world) {
			w.publish("evt_0", alarm, "p", func(e *outbox.Envelope) { e.Data = json.RawMessage(`[1]`) })
		}},
		{"an event of another type", func(w *world) {
			w.publish("evt_0", alarm, "p", func(e *outbox.Envelope) { e.Type = "realguardio.customer.v1.GrantRemoved" })
		}},
		{"an event of a newer service", func(w *world) {
			w.publish("evt_0", alarm, "p", func(e *outbox.Envelope) {
				e.Data = json.RawMessage(`{"event":{"type":"EXPLODED","new":1},"locationId":"oakland"}`)
			})
		}},
		{"an event from before yesterday", func(w *world) {
			w.publish("evt_0", alarm, "p", func(e *outbox.Envelope) { e.Time = time.Now().Add(-25 * time.Hour) })
		}},
		{"an event at a location that is gone", func(w *world) {
			w.publish("evt_0", alarm, "p", func(e *outbox.Envelope) {
				e.Data = json.RawMessage(strings.ReplaceAll(string(e.Data), "oakland", "atlantis"))
			})
		}},
		{"a gap in the stream", func(w *world) { w.position.Sequence += 10 }},
		{"a new epoch of the stream", func(w *world) { w.position = outbox.Position{Epoch: 7} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite(t), miniredis.RunT(t).Addr())
			w.run(w.service())
			w.publish("evt_before", armed, "mary")
			test.publish(w)
			w.publish("evt_after", alarm, "panel_1")
			w.settled()
			want := []string{
				"alice@acme.example: ALARM: Oakland (intrusion)", "alice@acme.example: Armed: Oakland (away)",
				"mary@acme.example: ALARM: Oakland (intrusion)",
			}
			if diff := gocmp.Diff(want, w.got()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOldNotificationsAreDeletedUnlessTheyWait(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		store, now := sqlStore{w.db}, time.Now()
		for _, id := range []string{"evt_done", "evt_waits", "evt_new"} {
			n := Notice{EventID: id, Time: now.Add(-time.Hour)}
			if id == "evt_new" {
				n.Time = now
			}
			if err := store.Take(t.Context(), "s", outbox.Position{Epoch: 1, Sequence: 1}, []Notice{n}, now); err != nil {
				t.Fatal(err)
			}
			if err := store.Settle(t.Context(), id, []Delivery{{ID: "ntf_" + id, UserID: "alice", Channel: Email, CreateTime: now}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Finish(t.Context(), "ntf_evt_done", Sent, now, ""); err != nil {
			t.Fatal(err)
		}
		if n, err := store.Purge(t.Context(), now.Add(-time.Minute), 10); err != nil || n != 1 {
			t.Fatalf("deleted %d, %v", n, err)
		}
		left, err := store.DeliveriesTo(t.Context(), "alice", "", 10)
		if err != nil || len(left) != 2 {
			t.Errorf("%d left, %v", len(left), err)
		}
	})
}

func TestPeopleListWhatWasSentToThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		s := w.service()
		w.run(s)
		for i := range 7 {
			w.publish(fmt.Sprintf("evt_%d", i), alarm, "panel_1")
			w.settled()
		}
		server := meshtest.Serve(t, w.iss, meshtest.Part{Name: "notification"}, s.Register)
		client := v1.NewNotificationServiceClient(server.Dial(t))
		as := func(subject string) context.Context {
			return meshtest.As(t.Context(), w.iss.Token(t, meshtest.Claims{Subject: subject, Scopes: []string{"notification.read"}}))
		}
		var all []*v1.Notification
		request, second := &v1.ListNotificationsRequest{PageSize: 3}, ""
		for {
			answer, err := client.ListNotifications(as("alice"), request)
			if err != nil {
				t.Fatal(err)
			}
			all, second = append(all, answer.GetNotifications()...), cmp.Or(second, answer.GetNextPageToken())
			if request.PageToken = answer.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if len(all) != 7 {
			t.Fatalf("%d notifications, want 7", len(all))
		}
		for i, n := range all {
			if n.GetEventId() != fmt.Sprintf("evt_%d", 6-i) || n.GetState() != v1.DeliveryState_SENT || n.GetChannel() != v1.Channel_EMAIL ||
				n.GetAttempts() != 1 || n.GetSubject() != "ALARM: Oakland (intrusion)" || n.GetSentTime().AsTime().Before(n.GetCreateTime().AsTime()) {
				t.Errorf("number %d: %v", i, n)
			}
		}
		// Nobody sees what went to others, nor with the token of another's page.
		for _, who := range []string{"eve", "alice@acme.example"} {
			answer, err := client.ListNotifications(as(who), &v1.ListNotificationsRequest{PageToken: second})
			if err != nil || len(answer.GetNotifications()) != 0 {
				t.Errorf("%s: %v, %v", who, answer.GetNotifications(), err)
			}
		}
		for _, token := range []string{"nonsense", page.Encode("ntf_1"), page.Encode("clients", "ntf_1"), strings.Repeat("x", 600)} {
			_, err := client.ListNotifications(as("alice"), &v1.ListNotificationsRequest{PageToken: token})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "pageToken") {
				t.Errorf("page token %q: %v", token, err)
			}
		}
		key := meshtest.As(t.Context(), w.iss.Token(t, meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient, Scopes: []string{"notification.read"}}))
		if _, err := client.ListNotifications(key, &v1.ListNotificationsRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("an API key: %v", err)
		}
	})
}

func TestEveryMethodRefusesBadTokens(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), miniredis.RunT(t).Addr())
	meshtest.RefusesBadTokens(t, meshtest.Serve(t, w.iss, meshtest.Part{Name: "notification"}, w.service().Register))
}

func TestAConfigurationThatMissesSomethingIsRefused(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), miniredis.RunT(t).Addr())
	for says, change := range map[string]func(*Config){
		"DB":        func(c *Config) { c.DB = nil },
		"Redis":     func(c *Config) { c.Redis = nil },
		"Customers": func(c *Config) { c.Customers = nil },
		"mail":      func(c *Config) { c.Mail = MailConfig{} },
	} {
		t.Run(says, func(t *testing.T) {
			cfg := Config{DB: w.db, Redis: w.stream, Customers: customerv1.NewCustomerServiceClient(nil), Mail: mailBy("127.0.0.1:25"),
				Logger: slog.New(slog.DiscardHandler)}
			change(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
