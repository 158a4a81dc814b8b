package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/authority"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// leastPrivilege tells every part by settings alone to call the others with tokens that are for them, and to take no others.
var leastPrivilege = map[string]string{
	"gateway":        "  exchange: [token, customer, securitysystem, notification]\n",
	"securitysystem": "  exchange: [customer]\n  own-audience: true\n  log-level: info\n",
	"customer":       "  own-audience: true\n  log-level: info\n",
	"notification":   "  own-audience: true\n",
	"token":          "  own-audience: true\n",
}

// TestLeastPrivilegeInSeparateProcesses goes two hops deep through an installation in which a token is for one part alone, and
// a part gets its certificate from a SPIFFE Workload API.
func TestLeastPrivilegeInSeparateProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	c := startCluster(t, byWorkloadAPI, leastPrivilege)
	browser := c.signIn(t, "ada")
	proof := func(r *http.Request) { r.Header.Set("X-CSRF-Token", c.csrfToken(t, browser)) }
	var made struct {
		Client       struct{ ClientID string }
		ClientSecret string
	}
	created := func(path string, body any, into any) {
		t.Helper()
		a := call(t, browser, http.MethodPost, c.Gateway+path, body, proof)
		if a.status != http.StatusCreated {
			t.Fatalf("%s answered %d\n%s", path, a.status, a.body)
		}
		a.decode(t, into)
	}
	created("/api/v1/clients", map[string]any{
		"name": "Script", "grantTypes": []string{"password"}, "firstParty": true,
		"scopes": []string{"customer.read", "customer.write", "securitysystem.read", "securitysystem.write", "securitysystem.arm"},
	}, &made)
	ada := c.user(t, "ada")
	token := c.token(t, remote.Credentials{ClientID: made.Client.ClientID, ClientSecret: made.ClientSecret, Username: ada.Username, Password: ada.Password})

	var customer, oakland, system struct{ ID string }
	created("/api/v1/customers", map[string]string{"name": "Example", "adminEmail": ada.Username, "adminName": "Ada Quinn"}, &customer)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/customers/"+customer.ID+"/locations", map[string]string{"name": "Oakland"}, bearer(token)).decode(t, &oakland)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/securitysystems", map[string]string{"locationId": oakland.ID}, bearer(token)).decode(t, &system)

	t.Run("a system is armed by an API key", func(t *testing.T) {
		var key struct {
			APIKey struct{ ID string }
			Secret string
		}
		created("/api/v1/customers/"+customer.ID+"/apikeys", map[string]any{"name": "Panel", "scopes": []string{"securitysystem.read", "securitysystem.arm"}}, &key)
		var grant struct{ ID string }
		created("/api/v1/customers/"+customer.ID+"/grants", map[string]string{"apiKeyId": key.APIKey.ID, "role": "SECURITY_SYSTEM_ARMER"}, &grant)
		c.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+system.ID+":arm", struct{}{}, basic(key.APIKey.ID, key.Secret))
		t.Run("and while a replica ends, no request fails", func(t *testing.T) {
			c.drain(t, basic(key.APIKey.ID, key.Secret), "/api/v1/securitysystems/"+system.ID)
		})
	})

	t.Run("the last part knows the person, the client and every part between", func(t *testing.T) {
		said := c.logged(t, "customer", "/realguardio.customer.v1.CustomerService/LookupLocation")
		if said.Sub != ada.Sub || said.Client != made.Client.ClientID || !slices.Equal(said.Actors, []string{"securitysystem", "gateway"}) {
			t.Errorf("%+v", said)
		}
	})
	t.Run("so does the audit log", func(t *testing.T) {
		var log struct {
			Entries []struct {
				Actor, ClientID, Target, Via string
				Actors                       []string
			}
		}
		call(t, browser, http.MethodGet, c.Gateway+"/api/v1/audit/token?action=client.create&target="+made.Client.ClientID, nil).decode(t, &log)
		if len(log.Entries) != 1 || log.Entries[0].Actor != ada.Sub || log.Entries[0].ClientID != "realguardio-web" ||
			!slices.Equal(log.Entries[0].Actors, []string{"gateway"}) || log.Entries[0].Via != "gateway" {
			t.Errorf("%+v", log.Entries)
		}
	})
	t.Run("so does the audit log of the last part", func(t *testing.T) {
		var log struct{ Entries []recorded }
		call(t, browser, http.MethodGet, c.Gateway+"/api/v1/audit/customer?action=location.create&target="+oakland.ID, nil).decode(t, &log)
		if len(log.Entries) != 1 || log.Entries[0].Actor != ada.Sub || log.Entries[0].ClientID != made.Client.ClientID ||
			!slices.Equal(log.Entries[0].Actors, []string{"gateway"}) || log.Entries[0].Via != "gateway" {
			t.Errorf("%+v", log.Entries)
		}
	})
	t.Run("narrowed scopes are enough for what a person may do", func(t *testing.T) {
		if got := names(c.systems(t, bearer(token))); !slices.Equal(got, []string{"Oakland"}) {
			t.Errorf("systems: %v", got)
		}
		list, err := securitysystemv1.NewSecuritySystemServiceClient(c.dial(t, "gateway")).ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
		if err != nil || len(list.GetSecuritySystems()) != 1 {
			t.Errorf("native gRPC: %v, %v", list, err)
		}
		var me struct{ Email string }
		call(t, browser, http.MethodGet, c.Gateway+"/api/v1/me", nil).decode(t, &me)
		if me.Email != ada.Username {
			t.Errorf("me: %+v", me)
		}
	})
	t.Run("a workload that is not of the mesh is refused in the handshake", func(t *testing.T) {
		foreign, err := authority.Open(t.TempDir(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := foreign.Issue("gateway")
		if err != nil {
			t.Fatal(err)
		}
		stranger.CA = c.CAFile           // it knows the parts; they do not know it
		for _, part := range parts[:4] { // the gateway has its public port there
			for files, want := range map[mesh.TLSFiles]codes.Code{
				stranger: codes.Unavailable, {CA: c.CAFile, Cert: c.ClientCertFile, Key: c.ClientKeyFile}: codes.OK,
			} {
				conn, err := mesh.Dial(mesh.DialConfig{Target: c.GRPC[part], TLSSource: files, Propagation: mesh.Anonymous()})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); status.Code(err) != want {
					t.Errorf("%s answers who shows %s: %v", part, files.Cert, err)
				}
			}
		}
	})
	t.Run("a part takes no token that is for all of them", func(t *testing.T) {
		_, err := customerv1.NewCustomerServiceClient(c.dial(t, "customer")).ListCustomers(withToken(t.Context(), token), &customerv1.ListCustomersRequest{})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("customer: %v", err)
		}
		_, err = securitysystemv1.NewSecuritySystemServiceClient(c.dial(t, "securitysystem")).ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("securitysystem: %v", err)
		}
	})
}

// drain has one of two replicas of the security system service end, while a system is read and armed without pause.
func (c *cluster) drain(t *testing.T, with as, system string) {
	t.Helper()
	c.second.start(t)
	c.readyAt(t, "the second replica", c.secondOps)
	conn := c.dial(t, "securitysystem")
	watching, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	calling, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	var calls atomic.Int64
	for caller := range 4 {
		callers.Go(func() {
			for calling.Err() == nil {
				method, path, body := http.MethodGet, system, any(nil)
				if caller%2 == 0 {
					method, path, body = http.MethodPost, system+":arm", struct{}{}
				}
				if a, err := try(t.Context(), c.http, method, c.Gateway+path, body, with); err != nil || a.status >= http.StatusInternalServerError {
					t.Errorf("%s %s: %v, %d %s", method, path, err, a.status, a.body)
					return
				}
				calls.Add(1)
			}
		})
	}
	more := func() {
		enough := calls.Load() + 40
		meshtest.Await(t, "more requests", func() bool { return t.Failed() || calls.Load() >= enough })
	}
	meshtest.Await(t, "a request that the second replica answers", func() bool {
		return t.Failed() || strings.Contains(c.second.output.String(), "/ArmSecuritySystem")
	})
	more()
	began := time.Now()
	c.part["securitysystem"].stop(t, syscall.SIGTERM) // which demands exit code 0
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it has taken %v, more than a server lets calls go on", took)
	}
	more()
	stop()
	callers.Wait()
	for _, want := range []healthv1.HealthCheckResponse_ServingStatus{healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING} {
		if said, err := watching.Recv(); err != nil || said.GetStatus() != want {
			t.Errorf("a stream of it: %v, %v, want %v", said, err, want)
		}
	}
	if _, err := watching.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream of it ends with %v", err)
	}
	c.part["securitysystem"].start(t)
	c.ready(t, "securitysystem")
}

// callerLogged is what a part's log says of the caller of a method.
type callerLogged struct {
	Sub, Client string
	Actors      []string
}

// logged returns whom a part's log names for the last call of a method that went well.
func (c *cluster) logged(t *testing.T, part, method string) (said callerLogged) {
	t.Helper()
	found := false
	for line := range strings.Lines(c.part[part].output.String()) {
		var entry struct {
			Method, Code string
			Caller       callerLogged
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Method == method && entry.Code == "OK" {
			said, found = entry.Caller, true
		}
	}
	if !found {
		t.Fatalf("%s has logged no %s:\n%s", part, method, c.part[part].output)
	}
	return said
}
