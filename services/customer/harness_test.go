package customer_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/customer"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

var databases = storetest.Migrated(customer.Migrate)

// world is the customer service behind its real guard, with an identity provider and a security system service that it
// calls over the same kind of connection, and people who call it.
type world struct {
	t        *testing.T
	db       *sqldb.DB
	issuer   *meshtest.Issuer
	server   *meshtest.Server
	client   customerv1.CustomerServiceClient
	accounts *accounts
	systems  *systems
	clock    *clock
}

// newWorld serves one replica over an SQLite database.
func newWorld(t *testing.T) *world {
	return worldOver(t, databases.SQLite(t))
}

// worldOver serves one replica over db.
func worldOver(t *testing.T, db *sqldb.DB) *world {
	t.Helper()
	w := &world{
		t: t, db: db, issuer: meshtest.NewIssuer(t),
		accounts: &accounts{users: map[string]string{}, keys: map[string]*key{}},
		systems:  &systems{},
		clock:    &clock{},
	}
	w.clock.Set(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	if err := customer.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	service, err := customer.New(customer.Config{
		DB: db,
		Accounts: tokenv1.NewAdminServiceClient(w.dependency("token", func(r grpc.ServiceRegistrar) {
			tokenv1.RegisterAdminServiceServer(r, w.accounts)
		})),
		SecuritySystems: securitysystemv1.NewSecuritySystemServiceClient(w.dependency("securitysystem", func(r grpc.ServiceRegistrar) {
			securitysystemv1.RegisterSecuritySystemServiceServer(r, w.systems)
		})),
		DenialGathering: time.Millisecond,

		Logger: meshtest.Logger(t),
		Now:    w.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = service.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	w.server = meshtest.Serve(t, w.issuer, meshtest.Part{Name: "customer", Configure: func(c *mesh.ServerConfig) {
		c.Denied = service.Denied
	}}, service.Register)
	w.client = customerv1.NewCustomerServiceClient(w.server.Dial(t))
	return w
}

func (w *world) dependency(name string, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	server := meshtest.Serve(w.t, w.issuer, meshtest.Part{Name: name}, register)
	return server.Connect(w.t, "customer", mesh.AsService(w.issuer.Source(w.t, "customer")))
}

var bothScopes = []string{"customer.read", "customer.write"}

// as returns a context in which a person calls. Their subject is "u-" and the name; "admin" is a platform admin.
func (w *world) as(name string) context.Context {
	claims := meshtest.Claims{Subject: "u-" + name, Scopes: bothScopes, Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}}
	if name == "admin" {
		claims.Roles = []string{"REALGUARDIO_ADMIN"}
	}
	return meshtest.As(w.t.Context(), w.issuer.Token(w.t, claims))
}

// asKey returns a context in which an API key calls.
func (w *world) asKey(id string) context.Context {
	return meshtest.As(w.t.Context(), w.issuer.Token(w.t, meshtest.Claims{
		Subject: id, Kind: mesh.KindClient, Scopes: []string{"customer.read"},
	}))
}

// acme is the demo's company, made through the API.
type acme struct {
	*world
	// empty is a customer with nothing but its admin, carol.
	id, foo, empty                     string
	oakland, berkeley, hayward, fooLoc string
	// employees by name
	employees map[string]string
	night     string
	key       string
	// grants by "name role place"
	grants map[string]string
}

// newAcme makes the customers Acme, administered by alice, and Foo, by bob. At Acme mary is armer at Oakland, charlie
// disarmer at Berkeley by the team Night shift, victor viewer everywhere, eve nothing, and an API key viewer at Oakland.
func newAcme(t *testing.T, w *world) *acme {
	t.Helper()
	a := &acme{world: w, employees: map[string]string{}, grants: map[string]string{}}
	a.id = a.customer("Acme Corporation", "alice@acme.example")
	a.foo = a.customer("Foo Industries", "bob@foo.example")
	a.empty = a.customer("Zero", "carol@zero.example")
	a.oakland = a.location("alice", a.id, "Oakland")
	a.berkeley = a.location("alice", a.id, "Berkeley")
	a.hayward = a.location("alice", a.id, "Hayward")
	a.fooLoc = a.location("bob", a.foo, "Springfield")
	for _, name := range []string{"mary", "charlie", "victor", "eve"} {
		a.employees[name] = a.employee("alice", a.id, name)
	}
	for _, e := range must(w.client.ListEmployees(w.as("alice"), &customerv1.ListEmployeesRequest{CustomerId: a.id}))(t).GetEmployees() {
		if e.GetUserId() == "u-alice" {
			a.employees["alice"] = e.GetId()
		}
	}
	a.night = must(w.client.CreateTeam(w.as("alice"), &customerv1.CreateTeamRequest{CustomerId: a.id, Name: "Night shift"}))(t).GetTeam().GetId()
	must(w.client.AddTeamMember(w.as("alice"), &customerv1.AddTeamMemberRequest{
		CustomerId: a.id, TeamId: a.night, EmployeeId: a.employees["charlie"],
	}))(t)
	a.key = must(w.client.CreateApiKey(w.as("alice"), &customerv1.CreateApiKeyRequest{
		CustomerId: a.id, Name: "script", Scopes: []string{"customer.read", "securitysystem.read"},
	}))(t).GetApiKey().GetId()
	a.grant("mary oakland", toEmployee(a.employees["mary"]), armer, a.oakland)
	a.grant("night berkeley", toTeam(a.night), disarmer, a.berkeley)
	a.grant("victor", toEmployee(a.employees["victor"]), viewer, "")
	a.grant("key oakland", toKey(a.key), viewer, a.oakland)
	for _, g := range must(w.client.ListGrants(w.as("alice"), &customerv1.ListGrantsRequest{CustomerId: a.id}))(t).GetGrants() {
		if g.GetRole() == companyAdmin {
			a.grants["alice"] = g.GetId()
		}
	}
	return a
}

const (
	companyAdmin = customerv1.Role_COMPANY_ROLE_ADMIN
	armer        = customerv1.Role_SECURITY_SYSTEM_ARMER
	disarmer     = customerv1.Role_SECURITY_SYSTEM_DISARMER
	viewer       = customerv1.Role_SECURITY_SYSTEM_VIEWER
)

func (w *world) customer(name, adminEmail string) string {
	w.t.Helper()
	return must(w.client.CreateCustomer(w.as("admin"), &customerv1.CreateCustomerRequest{
		Name: name, AdminEmail: adminEmail, AdminName: "The Admin",
	}))(w.t).GetCustomer().GetId()
}

func (w *world) location(as, customerID, name string) string {
	w.t.Helper()
	return must(w.client.CreateLocation(w.as(as), &customerv1.CreateLocationRequest{
		CustomerId: customerID, Name: name, Address: name + " street 1",
	}))(w.t).GetLocation().GetId()
}

func (w *world) employee(as, customerID, name string) string {
	w.t.Helper()
	return must(w.client.CreateEmployee(w.as(as), &customerv1.CreateEmployeeRequest{
		CustomerId: customerID, Name: "Ms. " + name, Email: name + "@acme.example",
	}))(w.t).GetEmployee().GetId()
}

// to sets the subject of a request for a grant.
type to func(*customerv1.CreateGrantRequest)

func toEmployee(id string) to {
	return func(r *customerv1.CreateGrantRequest) {
		r.Subject = &customerv1.CreateGrantRequest_EmployeeId{EmployeeId: id}
	}
}

func toTeam(id string) to {
	return func(r *customerv1.CreateGrantRequest) {
		r.Subject = &customerv1.CreateGrantRequest_TeamId{TeamId: id}
	}
}

func toKey(id string) to {
	return func(r *customerv1.CreateGrantRequest) {
		r.Subject = &customerv1.CreateGrantRequest_ApiKeyId{ApiKeyId: id}
	}
}

func grantRequest(customerID string, subject to, role customerv1.Role, locationID string) *customerv1.CreateGrantRequest {
	req := &customerv1.CreateGrantRequest{CustomerId: customerID, Role: role, LocationId: locationID}
	subject(req)
	return req
}

func (a *acme) grant(name string, subject to, role customerv1.Role, locationID string) string {
	a.t.Helper()
	g := must(a.client.CreateGrant(a.as("alice"), grantRequest(a.id, subject, role, locationID)))(a.t).GetGrant()
	a.grants[name] = g.GetId()
	return g.GetId()
}

// must fails the test where a call failed: must(call(...))(t).
func must[T any](answer T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// refused checks that a call was refused with that code, that reason, and for a bad field its name.
func refused(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if status.Code(err) != code || mesh.Reason(err) != reason {
		t.Errorf("got %v %s (%v), want %v %s", status.Code(err), mesh.Reason(err), err, code, reason)
	}
}

// refusedField checks that a call was refused because of a field.
func refusedField(t *testing.T, err error, field string) {
	t.Helper()
	refused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	for _, detail := range status.Convert(err).Details() {
		bad, _ := detail.(*errdetails.BadRequest)
		for _, violation := range bad.GetFieldViolations() {
			if violation.GetField() == field || strings.HasPrefix(violation.GetField(), field+"[") {
				return
			}
		}
	}
	t.Errorf("the field %s is not named: %v", field, err)
}

// unchanged runs f and checks that it changed nothing: in the database, at the identity provider.
func (w *world) unchanged(t *testing.T, f func()) {
	t.Helper()
	before := w.dump()
	f()
	if after := w.dump(); after != before {
		t.Errorf("something changed from\n%s\nto\n%s", before, after)
	}
}

// dump writes down all that is stored.
func (w *world) dump() string {
	w.t.Helper()
	var b strings.Builder
	for _, table := range []string{"customers", "locations", "employees", "teams", "team_members", "api_keys", "grants"} {
		rows, err := w.db.Query(w.t.Context(), `SELECT * FROM `+table+` ORDER BY 1, 2, 3`)
		if err != nil {
			w.t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			w.t.Fatal(err)
		}
		for rows.Next() {
			row, dest := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				dest[i] = &row[i]
			}
			if err := rows.Scan(dest...); err != nil {
				w.t.Fatal(err)
			}
			fmt.Fprintln(&b, table, row)
		}
		if err := rows.Err(); err != nil {
			w.t.Fatal(err)
		}
		_ = rows.Close()
	}
	return b.String() + w.accounts.dump()
}

// clock is a time that moves by a microsecond whenever it is asked for, and otherwise when it is told to.
type clock struct{ micros atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMicro(c.micros.Add(1)).UTC() }
func (c *clock) Set(t time.Time)         { c.micros.Store(t.UnixMicro()) }
func (c *clock) Advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// accounts is an identity provider that keeps its users and keys in memory. A user's id is "u-" and the local part of
// the e-mail.
type accounts struct {
	tokenv1.UnimplementedAdminServiceServer

	mu    sync.Mutex
	users map[string]string // roles by id
	keys  map[string]*key
	down  error
	// afterKey is called once, when the next key has been made, rotated or revoked.
	afterKey func()
}

type key struct {
	owner   string
	proto   *tokenv1.ApiKey
	revoked bool
	// rotations is how often its secret was changed.
	rotations int
}

// fail makes every call return err, until it is nil.
func (a *accounts) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = err
}

func (a *accounts) dump() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := []string{fmt.Sprint("users ", a.users)}
	for id, k := range a.keys {
		lines = append(lines, fmt.Sprint("key ", id, k.owner, k.revoked, k.rotations))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (a *accounts) ProvisionUser(_ context.Context, req *tokenv1.ProvisionUserRequest) (*tokenv1.ProvisionUserResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down != nil {
		return nil, a.down
	}
	local, _, _ := strings.Cut(strings.ToLower(req.GetEmail()), "@")
	a.users["u-"+local] = strings.Join(req.GetRoles(), " ")
	return &tokenv1.ProvisionUserResponse{User: &tokenv1.User{Id: "u-" + local, Email: req.GetEmail(), Name: req.GetName()}}, nil
}

func (a *accounts) CreateApiKey(_ context.Context, req *tokenv1.CreateApiKeyRequest) (*tokenv1.CreateApiKeyResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down != nil {
		return nil, a.down
	}
	id := fmt.Sprintf("rgk_%03d", len(a.keys)+1)
	a.keys[id] = &key{owner: req.GetOwner(), proto: &tokenv1.ApiKey{
		Id: id, Name: req.GetName(), Scopes: req.GetScopes(), CreateTime: timestamppb.Now(), ExpireTime: req.GetExpireTime(),
		SecretPrefix: "secret o",
	}}
	a.done()
	return &tokenv1.CreateApiKeyResponse{ApiKey: a.keys[id].proto, Secret: "secret of " + id}, nil
}

// done calls afterKey. The lock is held.
func (a *accounts) done() {
	if a.afterKey != nil {
		a.afterKey()
		a.afterKey = nil
	}
}

func (a *accounts) ListApiKeys(_ context.Context, req *tokenv1.ListApiKeysRequest) (*tokenv1.ListApiKeysResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down != nil {
		return nil, a.down
	}
	answer := &tokenv1.ListApiKeysResponse{}
	for _, k := range a.keys {
		if k.owner == req.GetOwner() {
			answer.ApiKeys = append(answer.ApiKeys, k.proto)
		}
	}
	slices.SortFunc(answer.ApiKeys, func(x, y *tokenv1.ApiKey) int { return -cmp.Compare(x.GetId(), y.GetId()) })
	return answer, nil
}

func (a *accounts) RotateApiKey(_ context.Context, req *tokenv1.RotateApiKeyRequest) (*tokenv1.RotateApiKeyResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down != nil {
		return nil, a.down
	}
	k := a.keys[req.GetId()]
	switch {
	case k == nil || k.owner != req.GetOwner():
		return nil, mesh.NotFound("API key", req.GetId())
	case k.revoked || k.proto.GetExpireTime() != nil && k.proto.GetExpireTime().AsTime().Before(time.Now()):
		return nil, mesh.FailedPrecondition("CLIENT_DISABLED", "it has ended")
	}
	k.rotations++
	a.done()
	return &tokenv1.RotateApiKeyResponse{ApiKey: k.proto, Secret: fmt.Sprintf("secret %d of %s for %v", k.rotations+1, req.GetId(), req.GetOverlap().AsDuration())}, nil
}

func (a *accounts) RevokeApiKey(_ context.Context, req *tokenv1.RevokeApiKeyRequest) (*tokenv1.RevokeApiKeyResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down != nil {
		return nil, a.down
	}
	k := a.keys[req.GetId()]
	if k == nil || k.owner != req.GetOwner() {
		return nil, mesh.NotFound("API key", req.GetId())
	}
	if !k.revoked {
		k.revoked = true
		k.proto.RevokeTime = timestamppb.Now()
	}
	a.done()
	return &tokenv1.RevokeApiKeyResponse{ApiKey: k.proto}, nil
}

// systems is a security system service that knows where systems are installed.
type systems struct {
	securitysystemv1.UnimplementedSecuritySystemServiceServer

	mu        sync.Mutex
	installed string
	down      error
	// meanwhile, where there is one, is called before it answers and may tell of a system.
	meanwhile func(location string) (installed bool)
}

func (s *systems) while(meanwhile func(location string) (installed bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meanwhile = meanwhile
}

func (s *systems) set(installed string, down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installed, s.down = installed, down
}

func (s *systems) HasSystemAt(_ context.Context, req *securitysystemv1.HasSystemAtRequest) (*securitysystemv1.HasSystemAtResponse, error) {
	s.mu.Lock()
	installed, down, meanwhile := req.GetLocationId() == s.installed, s.down, s.meanwhile
	s.mu.Unlock()
	if meanwhile != nil {
		installed = meanwhile(req.GetLocationId())
	}
	if down != nil {
		return nil, down
	}
	return &securitysystemv1.HasSystemAtResponse{Installed: installed}, nil
}
