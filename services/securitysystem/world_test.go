package securitysystem_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
	"github.com/realguardio/realguardio/services/securitysystem"
)

var databases = storetest.Migrated(securitysystem.Migrate)

// world is the service between real servers: a customer service and a token service that answer from tables, each behind
// the real guard.
type world struct {
	*testing.T
	iss       *meshtest.Issuer
	db        *sqldb.DB
	redis     *redis.Client
	customers *customers
	accounts  *accounts
	service   *securitysystem.Service
	server    *meshtest.Server
	systems   securitysystemv1.SecuritySystemServiceClient
	panels    securitysystemv1.PanelServiceClient
}

// options change a world from its defaults.
type options struct {
	db *sqldb.DB
	// customersAt is where the customer service is looked for.
	customersAt string
	redis       string
	now         func() time.Time
	// gather is how long refused calls wait to be recorded.
	gather time.Duration
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := &world{T: t, iss: meshtest.NewIssuer(t), db: o.db, customers: newCustomers(), accounts: &accounts{}}
	if w.db == nil {
		w.db = databases.SQLite(t)
	}
	if err := securitysystem.Migrate(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	customerServer := meshtest.Serve(t, w.iss, meshtest.Part{Name: "customer"}, func(r grpc.ServiceRegistrar) {
		customerv1.RegisterCustomerServiceServer(r, w.customers)
	})
	tokenServer := meshtest.Serve(t, w.iss, meshtest.Part{Name: "token"}, func(r grpc.ServiceRegistrar) {
		tokenv1.RegisterAdminServiceServer(r, w.accounts)
	})
	customerServer.Addr = cmp.Or(o.customersAt, customerServer.Addr)
	if o.redis == "" {
		o.redis = miniredis.RunT(t).Addr()
	}
	client := redis.NewClient(&redis.Options{Addr: o.redis})
	t.Cleanup(func() { _ = client.Close() })
	w.redis = client
	var err error
	w.service, err = securitysystem.New(securitysystem.Config{
		DB: w.db, Redis: client, Logger: meshtest.Logger(t), Now: o.now, DenialGathering: o.gather,
		Customers: customerv1.NewCustomerServiceClient(customerServer.Connect(t, "securitysystem", mesh.Forward())),
		Accounts: tokenv1.NewAdminServiceClient(
			tokenServer.Connect(t, "securitysystem", mesh.AsService(w.iss.Source(t, "securitysystem")))),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = meshtest.Serve(t, w.iss, meshtest.Part{Name: "securitysystem", Configure: func(c *mesh.ServerConfig) {
		c.Denied = w.service.Denied
	}}, w.service.Register)
	conn := w.server.Dial(t)
	w.systems = securitysystemv1.NewSecuritySystemServiceClient(conn)
	w.panels = securitysystemv1.NewPanelServiceClient(conn)
	return w
}

// run does the service's background work until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.service.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() { cancel(); running.Wait() })
}

var allScopes = []string{"securitysystem.read", "securitysystem.arm", "securitysystem.disarm", "securitysystem.write"}

// as is a context in which a person calls.
func (w *world) as(user string) context.Context {
	w.Helper()
	return w.with(meshtest.Claims{Subject: user, Name: names[user], Roles: roles[user], Scopes: allScopes, ClientID: "web"})
}

func (w *world) with(c meshtest.Claims) context.Context {
	w.Helper()
	return meshtest.As(w.Context(), w.iss.Token(w.T, c))
}

// asPanel is a context in which a panel calls.
func (w *world) asPanel(clientID string) context.Context {
	w.Helper()
	return w.with(meshtest.Claims{Subject: clientID, Kind: mesh.KindClient, Scopes: []string{"panel.report"}})
}

// install makes the system of a location, as its customer's admin.
func (w *world) install(location string) *securitysystemv1.SecuritySystem {
	w.Helper()
	answer, err := w.systems.CreateSecuritySystem(w.as("admin"),
		&securitysystemv1.CreateSecuritySystemRequest{LocationId: location})
	if err != nil {
		w.Fatal(err)
	}
	return answer.GetSecuritySystem()
}

// panel registers the panel of a system and returns its client id.
func (w *world) panel(system string) string {
	w.Helper()
	answer, err := w.systems.RegisterPanel(w.as("admin"), &securitysystemv1.RegisterPanelRequest{SecuritySystemId: system})
	if err != nil {
		w.Fatal(err)
	}
	return answer.GetClientId()
}

// get reads a system as one who sees all.
func (w *world) get(id string) *securitysystemv1.SecuritySystem {
	w.Helper()
	answer, err := w.systems.GetSecuritySystem(w.as("admin"), &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: id})
	if err != nil {
		w.Fatal(err)
	}
	return answer.GetSecuritySystem()
}

func (w *world) events(id string) []*securitysystemv1.Event {
	w.Helper()
	answer, err := w.systems.ListEvents(w.as("admin"), &securitysystemv1.ListEventsRequest{SecuritySystemId: id})
	if err != nil {
		w.Fatal(err)
	}
	return answer.GetEvents()
}

// rows counts everything that a call could leave behind.
func (w *world) rows() int {
	w.Helper()
	var n int
	err := w.db.QueryRow(w.Context(), `SELECT (SELECT count(*) FROM security_system)
		+ (SELECT count(*) FROM security_system_event) + (SELECT count(*) FROM outbox)
		+ (SELECT count(*) FROM reservation)`).Scan(&n)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// refused checks a refusal by its code and reason.
func (w *world) refused(err error, code codes.Code, reason string) {
	w.Helper()
	if status.Code(err) != code || mesh.Reason(err) != reason {
		w.Errorf("got %v (%s), want %v (%s)", err, mesh.Reason(err), code, reason)
	}
}

// The people of the tests, as in the demonstration.
var (
	names = map[string]string{"alice": "Alice", "mary": "Mary", "charlie": "Charlie", "admin": "Admin"}
	roles = map[string][]string{"admin": {"REALGUARDIO_ADMIN"}}
)

// customers is a customer service that answers from a table, to whoever the token that arrives says it is.
type customers struct {
	customerv1.UnimplementedCustomerServiceServer
	mu        sync.Mutex
	locations map[string]*customerv1.Location
	grants    map[string][]*customerv1.EffectiveGrant
	callers   []mesh.Identity
	// hang, where there is one, holds back answers until it is closed or the caller has gone.
	hang chan struct{}
	// lookedUp, where there is one, is called before the nth lookup is answered, and may refuse it.
	lookedUp func(n int) error
	lookups  int
	// failing is the code with which grants are refused.
	failing codes.Code
}

// fail has grants refused with a code, or told again with OK.
func (c *customers) fail(code codes.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = code
}

// onLookup begins to count lookups.
func (c *customers) onLookup(f func(n int) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookedUp, c.lookups = f, 0
}

// lookup is called for each, without holding the lock.
func (c *customers) lookup() error {
	c.mu.Lock()
	c.lookups++
	n, f := c.lookups, c.lookedUp
	c.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(n)
}

func newCustomers() *customers {
	c := &customers{locations: map[string]*customerv1.Location{}, grants: map[string][]*customerv1.EffectiveGrant{}}
	for id, customer := range map[string]string{"oakland": "acme", "berkeley": "acme", "hayward": "acme", "springfield": "foo"} {
		c.locations[id] = &customerv1.Location{Id: id, CustomerId: customer, Name: "Location " + id}
	}
	const (
		admin, armer    = customerv1.Role_COMPANY_ROLE_ADMIN, customerv1.Role_SECURITY_SYSTEM_ARMER
		disarmer, views = customerv1.Role_SECURITY_SYSTEM_DISARMER, customerv1.Role_SECURITY_SYSTEM_VIEWER
	)
	c.grant("alice", "acme", "", admin, armer, disarmer)
	c.grant("boss", "acme", "", admin)
	c.grant("mary", "acme", "oakland", armer, disarmer)
	c.grant("charlie", "acme", "berkeley", disarmer)
	c.grant("victor", "acme", "", views)
	c.grant("bob", "foo", "", admin, armer)
	c.grant("rgk_1", "acme", "oakland", views, armer, disarmer)
	return c
}

// set changes what is known of a location; nil: there is none.
func (c *customers) set(id string, l *customerv1.Location) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locations[id] = l
}

func (c *customers) grant(subject, customer, location string, roles ...customerv1.Role) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range roles {
		c.grants[subject] = append(c.grants[subject],
			&customerv1.EffectiveGrant{Role: r, CustomerId: customer, LocationId: location})
	}
}

func (c *customers) withdraw(subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.grants, subject)
}

func (c *customers) ListMyGrants(ctx context.Context, _ *customerv1.ListMyGrantsRequest) (
	*customerv1.ListMyGrantsResponse, error,
) {
	if c.hang != nil {
		select {
		case <-c.hang:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing != codes.OK {
		return nil, status.Error(c.failing, "out of order")
	}
	caller := mesh.Caller(ctx)
	c.callers = append(c.callers, caller)
	return &customerv1.ListMyGrantsResponse{Grants: slices.Clone(c.grants[caller.Subject])}, nil
}

func (c *customers) LookupLocation(ctx context.Context, req *customerv1.LookupLocationRequest) (
	*customerv1.LookupLocationResponse, error,
) {
	if err := c.lookup(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	caller := mesh.Caller(ctx)
	c.callers = append(c.callers, caller)
	l := c.locations[req.GetLocationId()]
	seen := l != nil && (caller.HasRole("REALGUARDIO_ADMIN") ||
		slices.ContainsFunc(c.grants[caller.Subject], func(g *customerv1.EffectiveGrant) bool {
			return g.GetCustomerId() == l.GetCustomerId() && (g.GetLocationId() == "" || g.GetLocationId() == l.GetId())
		}))
	if !seen {
		return nil, mesh.NotFound("location", req.GetLocationId())
	}
	return &customerv1.LookupLocationResponse{Location: l}, nil
}

// accounts is a token service that knows panels.
type accounts struct {
	tokenv1.UnimplementedAdminServiceServer
	mu      sync.Mutex
	down    bool
	panels  []string
	removed []string
	// refused counts removals asked for while down.
	refused int
	callers []mesh.Identity
}

func (a *accounts) RegisterPanel(ctx context.Context, _ *tokenv1.RegisterPanelRequest) (*tokenv1.RegisterPanelResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.callers = append(a.callers, mesh.Caller(ctx))
	if a.down {
		return nil, mesh.Unavailable("the database")
	}
	id := "panel_" + rand.Text()
	a.panels = append(a.panels, id)
	return &tokenv1.RegisterPanelResponse{ClientId: id, ClientSecret: "secret of " + id}, nil
}

func (a *accounts) RemovePanel(ctx context.Context, req *tokenv1.RemovePanelRequest) (*tokenv1.RemovePanelResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.callers = append(a.callers, mesh.Caller(ctx))
	if a.down {
		a.refused++
		return nil, mesh.Unavailable("the database")
	}
	a.removed = append(a.removed, req.GetClientId())
	return &tokenv1.RemovePanelResponse{}, nil
}

func (a *accounts) setDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// ended returns the panels whose credentials were removed.
func (a *accounts) ended() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.removed)
}
