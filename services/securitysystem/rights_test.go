package securitysystem_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	v1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestWhoInstallsSystems(t *testing.T) {
	tests := []struct {
		name, as, location string
		code               codes.Code
		reason             string
	}{
		{"a company admin at a location of the company", "alice", "oakland", codes.OK, ""},
		{"a company admin without a role on systems", "boss", "oakland", codes.OK, ""},
		{"a platform admin anywhere", "admin", "springfield", codes.OK, ""},
		{"an armer may see the location, but not install", "mary", "oakland", codes.PermissionDenied, "ROLE_MISSING"},
		{"a viewer neither", "victor", "oakland", codes.PermissionDenied, "ROLE_MISSING"},
		{"a location of another company does not exist", "bob", "oakland", codes.NotFound, "NOT_FOUND"},
		{"nor does any for one without grants", "eve", "oakland", codes.NotFound, "NOT_FOUND"},
		{"nor one that is not there", "alice", "atlantis", codes.NotFound, "NOT_FOUND"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, options{})
			_, err := w.systems.CreateSecuritySystem(w.as(test.as), &v1.CreateSecuritySystemRequest{LocationId: test.location})
			w.refused(err, test.code, test.reason)
			if made := w.rows() > 0; made != (test.code == codes.OK) {
				t.Errorf("something was made: %v", made)
			}
		})
	}
}

// Each person does each thing to the system at Oakland; refusals change nothing.
func TestWhoMayDoWhatToASystem(t *testing.T) {
	const (
		ok      = codes.OK
		hidden  = codes.NotFound
		lacking = codes.PermissionDenied
	)
	tests := []struct {
		as                                            string
		view, arm, disarm, acknowledge, remove, panel codes.Code
	}{
		{"alice", ok, ok, ok, ok, ok, ok},
		{"boss", ok, lacking, lacking, lacking, ok, ok},
		{"mary", ok, ok, ok, ok, lacking, lacking},
		{"victor", ok, lacking, lacking, lacking, lacking, lacking},
		{"admin", ok, lacking, lacking, lacking, ok, ok},
		{"charlie", hidden, hidden, hidden, hidden, hidden, hidden},
		{"bob", hidden, hidden, hidden, hidden, hidden, hidden},
		{"eve", hidden, hidden, hidden, hidden, hidden, hidden},
	}
	w := newWorld(t, options{})
	reasons := map[codes.Code]string{ok: "", hidden: "NOT_FOUND", lacking: "ROLE_MISSING"}
	for _, test := range tests {
		t.Run(test.as, func(t *testing.T) {
			w := &world{T: t, iss: w.iss, db: w.db, systems: w.systems, panels: w.panels}
			id := w.install("oakland").GetId()
			panel := w.panel(id)
			alarm := func() {
				_, err := w.panels.ReportAlarm(w.asPanel(panel), &v1.ReportAlarmRequest{ReportId: rand.Text(), Alarm: v1.AlarmKind_FIRE})
				if err != nil {
					t.Fatal(err)
				}
			}
			reset := func() {
				if _, err := w.systems.DisarmSecuritySystem(w.as("alice"), &v1.DisarmSecuritySystemRequest{SecuritySystemId: id}); err != nil {
					t.Fatal(err)
				}
			}
			check := func(what string, want codes.Code, call func() error) {
				t.Helper()
				rows := w.rows()
				err := call()
				if status.Code(err) != want || mesh.Reason(err) != reasons[want] {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
				if want != ok && w.rows() != rows {
					t.Errorf("%s was refused and left something behind", what)
				}
			}
			ctx := w.as(test.as)
			check("view", test.view, func() error {
				_, err := w.systems.GetSecuritySystem(ctx, &v1.GetSecuritySystemRequest{SecuritySystemId: id})
				return err
			})
			check("view the timeline", test.view, func() error {
				_, err := w.systems.ListEvents(ctx, &v1.ListEventsRequest{SecuritySystemId: id})
				return err
			})
			check("arm", test.arm, func() error {
				_, err := w.systems.ArmSecuritySystem(ctx, &v1.ArmSecuritySystemRequest{SecuritySystemId: id})
				return err
			})
			alarm()
			check("acknowledge", test.acknowledge, func() error {
				_, err := w.systems.AcknowledgeAlarm(ctx, &v1.AcknowledgeAlarmRequest{SecuritySystemId: id})
				return err
			})
			check("disarm", test.disarm, func() error {
				_, err := w.systems.DisarmSecuritySystem(ctx, &v1.DisarmSecuritySystemRequest{SecuritySystemId: id})
				return err
			})
			reset()
			check("register a panel", test.panel, func() error {
				_, err := w.systems.RegisterPanel(ctx, &v1.RegisterPanelRequest{SecuritySystemId: id})
				return err
			})
			check("remove", test.remove, func() error {
				_, err := w.systems.RemoveSecuritySystem(ctx, &v1.RemoveSecuritySystemRequest{SecuritySystemId: id})
				return err
			})
			if test.remove != ok {
				if _, err := w.systems.RemoveSecuritySystem(w.as("admin"), &v1.RemoveSecuritySystemRequest{SecuritySystemId: id}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestWhoAdministersThePlatformIsToldThatNoGrantHelps: told that a role is missing, they would go and grant it to themselves.
func TestWhoAdministersThePlatformIsToldThatNoGrantHelps(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	w.customers.grant("admin", "acme", "", customerv1.Role_SECURITY_SYSTEM_ARMER)
	for as, want := range map[string]string{"admin": "whatever is granted", "victor": "your roles at this location"} {
		_, err := w.systems.ArmSecuritySystem(w.as(as), &v1.ArmSecuritySystemRequest{SecuritySystemId: id})
		w.refused(err, codes.PermissionDenied, mesh.ReasonRoleMissing)
		if message := status.Convert(err).Message(); !strings.Contains(message, want) {
			t.Errorf("%s is told: %s", as, message)
		}
	}
}

func TestAllowedActionsAreTheCallersOwn(t *testing.T) {
	w := newWorld(t, options{})
	oakland, berkeley := w.install("oakland").GetId(), w.install("berkeley").GetId()
	for _, id := range []string{oakland, berkeley} {
		if _, err := w.systems.ArmSecuritySystem(w.as("alice"), &v1.ArmSecuritySystemRequest{SecuritySystemId: id}); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		claims meshtest.Claims
		id     string
		want   []v1.Action
	}{
		{"a disarmer", meshtest.Claims{Subject: "charlie", Scopes: allScopes}, berkeley, []v1.Action{v1.Action_DISARM}},
		{"a viewer", meshtest.Claims{Subject: "victor", Scopes: allScopes}, oakland, nil},
		{"a platform admin", meshtest.Claims{Subject: "admin", Roles: roles["admin"], Scopes: allScopes}, oakland, nil},
		{"an API key with the scope", meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient, Scopes: allScopes}, oakland,
			[]v1.Action{v1.Action_DISARM}},
		{"an API key that may only read", meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient, Scopes: []string{"securitysystem.read"}},
			oakland, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer, err := w.systems.GetSecuritySystem(w.with(test.claims), &v1.GetSecuritySystemRequest{SecuritySystemId: test.id})
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.GetSecuritySystem().GetAllowedActions(); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAnAPIKeyArmsWhereItWasGrantedTo(t *testing.T) {
	w := newWorld(t, options{})
	oakland, berkeley := w.install("oakland").GetId(), w.install("berkeley").GetId()
	key := meshtest.Claims{Subject: "rgk_1", Kind: mesh.KindClient, Scopes: []string{"securitysystem.read", "securitysystem.arm"}}
	if _, err := w.systems.ArmSecuritySystem(w.with(key), &v1.ArmSecuritySystemRequest{SecuritySystemId: oakland}); err != nil {
		t.Fatal(err)
	}
	if actor := w.events(oakland)[0].GetActor(); actor.GetId() != "rgk_1" || actor.GetClientId() != "rgk_1" {
		t.Errorf("armed by %v", actor)
	}
	_, err := w.systems.ArmSecuritySystem(w.with(key), &v1.ArmSecuritySystemRequest{SecuritySystemId: berkeley})
	w.refused(err, codes.NotFound, "NOT_FOUND")
	_, err = w.systems.DisarmSecuritySystem(w.with(key), &v1.DisarmSecuritySystemRequest{SecuritySystemId: oakland})
	w.refused(err, codes.PermissionDenied, "SCOPE_MISSING")
	// The role does not follow from the token of a client, whatever it says.
	key.Subject, key.Roles = "rgk_2", roles["admin"]
	_, err = w.systems.GetSecuritySystem(w.with(key), &v1.GetSecuritySystemRequest{SecuritySystemId: oakland})
	w.refused(err, codes.NotFound, "NOT_FOUND")
}

func TestTheCustomerServiceIsAskedWithTheCallersOwnToken(t *testing.T) {
	w := newWorld(t, options{})
	if _, err := w.systems.CreateSecuritySystem(w.with(meshtest.Claims{
		Subject: "alice", TokenID: "the-very-token", Scopes: allScopes, SessionID: "s-1",
	}), &v1.CreateSecuritySystemRequest{LocationId: "oakland"}); err != nil {
		t.Fatal(err)
	}
	if len(w.customers.callers) != 3 {
		t.Fatalf("asked %d times, want for rights and twice for the location", len(w.customers.callers))
	}
	for _, c := range w.customers.callers {
		if c.Subject != "alice" || c.TokenID != "the-very-token" || c.Kind != mesh.KindUser || c.SessionID != "s-1" {
			t.Errorf("asked as %+v", c)
		}
	}
}

func TestARoleThatIsWithdrawnCountsNoMoreAtTheNextRequest(t *testing.T) {
	w := newWorld(t, options{})
	id := w.install("oakland").GetId()
	ctx := w.as("mary")
	if _, err := w.systems.ArmSecuritySystem(ctx, &v1.ArmSecuritySystemRequest{SecuritySystemId: id}); err != nil {
		t.Fatal(err)
	}
	w.customers.withdraw("mary")
	_, err := w.systems.DisarmSecuritySystem(ctx, &v1.DisarmSecuritySystemRequest{SecuritySystemId: id})
	w.refused(err, codes.NotFound, "NOT_FOUND")
	if got := w.get(id).GetState(); got != v1.State_ARMED {
		t.Errorf("state %v", got)
	}
}

func TestWithoutTheCustomerServiceNobodyGetsIn(t *testing.T) {
	w := newWorld(t, options{customersAt: "127.0.0.1:1"})
	calls := map[string]func() error{
		"create": func() error {
			_, err := w.systems.CreateSecuritySystem(w.as("alice"), &v1.CreateSecuritySystemRequest{LocationId: "oakland"})
			return err
		},
		"create as platform admin": func() error {
			_, err := w.systems.CreateSecuritySystem(w.as("admin"), &v1.CreateSecuritySystemRequest{LocationId: "oakland"})
			return err
		},
		"list": func() error {
			_, err := w.systems.ListSecuritySystems(w.as("alice"), &v1.ListSecuritySystemsRequest{})
			return err
		},
		"arm": func() error {
			_, err := w.systems.ArmSecuritySystem(w.as("alice"), &v1.ArmSecuritySystemRequest{SecuritySystemId: "sys_1"})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			err := call()
			if status.Code(err) != codes.Unavailable || mesh.Reason(err) != "DEPENDENCY_DOWN" || !strings.Contains(err.Error(), "customer service") {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := w.rows(); n != 0 {
		t.Errorf("%d rows were made", n)
	}
	if _, err := w.systems.ListSecuritySystems(w.as("admin"), &v1.ListSecuritySystemsRequest{}); err != nil {
		t.Errorf("a platform admin, whose rights stand in the token, cannot list: %v", err)
	}
}
