package securitysystem_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/securitysystem"
)

func TestASystemIsInstalledDisarmedWithAnEventThatNamesWhoDidIt(t *testing.T) {
	w := newWorld(t, options{})
	answer, err := w.systems.CreateSecuritySystem(w.as("alice"), &v1.CreateSecuritySystemRequest{LocationId: "oakland"})
	if err != nil {
		t.Fatal(err)
	}
	got := answer.GetSecuritySystem()
	alice := &v1.Actor{Id: "alice", Name: "Alice", ClientId: "web"}
	want := &v1.SecuritySystem{
		CustomerId: "acme", LocationId: "oakland", LocationName: "Location oakland", State: v1.State_DISARMED,
		AllowedActions: []v1.Action{v1.Action_ARM}, Etag: "1", UpdatedBy: alice,
	}
	ignore := protocmp.IgnoreFields(&v1.SecuritySystem{}, "id", "create_time", "update_time")
	if diff := cmp.Diff(want, got, protocmp.Transform(), ignore); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(got.GetId(), "sys_") || got.GetCreateTime().AsTime().IsZero() {
		t.Errorf("id %q, created %v", got.GetId(), got.GetCreateTime())
	}
	events := w.events(got.GetId())
	if len(events) != 1 || events[0].GetType() != v1.EventType_SYSTEM_CREATED || !cmp.Equal(events[0].GetActor(), alice, protocmp.Transform()) {
		t.Errorf("timeline: %v", events)
	}
}

func TestASecondSystemAtALocationIsRefusedAndTheFirstUnchanged(t *testing.T) {
	w := newWorld(t, options{})
	first, rows := w.install("oakland"), w.rows()
	_, err := w.systems.CreateSecuritySystem(w.as("alice"), &v1.CreateSecuritySystemRequest{LocationId: "oakland"})
	w.refused(err, codes.AlreadyExists, "ALREADY_EXISTS")
	if diff := cmp.Diff(first, w.get(first.GetId()), protocmp.Transform()); diff != "" || w.rows() != rows {
		t.Error("the first was changed", diff)
	}
}

func TestWhatAStateRefusesIsAFailedPrecondition(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	panel := w.panel(id)
	arm := func(m v1.Mode) error {
		_, err := w.systems.ArmSecuritySystem(w.as("mary"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: m})
		return err
	}
	acknowledge := func() error {
		_, err := w.systems.AcknowledgeAlarm(w.as("mary"), &v1.AcknowledgeAlarmRequest{SecuritySystemId: id})
		return err
	}
	remove := func() error {
		_, err := w.systems.RemoveSecuritySystem(w.as("alice"), &v1.RemoveSecuritySystemRequest{SecuritySystemId: id})
		return err
	}
	w.refused(acknowledge(), codes.FailedPrecondition, "SYSTEM_NOT_ALARMED")
	if err := arm(v1.Mode_NIGHT); err != nil {
		t.Fatal(err)
	}
	rows := w.rows()
	w.refused(arm(v1.Mode_AWAY), codes.FailedPrecondition, "SYSTEM_ARMED")
	w.refused(remove(), codes.FailedPrecondition, "SYSTEM_NOT_DISARMED")
	if err := arm(v1.Mode_NIGHT); err != nil {
		t.Errorf("arming again in the same mode: %v", err)
	}
	if w.rows() != rows {
		t.Error("something was written")
	}
	if _, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{ReportId: "1", Alarm: v1.AlarmKind_INTRUSION}); err != nil {
		t.Fatal(err)
	}
	w.refused(arm(v1.Mode_AWAY), codes.FailedPrecondition, "SYSTEM_ALARMED")
	w.refused(remove(), codes.FailedPrecondition, "SYSTEM_NOT_DISARMED")
	for range 2 {
		if err := acknowledge(); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.get(id); !got.GetAcknowledged() || got.GetState() != v1.State_ALARMED || w.rows() != rows+4 {
		t.Errorf("after two acknowledgements: %v, %d rows more", got, w.rows()-rows)
	}
}

func TestAStaleETagIsAbortedAndChangesNothing(t *testing.T) {
	w := newWorld(t, options{})
	system := w.install("oakland")
	id := system.GetId()
	if _, err := w.systems.ArmSecuritySystem(w.as("mary"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id, Etag: system.GetEtag()}); err != nil {
		t.Fatal(err)
	}
	before, rows := w.get(id), w.rows()
	for _, etag := range []string{system.GetEtag(), "7", "nonsense", "-1"} {
		_, err := w.systems.ArmSecuritySystem(w.as("mary"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id, Etag: etag})
		w.refused(err, codes.Aborted, "ETAG_MISMATCH")
		_, err = w.systems.DisarmSecuritySystem(w.as("mary"), &v1.DisarmSecuritySystemRequest{SecuritySystemId: id, Etag: etag})
		w.refused(err, codes.Aborted, "ETAG_MISMATCH")
		_, err = w.systems.AcknowledgeAlarm(w.as("mary"), &v1.AcknowledgeAlarmRequest{SecuritySystemId: id, Etag: etag})
		w.refused(err, codes.Aborted, "ETAG_MISMATCH")
		_, err = w.systems.RemoveSecuritySystem(w.as("alice"), &v1.RemoveSecuritySystemRequest{SecuritySystemId: id, Etag: etag})
		w.refused(err, codes.Aborted, "ETAG_MISMATCH")
	}
	if diff := cmp.Diff(before, w.get(id), protocmp.Transform()); diff != "" || w.rows() != rows {
		t.Error("something was changed", diff)
	}
	// Who may not even know the system learns nothing of its etag.
	_, err := w.systems.ArmSecuritySystem(w.as("eve"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id, Etag: "7"})
	w.refused(err, codes.NotFound, "NOT_FOUND")
}

func TestTheTimelineSaysWhoDidWhatWhenNewestFirst(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	panel := w.panel(id)
	steps := []func() error{
		func() error {
			_, err := w.systems.ArmSecuritySystem(w.as("mary"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: v1.Mode_STAY})
			return err
		},
		func() error {
			_, err := w.panels.ReportAlarm(w.asPanel(panel),
				&v1.ReportAlarmRequest{ReportId: "r1", Alarm: v1.AlarmKind_INTRUSION, Detail: "Zone 3"})
			return err
		},
		func() error {
			_, err := w.systems.AcknowledgeAlarm(w.as("mary"), &v1.AcknowledgeAlarmRequest{SecuritySystemId: id})
			return err
		},
		func() error {
			_, err := w.systems.DisarmSecuritySystem(w.as("alice"), &v1.DisarmSecuritySystemRequest{SecuritySystemId: id})
			return err
		},
		func() error {
			_, err := w.panels.ReportFaults(w.asPanel(panel), &v1.ReportFaultsRequest{Faults: []v1.Fault{v1.Fault_LOW_BATTERY}})
			return err
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	token := ""
	for {
		answer, err := w.systems.ListEvents(w.as("victor"), &v1.ListEventsRequest{SecuritySystemId: id, PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.GetEvents() {
			if e.GetSecuritySystemId() != id || !strings.HasPrefix(e.GetId(), "evt_") || e.GetTime().AsTime().IsZero() {
				t.Errorf("event %v", e)
			}
			who := e.GetActor().GetName()
			if e.GetActor().GetId() == panel {
				who = "panel"
			}
			got = append(got, strings.Join(strings.Fields(fmt.Sprint(e.GetType(), " ", who, " ", e.GetState(), " ",
				e.GetMode(), " ", e.GetAlarm(), " ", e.GetFaults(), " ", e.GetDetail())), " "))
		}
		if token = answer.GetNextPageToken(); token == "" {
			break
		}
	}
	want := []string{
		"FAULTS_CHANGED panel DISARMED MODE_UNSPECIFIED ALARM_KIND_UNSPECIFIED [LOW_BATTERY]",
		"SYSTEM_DISARMED Alice DISARMED MODE_UNSPECIFIED ALARM_KIND_UNSPECIFIED []",
		"ALARM_ACKNOWLEDGED Mary ALARMED STAY INTRUSION []",
		"ALARM_RAISED panel ALARMED STAY INTRUSION [] Zone 3",
		"SYSTEM_ARMED Mary ARMED STAY ALARM_KIND_UNSPECIFIED []",
		"PANEL_REGISTERED Admin DISARMED MODE_UNSPECIFIED ALARM_KIND_UNSPECIFIED []",
		"SYSTEM_CREATED Admin DISARMED MODE_UNSPECIFIED ALARM_KIND_UNSPECIFIED []",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMalformedRequestsNameTheField(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	panel := w.panel(id)
	rows := w.rows()
	long := strings.Repeat("x", 600)
	tests := []struct {
		name, field string
		call        func() error
	}{
		{"a forged page token", "pageToken", func() error {
			_, err := w.systems.ListSecuritySystems(w.as("alice"), &v1.ListSecuritySystemsRequest{PageToken: "' OR 1=1 --"})
			return err
		}},
		{"a page token of another list", "pageToken", func() error {
			_, err := w.systems.ListSecuritySystems(w.as("alice"), &v1.ListSecuritySystemsRequest{PageToken: "WyIxIl0"})
			return err
		}},
		{"a page token that is no number", "pageToken", func() error {
			_, err := w.systems.ListEvents(w.as("alice"), &v1.ListEventsRequest{SecuritySystemId: id,
				PageToken: page.Encode("securitysystems/"+id+"/events", "x")})
			return err
		}},
		{"a page token that is too long", "pageToken", func() error {
			_, err := w.systems.ListSecuritySystems(w.as("alice"), &v1.ListSecuritySystemsRequest{PageToken: long})
			return err
		}},
		{"a negative page size", "pageSize", func() error {
			_, err := w.systems.ListSecuritySystems(w.as("alice"), &v1.ListSecuritySystemsRequest{PageSize: -1})
			return err
		}},
		{"no id", "securitySystemId", func() error {
			_, err := w.systems.GetSecuritySystem(w.as("alice"), &v1.GetSecuritySystemRequest{})
			return err
		}},
		{"an id that is too long", "securitySystemId", func() error {
			_, err := w.systems.ArmSecuritySystem(w.as("alice"), &v1.ArmSecuritySystemRequest{SecuritySystemId: long})
			return err
		}},
		{"a mode that is not there", "mode", func() error {
			_, err := w.systems.ArmSecuritySystem(w.as("alice"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: 99})
			return err
		}},
		{"no location", "locationId", func() error {
			_, err := w.systems.CreateSecuritySystem(w.as("alice"), &v1.CreateSecuritySystemRequest{})
			return err
		}},
		{"a report without an id", "reportId", func() error {
			_, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{Alarm: v1.AlarmKind_FIRE})
			return err
		}},
		{"a report id with a NUL", "reportId", func() error {
			_, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{ReportId: "a\x00", Alarm: v1.AlarmKind_FIRE})
			return err
		}},
		{"a detail with a line break", "detail", func() error {
			_, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{ReportId: "a", Alarm: v1.AlarmKind_FIRE, Detail: "x\r\nBcc: y"})
			return err
		}},
		{"no kind of alarm", "alarm", func() error {
			_, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{ReportId: "a"})
			return err
		}},
		{"a fault that is not there", "faults", func() error {
			_, err := w.panels.ReportFaults(w.asPanel(panel), &v1.ReportFaultsRequest{Faults: []v1.Fault{77}})
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			if status.Code(err) != codes.InvalidArgument || mesh.Reason(err) != "INVALID_FIELD" || !strings.Contains(err.Error(), test.field) {
				t.Errorf("got %v, want it to name %s", err, test.field)
			}
		})
	}
	t.Run("an id that no database could hold does not exist", func(t *testing.T) {
		_, err := w.systems.GetSecuritySystem(w.as("admin"), &v1.GetSecuritySystemRequest{SecuritySystemId: "sys\x00"})
		w.refused(err, codes.NotFound, "NOT_FOUND")
	})
	if w.rows() != rows {
		t.Error("something was written")
	}
}

func TestTheCustomerServiceLearnsWhetherALocationHasASystem(t *testing.T) {
	w := newWorld(t, options{})
	w.install("oakland")
	customer := v1.NewSecuritySystemServiceClient(w.server.DialAs(t, "customer"))
	as := meshtest.As(t.Context(), w.iss.Workload(t, "customer"))
	for location, want := range map[string]bool{"oakland": true, "berkeley": false, "a\x00": false} {
		answer, err := customer.HasSystemAt(as, &v1.HasSystemAtRequest{LocationId: location})
		if err != nil || answer.GetInstalled() != want {
			t.Errorf("%q: %v, %v", location, answer.GetInstalled(), err)
		}
	}
	_, err := w.systems.HasSystemAt(w.as("admin"), &v1.HasSystemAtRequest{LocationId: "oakland"})
	w.refused(err, codes.PermissionDenied, "CALLER_KIND")
}

func TestEveryMethodRefusesBadTokens(t *testing.T) {
	meshtest.RefusesBadTokens(t, newWorld(t, options{}).server)
}

// A customer service that accepts the call and never answers must not hold callers for as long as it likes.
func TestACustomerServiceThatHangsIsUnavailable(t *testing.T) {
	w := newWorld(t, options{})
	w.customers.hang = make(chan struct{})
	defer close(w.customers.hang)
	_, err := w.systems.ListSecuritySystems(w.as("alice"), &v1.ListSecuritySystemsRequest{})
	w.refused(err, codes.Unavailable, "DEPENDENCY_DOWN")
}

func TestAConfigurationThatMissesSomethingIsRefused(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	whole := securitysystem.Config{DB: databases.SQLite(t), Redis: client,
		Customers: customerv1.NewCustomerServiceClient(nil), Accounts: tokenv1.NewAdminServiceClient(nil)}
	if _, err := securitysystem.New(whole); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*securitysystem.Config){
		"DB":        func(c *securitysystem.Config) { c.DB = nil },
		"Redis":     func(c *securitysystem.Config) { c.Redis = nil },
		"Customers": func(c *securitysystem.Config) { c.Customers = nil },
		"Accounts":  func(c *securitysystem.Config) { c.Accounts = nil },
	} {
		cfg := whole
		change(&cfg)
		if _, err := securitysystem.New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("without %s: %v", says, err)
		}
	}
}

func TestAPageTokenIsGoodForItsOwnList(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.as("alice")
	systems := func(token string) (string, error) {
		answer, err := w.systems.ListSecuritySystems(alice, &v1.ListSecuritySystemsRequest{PageSize: 1, PageToken: token})
		return answer.GetNextPageToken(), err
	}
	events := func(system string) func(string) (string, error) {
		return func(token string) (string, error) {
			answer, err := w.systems.ListEvents(alice, &v1.ListEventsRequest{SecuritySystemId: system, PageSize: 1, PageToken: token})
			return answer.GetNextPageToken(), err
		}
	}
	oakland, berkeley := w.install("oakland").GetId(), w.install("berkeley").GetId()
	w.panel(oakland)
	w.panel(berkeley)
	lists := map[string]func(token string) (next string, err error){
		"systems": systems, "events at Oakland": events(oakland), "events at Berkeley": events(berkeley),
	}
	for from, list := range lists {
		token, err := list("")
		if err != nil || token == "" {
			t.Fatalf("%s: no second page, %v", from, err)
		}
		for to, other := range lists {
			_, err := other(token)
			if to == from {
				w.refused(err, codes.OK, "")
				continue
			}
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "pageToken") {
				t.Errorf("a token of %s for %s: %v", from, to, err)
			}
		}
	}
}
