package securitysystem_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/audit/audittest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

// entries returns what was recorded of an action, the oldest first.
func (w *world) entries(action string) []audit.Entry {
	w.Helper()
	return audittest.Entries(w, w.db, audit.Filter{Action: action})
}

func TestWhatPeopleDoToSystemsIsRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		w := newWorld(t, options{db: open(), gather: time.Millisecond})
		w.run()
		system := w.install("oakland")
		id, panel := system.GetId(), w.panel(system.GetId())
		conn := w.server.DialAs(t, "gateway")
		systems := securitysystemv1.NewSecuritySystemServiceClient(conn)
		_, err := systems.ArmSecuritySystem(w.as("mary"), &securitysystemv1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: securitysystemv1.Mode_STAY})
		if err != nil {
			t.Fatal(err)
		}
		before := len(w.entries(""))
		_, err = w.panels.ReportAlarm(w.asPanel(panel), &securitysystemv1.ReportAlarmRequest{ReportId: "r1", Alarm: securitysystemv1.AlarmKind_FIRE})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.panels.ReportFaults(w.asPanel(panel), &securitysystemv1.ReportFaultsRequest{Faults: []securitysystemv1.Fault{securitysystemv1.Fault_OFFLINE}}); err != nil {
			t.Fatal(err)
		}
		if got := len(w.entries("")); got != before {
			t.Errorf("what panels report is recorded: %d entries after %d", got, before)
		}
		// What is refused for the state of the system is no deed.
		_, err = systems.ArmSecuritySystem(w.as("mary"), &securitysystemv1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: securitysystemv1.Mode_STAY})
		w.refused(err, codes.FailedPrecondition, "SYSTEM_ALARMED")
		for range 2 { // the second time nothing changes
			if _, err := systems.AcknowledgeAlarm(w.as("mary"), &securitysystemv1.AcknowledgeAlarmRequest{SecuritySystemId: id}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := systems.DisarmSecuritySystem(w.as("rgk_1"), &securitysystemv1.DisarmSecuritySystemRequest{SecuritySystemId: id}); err != nil {
				t.Fatal(err)
			}
		}
		_, err = systems.RemoveSecuritySystem(w.as("alice"), &securitysystemv1.RemoveSecuritySystemRequest{SecuritySystemId: id})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range w.entries("") {
			if e.Target != id || e.Details["customer"] != "acme" || e.Details["location"] != "oakland" || e.Result != audit.OK || e.RequestID == "" || e.ClientID == "" {
				t.Errorf("%+v", e)
			}
			got = append(got, fmt.Sprintf("%s %s via %s %s", e.Action, e.Actor, strings.Join(e.Via, " "), e.Details["mode"]))
		}
		want := []string{
			"system.create admin via test-client ", "panel.register admin via test-client ", "system.arm mary via gateway STAY",
			"alarm.acknowledge mary via gateway ", "system.disarm rgk_1 via gateway ", "system.remove alice via gateway ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestWhoIsRefusedASystemIsRecorded has it refused by the rule of a method, and by the system.
func TestWhoIsRefusedASystemIsRecorded(t *testing.T) {
	w := newWorld(t, options{gather: time.Millisecond})
	w.run()
	id := w.install("oakland").GetId()
	rows := w.rows()
	_, err := w.systems.ArmSecuritySystem(w.as("victor"), &securitysystemv1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: securitysystemv1.Mode_AWAY})
	w.refused(err, codes.PermissionDenied, mesh.ReasonRoleMissing)
	_, err = w.systems.ArmSecuritySystem(w.with(meshtest.Claims{Subject: "mary", ClientID: "web", Scopes: []string{"securitysystem.read"}}),
		&securitysystemv1.ArmSecuritySystemRequest{SecuritySystemId: id, Mode: securitysystemv1.Mode_AWAY})
	w.refused(err, codes.PermissionDenied, mesh.ReasonScopeMissing)
	meshtest.Await(t, "both are recorded", func() bool { return len(w.entries("call.deny")) == 2 })
	var got []string
	for _, e := range w.entries("call.deny") {
		got = append(got, fmt.Sprint(e.Actor, " ", e.Result, " ", e.Target[strings.LastIndexByte(e.Target, '/')+1:], " ", e.Via))
	}
	slices.Sort(got)
	if want := []string{"mary SCOPE_MISSING ArmSecuritySystem [test-client]", "victor ROLE_MISSING ArmSecuritySystem [test-client]"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if w.rows() != rows {
		t.Error("something else has changed")
	}
}

// TestWhoMayReadWhatWasRecorded is for a platform admin alone, whatever others are in a company.
func TestWhoMayReadWhatWasRecorded(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	log := auditv1.NewAuditServiceClient(w.server.Dial(t))
	read := []string{"audit.read", "securitysystem.read"}
	for _, tt := range []struct {
		name   string
		claims meshtest.Claims
		part   string
		code   codes.Code
	}{
		{"a platform admin", meshtest.Claims{Subject: "admin", Roles: roles["admin"], Scopes: read}, "securitysystem", codes.OK},
		{"a platform admin, for another part's", meshtest.Claims{Subject: "admin", Roles: roles["admin"], Scopes: read}, "customer", codes.NotFound},
		{"a platform admin, by an application that may not", meshtest.Claims{Subject: "admin", Roles: roles["admin"], Scopes: allScopes}, "securitysystem", codes.PermissionDenied},
		{"the admin of its company", meshtest.Claims{Subject: "alice", Scopes: read}, "securitysystem", codes.PermissionDenied},
		{"the admin of another company", meshtest.Claims{Subject: "bob", Scopes: read}, "securitysystem", codes.PermissionDenied},
		{"a key", meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient, Scopes: read}, "securitysystem", codes.PermissionDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := log.ListEntries(w.with(tt.claims), &auditv1.ListEntriesRequest{Part: tt.part})
			if status.Code(err) != tt.code {
				t.Fatalf("%v", err)
			}
			if tt.code == codes.OK && (len(answer.GetEntries()) != 1 || answer.GetEntries()[0].GetTarget() != id) {
				t.Errorf("%v", answer)
			}
		})
	}
}
