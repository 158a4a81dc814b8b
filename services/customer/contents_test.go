package customer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/services/customer"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

func TestALocationWithASystemStays(t *testing.T) {
	a := newAcme(t, newWorld(t))
	remove := func() error {
		_, err := a.client.RemoveLocation(a.as("alice"), &customerv1.RemoveLocationRequest{CustomerId: a.id, LocationId: a.oakland})
		return err
	}
	a.unchanged(t, func() {
		a.systems.set(a.oakland, nil)
		refused(t, remove(), codes.FailedPrecondition, "SECURITY_SYSTEM_INSTALLED")
		a.systems.set("", status.Error(codes.Unavailable, "down"))
		refused(t, remove(), codes.Unavailable, "DEPENDENCY_DOWN")
	})
	a.systems.set(a.berkeley, nil)
	if err := remove(); err != nil {
		t.Error(err)
	}
	refused(t, remove(), codes.NotFound, "NOT_FOUND")
}

func TestTeamMembership(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	add := func(employee string) (*customerv1.Team, error) {
		r, err := a.client.AddTeamMember(ctx, &customerv1.AddTeamMemberRequest{CustomerId: a.id, TeamId: a.night, EmployeeId: employee})
		return r.GetTeam(), err
	}
	remove := func(employee string) (*customerv1.Team, error) {
		r, err := a.client.RemoveTeamMember(ctx, &customerv1.RemoveTeamMemberRequest{CustomerId: a.id, TeamId: a.night, EmployeeId: employee})
		return r.GetTeam(), err
	}
	mary, charlie := a.employees["mary"], a.employees["charlie"]

	both := must(add(mary))(t)
	want := []string{mary, charlie}
	slices.Sort(want)
	if !slices.Equal(both.GetEmployeeIds(), want) {
		t.Errorf("members are %q, want %q", both.GetEmployeeIds(), want)
	}
	a.holds(t, a.as("mary"), "SECURITY_SYSTEM_ARMER oakland", "SECURITY_SYSTEM_DISARMER berkeley by team")
	a.unchanged(t, func() {
		if again := must(add(mary))(t); !proto.Equal(again, both) {
			t.Errorf("adding a member again answers %v, want %v", again, both)
		}
		if none := must(remove(a.employees["eve"]))(t); !proto.Equal(none, both) {
			t.Errorf("removing somebody who is no member answers %v, want %v", none, both)
		}
		bob := must(a.client.ListEmployees(a.as("bob"), &customerv1.ListEmployeesRequest{CustomerId: a.foo}))(t).GetEmployees()[0]
		for _, id := range []string{bob.GetId(), "emp_00000000000000000000000000", "x\x00"} {
			_, err := add(id)
			refused(t, err, codes.NotFound, "NOT_FOUND")
			_, err = remove(id)
			refused(t, err, codes.NotFound, "NOT_FOUND")
		}
	})
	one := must(remove(mary))(t)
	if !slices.Equal(one.GetEmployeeIds(), []string{charlie}) || one.GetEtag() == both.GetEtag() {
		t.Errorf("after a removal the team is %v", one)
	}
	got := must(a.client.GetTeam(ctx, &customerv1.GetTeamRequest{CustomerId: a.id, TeamId: a.night}))(t).GetTeam()
	if !proto.Equal(got, one) {
		t.Errorf("GetTeam shows %v, want %v", got, one)
	}
}

func TestWhatAChangeAnswersIsWhatIsThenThere(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	same := func(name string, got, want proto.Message) {
		t.Helper()
		if !proto.Equal(got, want) {
			t.Errorf("%s: Get shows %v, want %v", name, got, want)
		}
	}
	c := must(a.client.UpdateCustomer(ctx, &customerv1.UpdateCustomerRequest{CustomerId: a.id, Name: "Acme"}))(t).GetCustomer()
	same("customer", must(a.client.GetCustomer(ctx, &customerv1.GetCustomerRequest{CustomerId: a.id}))(t).GetCustomer(), c)
	if c.GetName() != "Acme" || !c.GetUpdateTime().AsTime().After(c.GetCreateTime().AsTime()) {
		t.Errorf("renamed customer is %v", c)
	}
	l := must(a.client.CreateLocation(ctx, &customerv1.CreateLocationRequest{CustomerId: a.id, Name: "Größe", Address: "1 Road"}))(t).GetLocation()
	same("location", must(a.client.GetLocation(ctx, &customerv1.GetLocationRequest{CustomerId: a.id, LocationId: l.GetId()}))(t).GetLocation(), l)
	same("looked up", must(a.client.LookupLocation(ctx, &customerv1.LookupLocationRequest{LocationId: l.GetId()}))(t).GetLocation(), l)
	e := must(a.client.CreateEmployee(ctx, &customerv1.CreateEmployeeRequest{CustomerId: a.id, Name: "N", Email: "n@acme.example"}))(t).GetEmployee()
	same("employee", must(a.client.GetEmployee(ctx, &customerv1.GetEmployeeRequest{CustomerId: a.id, EmployeeId: e.GetId()}))(t).GetEmployee(), e)
	g := must(a.client.CreateGrant(ctx, grantRequest(a.id, toEmployee(e.GetId()), armer, l.GetId())))(t).GetGrant()
	same("grant", must(a.client.GetGrant(ctx, &customerv1.GetGrantRequest{CustomerId: a.id, GrantId: g.GetId()}))(t).GetGrant(), g)
	team := must(a.client.CreateTeam(ctx, &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "T"}))(t).GetTeam()
	same("team", must(a.client.GetTeam(ctx, &customerv1.GetTeamRequest{CustomerId: a.id, TeamId: team.GetId()}))(t).GetTeam(), team)
}

func TestWhoChangedWhatIsRecorded(t *testing.T) {
	a := newAcme(t, newWorld(t))
	must(a.client.UpdateCustomer(a.as("alice"), &customerv1.UpdateCustomerRequest{CustomerId: a.id, Name: "Acme"}))(t)
	var created, updated string
	row := a.db.QueryRow(t.Context(), `SELECT created_by, updated_by FROM customers WHERE id = $1`, a.id)
	if err := row.Scan(&created, &updated); err != nil {
		t.Fatal(err)
	}
	if created != "u-admin" || updated != "u-alice" {
		t.Errorf("made by %s, changed by %s", created, updated)
	}
}

func TestKeys(t *testing.T) {
	a := newAcme(t, newWorld(t))
	ctx := a.as("alice")
	made := must(a.client.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{
		CustomerId: a.id, Name: "second", Scopes: []string{"securitysystem.arm"},
	}))(t)
	id := made.GetApiKey().GetId()
	if made.GetSecret() != "secret of "+id || a.accounts.keys[id].owner != "customer:"+a.id {
		t.Errorf("the key is %v, owned by %s", made, a.accounts.keys[id].owner)
	}
	a.holds(t, a.asKey(id))
	var listed []string
	for _, k := range must(a.client.ListApiKeys(ctx, &customerv1.ListApiKeysRequest{CustomerId: a.id}))(t).GetApiKeys() {
		listed = append(listed, k.GetId())
	}
	if want := []string{id, a.key}; !slices.Equal(listed, want) {
		t.Errorf("keys are %q, want %q", listed, want)
	}
	expiring := timestamppb.New(time.Now().Add(time.Hour))
	temporary := must(a.client.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{
		CustomerId: a.id, Name: "third", Scopes: []string{"customer.read"}, ExpireTime: expiring,
	}))(t).GetApiKey()
	if !proto.Equal(temporary.GetExpireTime(), expiring) || temporary.GetSecretPrefix() == "" {
		t.Errorf("the key is %v", temporary)
	}
	rotated := must(a.client.RotateApiKey(ctx, &customerv1.RotateApiKeyRequest{CustomerId: a.id, ApiKeyId: id, Overlap: durationpb.New(time.Minute)}))(t)
	if rotated.GetApiKey().GetId() != id || rotated.GetSecret() != "secret 2 of "+id+" for 1m0s" {
		t.Errorf("rotated: %v", rotated)
	}
	a.unchanged(t, func() {
		for name, at := range map[string]*timestamppb.Timestamp{"long ago": timestamppb.New(time.Unix(1, 0)), "no time": {Seconds: -1 << 62}} {
			_, err := a.client.CreateApiKey(ctx, &customerv1.CreateApiKeyRequest{CustomerId: a.id, Name: name, Scopes: []string{"customer.read"}, ExpireTime: at})
			refusedField(t, err, "expireTime")
		}
		_, err := a.client.RotateApiKey(ctx, &customerv1.RotateApiKeyRequest{CustomerId: a.id, ApiKeyId: id, Overlap: durationpb.New(-time.Minute)})
		refusedField(t, err, "overlap")
	})
	a.accounts.keys[temporary.GetId()].proto.ExpireTime = timestamppb.New(time.Now().Add(-time.Hour))
	a.unchanged(t, func() {
		_, err := a.client.RotateApiKey(ctx, &customerv1.RotateApiKeyRequest{CustomerId: a.id, ApiKeyId: temporary.GetId()})
		refused(t, err, codes.FailedPrecondition, "API_KEY_ENDED")
	})
	a.grant("second", toKey(id), armer, "")
	revoked := must(a.client.RevokeApiKey(ctx, &customerv1.RevokeApiKeyRequest{CustomerId: a.id, ApiKeyId: id}))(t).GetApiKey()
	if revoked.GetRevokeTime() == nil || !a.accounts.keys[id].revoked {
		t.Errorf("revoked key is %v", revoked)
	}
	a.holds(t, a.asKey(id))
	a.unchanged(t, func() {
		again := must(a.client.RevokeApiKey(ctx, &customerv1.RevokeApiKeyRequest{CustomerId: a.id, ApiKeyId: id}))(t).GetApiKey()
		if !proto.Equal(again, revoked) {
			t.Errorf("revoking again answers %v, want %v", again, revoked)
		}
		_, err := a.client.CreateGrant(ctx, grantRequest(a.id, toKey(id), armer, ""))
		refusedField(t, err, "apiKeyId")
		for _, unknown := range []string{"rgk_999", "rgk_\x00", "u-alice"} {
			_, err := a.client.RevokeApiKey(ctx, &customerv1.RevokeApiKeyRequest{CustomerId: a.id, ApiKeyId: unknown})
			refused(t, err, codes.NotFound, "NOT_FOUND")
		}
	})
}

// A key that could not be stored is revoked, and the caller does not get its secret.
func TestAKeyOfSomebodyWhoIsNoAdminAnyMoreIsRevokedAgain(t *testing.T) {
	a := newAcme(t, newWorld(t))
	a.accounts.afterKey = func() {
		if _, err := a.db.Exec(t.Context(), `DELETE FROM grants WHERE id = $1`, a.grants["alice"]); err != nil {
			t.Error(err)
		}
	}
	made, err := a.client.CreateApiKey(a.as("alice"), &customerv1.CreateApiKeyRequest{
		CustomerId: a.id, Name: "x", Scopes: []string{"customer.read"},
	})
	refused(t, err, codes.PermissionDenied, "ROLE_MISSING")
	if made.GetSecret() != "" {
		t.Errorf("the answer is %v", made)
	}
	a.accounts.mu.Lock()
	defer a.accounts.mu.Unlock()
	if k := a.accounts.keys["rgk_002"]; k == nil || !k.revoked {
		t.Errorf("the key is left as %v", k)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	db := databases.SQLite(t)
	w := &accountsClient{}
	for _, test := range []struct {
		want   string
		config customer.Config
	}{
		{"customer: DB is required", customer.Config{}},
		{"customer: Accounts is required", customer.Config{DB: db}},
		{"customer: SecuritySystems is required", customer.Config{DB: db, Accounts: w}},
	} {
		if _, err := customer.New(test.config); err == nil || err.Error() != test.want {
			t.Errorf("New says %v, want %s", err, test.want)
		}
	}
}

type accountsClient struct{ customer.Accounts }

func TestWithoutItsDatabaseTheServiceIsUnavailableUntilItComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	outage := storetest.NewOutage(t)
	db, err := sqldb.Open(t.Context(), outage.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := newAcme(t, worldOver(t, db))
	for _, call := range a.calls() {
		t.Run(call.name, func(t *testing.T) {
			outage.Set(true)
			err := call.run(a.as("alice"), a.id)
			outage.Set(false)
			refused(t, err, codes.Unavailable, "DEPENDENCY_DOWN")
			if strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the answer tells %v", err)
			}
			must(a.client.GetCustomer(a.as("alice"), &customerv1.GetCustomerRequest{CustomerId: a.id}))(t)
		})
	}
}
