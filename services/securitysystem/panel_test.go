package securitysystem_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	v1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

func (w *world) report(panel, id string, alarm v1.AlarmKind) (*v1.SecuritySystem, error) {
	answer, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{ReportId: id, Alarm: alarm})
	return answer.GetSecuritySystem(), err
}

func (w *world) arm(id string) {
	w.Helper()
	if _, err := w.systems.ArmSecuritySystem(w.as("alice"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) disarm(id string) {
	w.Helper()
	if _, err := w.systems.DisarmSecuritySystem(w.as("alice"), &v1.DisarmSecuritySystemRequest{SecuritySystemId: id}); err != nil {
		w.Fatal(err)
	}
}

func TestAReportPutsThePanelsSystemIntoAlarm(t *testing.T) {
	w := newWorld(t, options{})
	oakland, berkeley := w.install("oakland").GetId(), w.install("berkeley").GetId()
	panel := w.panel(oakland)
	w.panel(berkeley)
	w.arm(oakland)
	w.arm(berkeley)
	got, err := w.report(panel, "r1", v1.AlarmKind_INTRUSION)
	if err != nil {
		t.Fatal(err)
	}
	if got.GetId() != oakland || got.GetState() != v1.State_ALARMED || got.GetAlarm() != v1.AlarmKind_INTRUSION || len(got.GetAllowedActions()) > 0 {
		t.Errorf("got %v", got)
	}
	if state := w.get(berkeley).GetState(); state != v1.State_ARMED {
		t.Errorf("another panel's system is %v", state)
	}
}

func TestAnIntrusionWhileDisarmedIsRefusedAndOtherAlarmsAreNot(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	panel := w.panel(id)
	rows := w.rows()
	_, err := w.report(panel, "r1", v1.AlarmKind_INTRUSION)
	w.refused(err, codes.FailedPrecondition, "SYSTEM_DISARMED")
	if w.rows() != rows || w.get(id).GetState() != v1.State_DISARMED {
		t.Error("the refusal left something behind")
	}
	for _, kind := range []v1.AlarmKind{v1.AlarmKind_TAMPER, v1.AlarmKind_PANIC, v1.AlarmKind_FIRE} {
		if got, err := w.report(panel, kind.String(), kind); err != nil || got.GetAlarm() != kind {
			t.Errorf("%v: %v, %v", kind, got.GetAlarm(), err)
		}
	}
}

func TestARepeatedReportActsOnce(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	panel := w.panel(id)
	w.arm(id)
	first, err := w.report(panel, "r1", v1.AlarmKind_INTRUSION)
	if err != nil {
		t.Fatal(err)
	}
	rows := w.rows()
	again, err := w.report(panel, "r1", v1.AlarmKind_INTRUSION)
	if diff := cmp.Diff(first, again, protocmp.Transform()); err != nil || diff != "" || w.rows() != rows {
		t.Error("repeated at once:", err, diff)
	}
	w.disarm(id)
	rows = w.rows()
	// A late repetition neither alarms the system again nor is refused.
	late, err := w.report(panel, "r1", v1.AlarmKind_INTRUSION)
	if err != nil || late.GetState() != v1.State_DISARMED || w.rows() != rows {
		t.Errorf("repeated after disarming: %v, %v", late.GetState(), err)
	}
	// Another panel may use the same id.
	other := w.panel(w.install("berkeley").GetId())
	if got, err := w.report(other, "r1", v1.AlarmKind_FIRE); err != nil || got.GetState() != v1.State_ALARMED {
		t.Errorf("another panel's report: %v, %v", got.GetState(), err)
	}
}

func TestTheSameReportManyTimesAtOnceIsOneEvent(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open()})
		id := w.install("oakland").GetId()
		panel := w.panel(id)
		var calls sync.WaitGroup
		for range 12 {
			calls.Go(func() {
				if got, err := w.report(panel, "r1", v1.AlarmKind_FIRE); err != nil || got.GetState() != v1.State_ALARMED {
					t.Errorf("%v, %v", got.GetState(), err)
				}
			})
		}
		calls.Wait()
		if n := w.count(id, v1.EventType_ALARM_RAISED); n != 1 {
			t.Errorf("%d alarms", n)
		}
	})
}

func (w *world) count(id string, kind v1.EventType) int {
	w.Helper()
	n := 0
	for _, e := range w.events(id) {
		if e.GetType() == kind {
			n++
		}
	}
	return n
}

func TestFaultsAreReplacedAndTheSameOnesChangeNothing(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	panel := w.panel(id)
	report := func(faults ...v1.Fault) *v1.SecuritySystem {
		t.Helper()
		answer, err := w.panels.ReportFaults(w.asPanel(panel), &v1.ReportFaultsRequest{Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetSecuritySystem()
	}
	first := report(v1.Fault_OFFLINE, v1.Fault_LOW_BATTERY)
	if want := []v1.Fault{v1.Fault_LOW_BATTERY, v1.Fault_OFFLINE}; !slices.Equal(first.GetFaults(), want) {
		t.Errorf("faults %v, want %v", first.GetFaults(), want)
	}
	if again := report(v1.Fault_LOW_BATTERY, v1.Fault_OFFLINE); again.GetEtag() != first.GetEtag() {
		t.Error("the same faults changed the system")
	}
	if last := report(); len(last.GetFaults()) != 0 || last.GetUpdatedBy().GetId() != panel {
		t.Errorf("after none: %v", last)
	}
	if n := w.count(id, v1.EventType_FAULTS_CHANGED); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestAPanelThatBelongsToNoSystemIsNotFound(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	replaced := w.panel(id)
	current := w.panel(id)
	removed := w.panel(w.install("berkeley").GetId())
	var berkeley string
	answer, err := w.systems.ListSecuritySystems(w.as("charlie"), &v1.ListSecuritySystemsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	berkeley = answer.GetSecuritySystems()[0].GetId()
	if _, err := w.systems.RemoveSecuritySystem(w.as("alice"), &v1.RemoveSecuritySystemRequest{SecuritySystemId: berkeley}); err != nil {
		t.Fatal(err)
	}
	rows := w.rows()
	for name, panel := range map[string]string{
		"a stranger": "panel_stranger", "one that was replaced": replaced, "one whose system was removed": removed,
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, iss: w.iss, panels: w.panels}
			_, err := w.report(panel, "r1", v1.AlarmKind_FIRE)
			w.refused(err, codes.NotFound, "NOT_FOUND")
			_, err = w.panels.ReportFaults(w.asPanel(panel), &v1.ReportFaultsRequest{Faults: []v1.Fault{v1.Fault_OFFLINE}})
			w.refused(err, codes.NotFound, "NOT_FOUND")
		})
	}
	if w.rows() != rows {
		t.Error("something was written")
	}
	if _, err := w.report(current, "r1", v1.AlarmKind_FIRE); err != nil {
		t.Errorf("the current panel: %v", err)
	}
	_, err = w.panels.ReportAlarm(w.as("alice"), &v1.ReportAlarmRequest{ReportId: "x", Alarm: v1.AlarmKind_FIRE})
	w.refused(err, codes.PermissionDenied, "CALLER_KIND")
}

func TestPanelCredentialsAreMadeByThisServiceAndEndedWhenReplacedOrRemoved(t *testing.T) {
	w := newWorld(t, options{})
	w.run()
	id := w.install("oakland").GetId()
	answer, err := w.systems.RegisterPanel(w.as("alice"), &v1.RegisterPanelRequest{SecuritySystemId: id})
	if err != nil {
		t.Fatal(err)
	}
	first := answer.GetClientId()
	if answer.GetClientSecret() != "secret of "+first {
		t.Errorf("secret %q", answer.GetClientSecret())
	}
	w.accounts.setDown(true)
	// While the token service is down there are no new credentials, and the old ones stay.
	_, err = w.systems.RegisterPanel(w.as("alice"), &v1.RegisterPanelRequest{SecuritySystemId: id})
	w.refused(err, codes.Unavailable, "DEPENDENCY_DOWN")
	if _, err := w.report(first, "r1", v1.AlarmKind_FIRE); err != nil {
		t.Errorf("the panel after a registration that failed: %v", err)
	}
	w.disarm(id)
	w.accounts.setDown(false)

	second := w.panel(id)
	meshtest.Await(w, "the first credentials are ended", func() bool { return slices.Equal(w.accounts.ended(), []string{first}) })

	// A token service that is down when the system goes is asked again.
	w.accounts.setDown(true)
	if _, err := w.systems.RemoveSecuritySystem(w.as("alice"), &v1.RemoveSecuritySystemRequest{SecuritySystemId: id}); err != nil {
		t.Fatal(err)
	}
	meshtest.Await(w, "it was asked in vain", func() bool {
		w.accounts.mu.Lock()
		defer w.accounts.mu.Unlock()
		return w.accounts.refused > 0
	})
	w.accounts.setDown(false)
	meshtest.Await(w, "the second credentials are ended", func() bool { return slices.Contains(w.accounts.ended(), second) })

	w.accounts.mu.Lock()
	defer w.accounts.mu.Unlock()
	for _, c := range w.accounts.callers {
		if c.Kind != mesh.KindWorkload || c.Subject != "securitysystem" {
			t.Errorf("the token service was asked by %v", c)
		}
	}
}

func TestNoSecretIsStoredOrPublished(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	w.panel(id)
	var text string
	err := w.db.QueryRow(t.Context(), `SELECT data FROM outbox WHERE type LIKE '%panel_registered'`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "eyJ") {
		t.Errorf("the event carries a credential: %s", text)
	}
}
