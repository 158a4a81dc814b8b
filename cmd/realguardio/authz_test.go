package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type shownRule struct {
	Method    string
	Public    bool
	Callers   []string
	AllScopes []string
	AnyRole   []string
	Edge      bool
	Needs     string
}

func TestAuthzMatrixListsEveryRPCOfThisBinary(t *testing.T) {
	var all []shownRule
	runJSON(t, &all, "authz", "matrix", "-o", "json")
	services := map[string]bool{}
	for _, rule := range all {
		services[strings.Split(rule.Method, "/")[1]] = true
		if rule.Needs == "" {
			t.Errorf("%s is not explained", rule.Method)
		}
	}
	for _, service := range []string{
		"realguardio.audit.v1.AuditService", "realguardio.customer.v1.CustomerService", "realguardio.mesh.v1.RevocationService",
		"realguardio.notification.v1.NotificationService", "realguardio.securitysystem.v1.PanelService",
		"realguardio.securitysystem.v1.SecuritySystemService", "realguardio.token.v1.AccountService", "realguardio.token.v1.AdminService",
	} {
		if !services[service] {
			t.Errorf("nothing of %s is listed", service)
		}
	}
	for _, tt := range []struct {
		name   string
		args   []string
		listed func(shownRule) bool
	}{
		{"by service", []string{"--service", "PanelService"}, func(r shownRule) bool { return strings.Contains(r.Method, ".PanelService/") }},
		{"by kind", []string{"--kind", "workload"}, func(r shownRule) bool { return slices.Contains(r.Callers, "workload") }},
		{"by role", []string{"--role", "REALGUARDIO_ADMIN"}, func(r shownRule) bool { return slices.Contains(r.AnyRole, "REALGUARDIO_ADMIN") }},
		{"by scope", []string{"--scope", "securitysystem.arm"}, func(r shownRule) bool { return slices.Contains(r.AllScopes, "securitysystem.arm") }},
		{"what is outside", []string{"--edge"}, func(r shownRule) bool { return r.Edge }},
		{"by two", []string{"--kind", "client", "--scope", "customer.read"}, func(r shownRule) bool {
			return slices.Contains(r.Callers, "client") && slices.Contains(r.AllScopes, "customer.read")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var some []shownRule
			runJSON(t, &some, append([]string{"authz", "matrix", "-o", "json"}, tt.args...)...)
			want := slices.DeleteFunc(slices.Clone(all), func(r shownRule) bool { return !tt.listed(r) })
			if len(want) == 0 || len(some) != len(want) {
				t.Errorf("%d are listed, want %d", len(some), len(want))
			}
		})
	}
	_, table, _ := run(t, nil, "authz", "matrix", "--service", "panel")
	if !strings.Contains(table, "ReportAlarm") || strings.Contains(table, "CreateCustomer") {
		t.Errorf("the table is\n%s", table)
	}
}

func TestAuthzExplainNamesWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		allowed bool
		// missing are the parts that are not met, each with the guard's reason.
		missing []string
	}{
		{"nothing is", []string{"ArmSecuritySystem", "--scope", "securitysystem.arm"}, true, nil},
		{"a scope", []string{"ArmSecuritySystem", "--scope", "securitysystem.read"}, false, []string{"all_scopes SCOPE_MISSING"}},
		{"the kind and the scope", []string{"ArmSecuritySystem", "--kind", "workload", "--workload", "customer"}, false,
			[]string{"callers CALLER_KIND", "all_scopes SCOPE_MISSING"}},
		{"a role", []string{"CustomerService/CreateCustomer", "--scope", "customer.write"}, false, []string{"any_role ROLE_MISSING"}},
		{"by its route", []string{"POST /api/v1/customers", "--scope", "customer.write", "--role", "REALGUARDIO_ADMIN"}, true, nil},
		{"by a request that takes it", []string{"POST /api/v1/securitysystems/sys_1:arm", "--scope", "securitysystem.arm"}, true, nil},
		{"by one without a version, with a query", []string{"GET /api/securitysystems/sys_1/events?pageSize=1", "--scope", "securitysystem.read"}, true, nil},
		{"by its canonical name", []string{"/realguardio.securitysystem.v1.SecuritySystemService/HasSystemAt", "--kind", "workload", "--workload", "customer"}, true, nil},
		{"another part", []string{"HasSystemAt", "--kind", "workload", "--workload", "notification"}, false, []string{"workloads WORKLOAD"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e struct {
				Allowed bool
				Demands []struct {
					Name, Reason string
					Met          bool
				}
			}
			runJSON(t, &e, append([]string{"authz", "explain", "-o", "json"}, tt.args...)...)
			var missing []string
			for _, d := range e.Demands {
				if !d.Met {
					missing = append(missing, d.Name+" "+d.Reason)
				}
			}
			if e.Allowed != tt.allowed || !slices.Equal(missing, tt.missing) {
				t.Errorf("allowed %v, missing %q; want %v, %q", e.Allowed, missing, tt.allowed, tt.missing)
			}
		})
	}
	for name, args := range map[string][]string{
		"an RPC that is not there":            {"authz", "explain", "Nothing"},
		"a request of no route":               {"authz", "explain", "DELETE /api/v1/securitysystems/sys_1:arm"},
		"a kind that is none":                 {"authz", "explain", "ArmSecuritySystem", "--kind", "god"},
		"a person who would not be looked at": {"authz", "explain", "ArmSecuritySystem", "--user", "mary@acme.example"},
	} {
		if code, _, stderr := run(t, nil, args...); code != 2 {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
	}
}

// explainAccess asks a running installation why mary may or may not, by her real token and by her real grants.
func explainAccess(t *testing.T, s *stand) {
	mary, token := s.tokenOf(t, "mary"), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(mary), 0o600); err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "forged")
	if err := os.WriteFile(forged, []byte(s.tokenOf(t, "mary")+"A"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, at := range s.systems(t, bearer(s.tokenOf(t, "alice"))) {
		args := []string{"authz", "explain", "ArmSecuritySystem", "--as-token-file", token, "--granted", "SECURITY_SYSTEM_ARMER",
			"--customer", at.CustomerID, "--location", at.LocationID, "--token-file", token}
		if at.LocationName != "Oakland" {
			if code, _, stderr := run(t, nil, s.here(args...)...); code != 1 || !strings.Contains(stderr, "location not found") {
				t.Errorf("%s: exit code %d: %s", at.LocationName, code, stderr)
			}
			continue
		}
		asked++
		var e struct {
			Caller  string
			Allowed bool
			Grants  struct {
				Allowed bool
				Summary string
			}
		}
		runJSON(t, &e, s.here(args...)...)
		if !e.Allowed || !e.Grants.Allowed || !strings.HasPrefix(e.Grants.Summary, "Allowed by grt_") || !strings.Contains(e.Caller, "user usr_") {
			t.Errorf("%+v", e)
		}
		_, words, _ := run(t, nil, append(args, "--ready-file", s.path)...)
		for _, want := range []string{"The guard lets this caller in.", "Allowed by grt_", "directly, for this location"} {
			if !strings.Contains(words, want) {
				t.Errorf("%q is not said:\n%s", want, words)
			}
		}
	}
	if asked != 1 {
		t.Errorf("Oakland is there %d times", asked)
	}
	if code, stdout, stderr := run(t, nil, s.here("authz", "explain", "ArmSecuritySystem", "--as-token-file", forged)...); code != 1 || stdout != "" || !strings.Contains(stderr, "the token is not good") {
		t.Errorf("a forged token: exit code %d: %s%s", code, stdout, stderr)
	}
	s.revoke(t, mary)
	eventually(t, "a token that was revoked is told from a good one", func() error {
		if code, stdout, stderr := run(t, nil, s.here("authz", "explain", "ArmSecuritySystem", "--as-token-file", token)...); code != 1 || stdout != "" || !strings.Contains(stderr, "the token is not good") {
			return problem("exit code %d: %s%s", code, stdout, stderr)
		}
		return nil
	})
}
