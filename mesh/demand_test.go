package mesh_test

import (
	"slices"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

func TestWhatARuleDemandsAndWhatOfItIsMissing(t *testing.T) {
	policies, err := mesh.NewPolicies(echoFile().Services().Get(0))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		name, method string
		id           mesh.Identity
		workload     string
		// want are the parts of the rule, each with the reason for which the guard refuses it.
		want []string
	}{
		{"everything is met", "Scoped", mesh.Identity{Kind: mesh.KindUser, Scopes: []string{"a.read", "a.write"}}, "", []string{"callers ", "all_scopes "}},
		{"all that is missing is told, not only the first", "Admin", mesh.Identity{Kind: mesh.KindClient}, "", []string{"callers CALLER_KIND", "any_role ROLE_MISSING"}},
		{"a public method demands nothing", "Open", mesh.Identity{}, "", nil},
		{"a workload with its certificate", "Internal", mesh.Identity{Kind: mesh.KindWorkload, ClientID: "customer"}, "customer", []string{"callers ", "workloads "}},
		{"a workload without", "Internal", mesh.Identity{Kind: mesh.KindWorkload, ClientID: "customer"}, "", []string{"callers ", "workloads WORKLOAD"}},
		{"a workload with neither a name nor a certificate", "Anyone", mesh.Identity{Kind: mesh.KindWorkload}, "", []string{"callers ", "workloads WORKLOAD"}},
		{"who is no workload need not be a named one", "Say", mesh.Identity{Kind: mesh.KindUser}, "", []string{"callers ", "workloads "}},
		{"an old sign-in", "Fresh", mesh.Identity{Kind: mesh.KindUser, AuthTime: now.Add(-time.Hour)}, "", []string{"callers ", "max_age INSUFFICIENT_USER_AUTHENTICATION"}},
		{"a weak sign-in", "Strong", mesh.Identity{Kind: mesh.KindUser, ACR: "pwd"}, "", []string{"callers ", "acr INSUFFICIENT_USER_AUTHENTICATION"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rule, ok := policies.Rule("/test.mesh.v1.Echo/" + tt.method)
			if !ok {
				t.Fatal("no rule")
			}
			var got []string
			for _, d := range rule.Demands(tt.id, tt.workload, now) {
				got = append(got, d.Name+" "+mesh.Reason(d.Refusal))
				if len(d.Wants) == 0 {
					t.Errorf("%s wants nothing", d.Name)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
