package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
)

// leastPrivilege tells every part by settings alone to call the others with tokens that are for them, and to take no others.
var leastPrivilege = map[string]string{
	"gateway":        "  exchange: [token, customer, securitysystem, notification]\n",
	"securitysystem": "  exchange: [customer]\n  own-audience: true\n  log-level: info\n",
	"customer":       "  own-audience: true\n  log-level: info\n",
	"notification":   "  own-audience: true\n",
	"token":          "  own-audience: true\n",
}

// TestLeastPrivilegeInSeparateProcesses goes two hops deep through an installation in which a token is for one part alone.
func TestLeastPrivilegeInSeparateProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	c := startCluster(t, leastPrivilege)
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

	var customer, oakland struct{ ID string }
	created("/api/v1/customers", map[string]string{"name": "Example", "adminEmail": ada.Username, "adminName": "Ada Quinn"}, &customer)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/customers/"+customer.ID+"/locations", map[string]string{"name": "Oakland"}, bearer(token)).decode(t, &oakland)
	c.api(t, http.StatusCreated, http.MethodPost, "/api/v1/securitysystems", map[string]string{"locationId": oakland.ID}, bearer(token))

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
