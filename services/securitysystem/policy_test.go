package securitysystem

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	oakland     = System{ID: "sys_o", CustomerID: "acme", LocationID: "oakland", State: Disarmed}
	berkeley    = System{ID: "sys_b", CustomerID: "acme", LocationID: "berkeley", State: Disarmed}
	springfield = System{ID: "sys_s", CustomerID: "foo", LocationID: "springfield", State: Disarmed}
)

func at(location string, roles Roles) Grant {
	return Grant{Roles: roles, CustomerID: "acme", LocationID: location}
}

func everywhere(roles Roles) Grant { return Grant{Roles: roles, CustomerID: "acme"} }

func TestWhoMayWhat(t *testing.T) {
	type may struct{ View, Arm, Disarm, Acknowledge, Manage Decision }
	none := may{}
	tests := []struct {
		name   string
		rights Rights
		on     System
		want   may
	}{
		{"nobody sees anything without a right", Rights{}, oakland, none},
		{"an armer arms", RightsFrom([]Grant{at("oakland", Armer)}), oakland,
			may{Allowed, Allowed, RoleMissing, RoleMissing, RoleMissing}},
		{"a disarmer disarms and acknowledges", RightsFrom([]Grant{at("oakland", Disarmer)}), oakland,
			may{Allowed, RoleMissing, Allowed, Allowed, RoleMissing}},
		{"a viewer views", RightsFrom([]Grant{at("oakland", Viewer)}), oakland,
			may{Allowed, RoleMissing, RoleMissing, RoleMissing, RoleMissing}},
		{"roles of several grants add up", RightsFrom([]Grant{at("oakland", Armer), at("oakland", Disarmer)}), oakland,
			may{Allowed, Allowed, Allowed, Allowed, RoleMissing}},
		{"roles on customer and location add up", RightsFrom([]Grant{everywhere(Viewer), at("oakland", Armer)}), oakland,
			may{Allowed, Allowed, RoleMissing, RoleMissing, RoleMissing}},
		{"a system at another location does not exist", RightsFrom([]Grant{at("oakland", Armer)}), berkeley, none},
		{"a role on the customer is inherited by its locations", RightsFrom([]Grant{everywhere(Armer)}), berkeley,
			may{Allowed, Allowed, RoleMissing, RoleMissing, RoleMissing}},
		{"a system of another customer does not exist", RightsFrom([]Grant{everywhere(Armer)}), springfield, none},
		{"a company admin views and manages, but does not arm", RightsFrom([]Grant{everywhere(CompanyAdmin)}), oakland,
			may{Allowed, RoleMissing, RoleMissing, RoleMissing, Allowed}},
		{"a company admin with the role arms", RightsFrom([]Grant{everywhere(CompanyAdmin), everywhere(Armer)}), oakland,
			may{Allowed, Allowed, RoleMissing, RoleMissing, Allowed}},
		{"a company admin of another customer sees nothing", RightsFrom([]Grant{everywhere(CompanyAdmin)}), springfield, none},
		{"a company admin at one location only would manage nothing", RightsFrom([]Grant{at("oakland", CompanyAdmin)}), oakland,
			may{Allowed, RoleMissing, RoleMissing, RoleMissing, RoleMissing}},
		{"a platform admin views and manages everything, and arms nothing", PlatformAdmin(), springfield,
			may{Allowed, RoleMissing, RoleMissing, RoleMissing, Allowed}},
		{"a role that is unknown is no right", RightsFrom([]Grant{everywhere(0), at("oakland", 0)}), oakland, none},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := may{
				View: MayView(test.rights, test.on), Arm: May(test.rights, test.on, Arm), Disarm: May(test.rights, test.on, Disarm),
				Acknowledge: May(test.rights, test.on, Acknowledge), Manage: MayManage(test.rights, test.on),
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("an unknown action is refused", func(t *testing.T) {
		if got := May(RightsFrom([]Grant{everywhere(Armer | Disarmer)}), oakland, "EXPLODE"); got != RoleMissing {
			t.Error(got)
		}
	})
}

func TestAllowedActionsAreThoseOfTheStateAndTheRights(t *testing.T) {
	in := func(s System) System {
		s.CustomerID, s.LocationID = "acme", "oakland"
		return s
	}
	tests := []struct {
		name   string
		roles  Roles
		system System
		want   []Action
	}{
		{"an armer of a disarmed system", Armer, in(disarmed), []Action{Arm}},
		{"an armer of an armed system", Armer, in(armedAway), nil},
		{"a disarmer of a disarmed system", Disarmer, in(disarmed), nil},
		{"a disarmer of an armed system", Disarmer, in(armedAway), []Action{Disarm}},
		{"a disarmer of an alarmed system", Disarmer, in(alarmed), []Action{Disarm, Acknowledge}},
		{"a disarmer of an acknowledged one", Disarmer, in(acknowledged), []Action{Disarm}},
		{"a viewer of an alarmed system", Viewer, in(alarmed), nil},
		{"all roles on a disarmed system", Armer | Disarmer | Viewer, in(disarmed), []Action{Arm}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := AllowedActions(RightsFrom([]Grant{at("oakland", test.roles)}), test.system)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsVisibleNamesEachRightOnce(t *testing.T) {
	got := VisibleTo(RightsFrom([]Grant{
		everywhere(Viewer), at("oakland", Armer), {Roles: Viewer, CustomerID: "foo", LocationID: "springfield"},
		{Roles: 0, CustomerID: "bar"}, {Roles: Armer, CustomerID: "foo", LocationID: "springfield"},
	}))
	want := Visible{Customers: []string{"acme"}, Locations: []string{"springfield"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !VisibleTo(PlatformAdmin()).All {
		t.Error("a platform admin sees less than all")
	}
}
