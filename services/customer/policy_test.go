package customer

import (
	"testing"
	"time"
)

func TestDecisions(t *testing.T) {
	held := func(role Role, location string) []Held {
		return []Held{{GrantID: "g", CustomerID: "c", Role: role, LocationID: location}}
	}
	person := Caller{Kind: KindUser, ID: "u"}
	platform := Caller{Kind: KindUser, ID: "p", PlatformAdmin: true}
	key := Caller{Kind: KindKey, ID: "k"}
	const h, v, m = Hidden, Visible, Managed
	for _, test := range []struct {
		name     string
		standing Standing
		customer, remove, contents, here, there,
		self, other, staff Decision
	}{
		{"a stranger sees nothing", Standing{Caller: person}, h, h, h, h, h, h, h, h},
		{"a workload sees nothing", Standing{}, h, h, h, h, h, h, h, h},
		{"an employee without roles sees the customer and themselves",
			Standing{Caller: person, EmployeeID: "self"}, v, v, v, h, h, v, h, h},
		{"a viewer at one place sees that place",
			Standing{Caller: person, EmployeeID: "self", Held: held(RoleViewer, "here")}, v, v, v, v, h, v, h, h},
		{"an armer at one place manages nothing",
			Standing{Caller: person, EmployeeID: "self", Held: held(RoleArmer, "here")}, v, v, v, v, h, v, h, h},
		{"a disarmer everywhere sees every place",
			Standing{Caller: person, EmployeeID: "self", Held: held(RoleDisarmer, "")}, v, v, v, v, v, v, h, h},
		{"a company admin manages all, and does not remove the customer",
			Standing{Caller: person, EmployeeID: "self", Held: held(RoleCompanyAdmin, "")}, m, v, m, m, m, m, m, m},
		{"a platform admin manages the customer and looks at the rest",
			Standing{Caller: platform}, m, m, v, v, v, v, v, v},
		{"a platform admin who is a company admin too is both",
			Standing{Caller: platform, EmployeeID: "self", Held: held(RoleCompanyAdmin, "")}, m, m, m, m, m, m, m, m},
		{"a key without roles sees its customer", Standing{Caller: key, OwnKey: true}, v, v, v, h, h, h, h, h},
		{"a key with a role sees its place",
			Standing{Caller: key, OwnKey: true, Held: held(RoleViewer, "here")}, v, v, v, v, h, h, h, h},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, check := range []struct {
				what      string
				got, want Decision
			}{
				{"customer", DecideCustomer(test.standing), test.customer},
				{"removal", DecideRemoveCustomer(test.standing), test.remove},
				{"contents", DecideContents(test.standing), test.contents},
				{"location here", DecideLocation(test.standing, "here"), test.here},
				{"location there", DecideLocation(test.standing, "there"), test.there},
				{"own employee", DecideEmployee(test.standing, "self"), test.self},
				{"other employee", DecideEmployee(test.standing, "other"), test.other},
				{"no employee", DecideEmployee(test.standing, ""), test.other},
				{"staff", DecideStaff(test.standing), test.staff},
			} {
				if check.got != check.want {
					t.Errorf("%s: %d, want %d", check.what, check.got, check.want)
				}
			}
			// A list shows all where each would be shown.
			if all := test.standing.seesAllLocations(); all != (test.there != h) {
				t.Errorf("sees all locations: %v", all)
			}
		})
	}
	if DecideCreateCustomer(platform) != Managed || DecideCreateCustomer(person) == Managed || DecideCreateCustomer(key) == Managed {
		t.Error("customers are made by others than platform admins")
	}
}

func TestWhichGrantsMakeSense(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	employee, team, key := Subject{EmployeeID: "e"}, Subject{TeamID: "t"}, Subject{KeyID: "k"}
	for _, test := range []struct {
		name  string
		grant Grant
		field string
	}{
		{"an admin for good", Grant{Subject: employee, Role: RoleCompanyAdmin}, ""},
		{"an admin for a while", Grant{Subject: employee, Role: RoleCompanyAdmin, Period: Period{End: at(1)}}, ""},
		{"an admin of a place", Grant{Subject: employee, Role: RoleCompanyAdmin, LocationID: "l"}, "locationId"},
		{"a team of admins", Grant{Subject: team, Role: RoleCompanyAdmin}, "role"},
		{"an admin key", Grant{Subject: key, Role: RoleCompanyAdmin}, "role"},
		{"a team of viewers", Grant{Subject: team, Role: RoleViewer}, ""},
		{"a key that arms", Grant{Subject: key, Role: RoleArmer, LocationID: "l"}, ""},
		{"begun long ago", Grant{Subject: employee, Role: RoleViewer, Period: Period{Start: at(-9)}}, ""},
		{"begun long ago and ending soon", Grant{Subject: employee, Role: RoleViewer, Period: Period{at(-9), at(1)}}, ""},
		{"ended", Grant{Subject: employee, Role: RoleViewer, Period: Period{at(-9), at(-1)}}, "endTime"},
		{"ending now", Grant{Subject: employee, Role: RoleViewer, Period: Period{End: now}}, "endTime"},
		{"ending before it begins", Grant{Subject: employee, Role: RoleViewer, Period: Period{at(2), at(1)}}, "endTime"},
		{"ending as it begins", Grant{Subject: employee, Role: RoleViewer, Period: Period{at(2), at(2)}}, "endTime"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if field, description := test.grant.fault(now); field != test.field {
				t.Errorf("fault is %q (%s), want %q", field, description, test.field)
			}
		})
	}
}
