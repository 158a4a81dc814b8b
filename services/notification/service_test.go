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
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/mail/mailtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

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
		w.people.set(func(p *people) {
			if len(p.callers) == 0 {
				w.Error("nobody was asked whom to tell")
			}
			for _, c := range p.callers {
				if c.Kind != mesh.KindWorkload || c.Subject != "notification" || len(c.Roles) > 0 || len(c.Actors) > 0 {
					w.Errorf("asked as %v", c)
				}
			}
		})
	})
}

func TestWhatIsDoneAboutAnEventIsInTheTraceOfItsCause(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.run(w.service())
		w.publish("evt_1", alarm, "panel_1", func(e *outbox.Envelope) {
			e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		})
		w.publish("evt_2", alarm, "panel_1", func(e *outbox.Envelope) { e.Traceparent = "made up by somebody" })
		w.settled()
		traces := slices.Sorted(slices.Values(w.people.traces))
		if diff := gocmp.Diff([]string{"", "0af7651916cd43dd8448eb211c80319c"}, traces); diff != "" || len(w.got()) != 4 {
			w.Errorf("%s, %v", diff, w.got())
		}
	})
}

func TestOperatorsSeeWhatBecomesOfEventsAndMessages(t *testing.T) {
	eachWorld(t, func(w *world) {
		registry := prometheus.NewRegistry()
		shown := func() map[string]float64 {
			families, err := registry.Gather()
			if err != nil {
				w.Fatal(err)
			}
			got := map[string]float64{}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					key := strings.TrimPrefix(f.GetName(), "realguardio_notification_")
					for _, l := range m.GetLabel() {
						key += " " + l.GetValue()
					}
					got[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
			return got
		}
		w.office.Refuse = func(n int, _ string) error {
			if n == 1 {
				return mailtest.Busy
			}
			return nil
		}
		w.run(w.service(func(c *Config) { c.Registerer = registry }))
		w.publish("evt_1", alarm, "panel_1")
		w.add("nobody can read this")
		w.settled()
		meshtest.Await(w, "the consumer has caught up, and all is counted", func() bool {
			got := shown()
			behind := got["behind_seconds"]
			delete(got, "behind_seconds")
			return behind < 5 && gocmp.Equal(got, map[string]float64{"events_total taken": 1, "events_total unreadable": 1, "events_total lost": 0,
				"messages_total sent": 2, "messages_total postponed": 1, "messages_total given_up": 0, "realguardio_denials_dropped_total": 0})
		})
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
	w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := away.Addr().String()
	_ = away.Close()
	w.run(w.service(func(c *Config) { c.Mail, c.Retry.Attempts = mailBy(addr), 1000 }))
	w.publish("evt_1", alarm, "panel_1")
	meshtest.Await(w, "it was tried in vain", func() bool {
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
	w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
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
			w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
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
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
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
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, open(), miniredis.RunT(t).Addr())
		s := w.service()
		w.run(s)
		for i := range 7 {
			w.publish(fmt.Sprintf("evt_%d", i), alarm, "panel_1")
			w.settled()
		}
		server := meshtest.Serve(t, w.iss, meshtest.Part{Name: "notification", Configure: func(c *mesh.ServerConfig) { c.Denied = s.Denied }}, s.Register)
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
		meshtest.Await(t, "the denial to be recorded", func() bool {
			got, err := audit.List(t.Context(), w.db, audit.Filter{Action: "call.deny"}, 0, 10)
			return err == nil && len(got) == 1 && got[0].Actor == "rgk_1" && got[0].Result == mesh.ReasonCallerKind
		})
		admin := meshtest.As(t.Context(), w.iss.Token(t, meshtest.Claims{Roles: []string{"REALGUARDIO_ADMIN"}, Scopes: []string{"audit.read"}}))
		log, err := auditv1.NewAuditServiceClient(server.Dial(t)).ListEntries(admin, &auditv1.ListEntriesRequest{Part: "notification"})
		if err != nil || len(log.GetEntries()) != 1 {
			t.Errorf("%v, %v", log, err)
		}
	})
}

func TestEveryMethodRefusesBadTokens(t *testing.T) {
	w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
	meshtest.RefusesBadTokens(t, meshtest.Serve(t, w.iss, meshtest.Part{Name: "notification"}, w.service().Register))
}

func TestAConfigurationThatMissesSomethingIsRefused(t *testing.T) {
	w := newWorld(t, databases.SQLite(t), miniredis.RunT(t).Addr())
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
