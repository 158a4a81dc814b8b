// Package demo is the demo installation: who is in it, and how it comes to be, through the same interfaces that anybody
// else would use. Its secrets are known to everybody, so that it belongs in development only.
package demo

import (
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/services/token"
)

// Password is that of every demo account.
const Password = token.DemoPassword

// Admin is the demo's platform admin, CompanyAdmin an admin of one of its companies.
const (
	Admin        = "admin@realguardio.example"
	CompanyAdmin = "alice@acme.example"
)

// TrustedClient may use the password grant. The seeding itself and `realguardio access-token` sign in through it.
const TrustedClient = "demo-trusted"

// panelScope is what the credentials of an alarm panel are good for.
const panelScope = "panel.report"

// account is a person.
type account struct {
	email, name, about string
	platformAdmin      bool
}

var accounts = []account{
	{email: Admin, name: "Ada Quinn", about: "platform admin: creates customers and sees every system, arms none", platformAdmin: true},
	{email: "alice@acme.example", name: "Alice Archer", about: "company admin of Acme, arms and disarms all of its systems"},
	{email: "mary@acme.example", name: "Mary Moreno", about: "arms and disarms at Oakland only"},
	{email: "charlie@acme.example", name: "Charlie Chen", about: "disarms at Berkeley, through the team Night shift"},
	{email: "victor@acme.example", name: "Victor Vance", about: "views all systems of Acme, changes none"},
	{email: "eve@acme.example", name: "Eve Easton", about: "employee of Acme without any grant: sees nothing"},
	{email: "bob@foo.example", name: "Bob Baker", about: "company admin of Foo, arms its system"},
}

const (
	armer    = customerv1.Role_SECURITY_SYSTEM_ARMER
	disarmer = customerv1.Role_SECURITY_SYSTEM_DISARMER
	viewer   = customerv1.Role_SECURITY_SYSTEM_VIEWER
)

// company is a customer, as its admin builds it.
type company struct {
	name, admin string
	locations   []location
	// employees are e-mail addresses, the admin's own apart.
	employees []string
	teams     []team
	grants    []grant
	apiKey    *apiKey
	// panelAt is the location whose alarm panel gets credentials; empty for none.
	panelAt string
}

type location struct{ name, address string }

type team struct {
	name    string
	members []string
}

// grant gives a role to one of employee (an e-mail address), team and apiKey, at a location or, when that is empty, at
// all of the company.
type grant struct {
	employee, team, apiKey string
	role                   customerv1.Role
	location               string
}

type apiKey struct {
	name   string
	scopes []string
}

var companies = []company{
	{
		name:  "Acme Corporation",
		admin: "alice@acme.example",
		locations: []location{
			{"Oakland", "1 Frank H. Ogawa Plaza, Oakland, CA 94612"},
			{"Berkeley", "2180 Milvia Street, Berkeley, CA 94704"},
			{"Hayward", "777 B Street, Hayward, CA 94541"},
		},
		employees: []string{"mary@acme.example", "charlie@acme.example", "victor@acme.example", "eve@acme.example"},
		teams:     []team{{"Night shift", []string{"charlie@acme.example"}}},
		apiKey:    &apiKey{"Opening hours script", []string{"securitysystem.read", "securitysystem.arm", "securitysystem.disarm"}},
		grants: []grant{
			{employee: "alice@acme.example", role: armer},
			{employee: "alice@acme.example", role: disarmer},
			{employee: "mary@acme.example", role: armer, location: "Oakland"},
			{employee: "mary@acme.example", role: disarmer, location: "Oakland"},
			{team: "Night shift", role: disarmer, location: "Berkeley"},
			{employee: "victor@acme.example", role: viewer},
			{apiKey: "Opening hours script", role: viewer, location: "Oakland"},
			{apiKey: "Opening hours script", role: armer, location: "Oakland"},
			{apiKey: "Opening hours script", role: disarmer, location: "Oakland"},
		},
		panelAt: "Oakland",
	},
	{
		name:      "Foo Industries",
		admin:     "bob@foo.example",
		locations: []location{{"Springfield", "742 Evergreen Terrace, Springfield"}},
		grants:    []grant{{employee: "bob@foo.example", role: armer}},
	},
}
