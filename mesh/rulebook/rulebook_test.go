package rulebook_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/rulebook"
)

func TestARuleInWords(t *testing.T) {
	user, client, workload := mesh.KindUser, mesh.KindClient, mesh.KindWorkload
	for _, tt := range []struct {
		name string
		rule mesh.Rule
		want string
	}{
		{"public", mesh.Rule{Public: true}, "Open to anyone, without a credential."},
		{"one kind", mesh.Rule{Callers: []mesh.Kind{user}}, "Needs: a person."},
		{"two kinds and a scope", mesh.Rule{Callers: []mesh.Kind{user, client}, AllScopes: []string{"a.read"}},
			"Needs: a person, an application or an API key, with scope a.read."},
		{"roles are alternatives, scopes are not", mesh.Rule{Callers: []mesh.Kind{user}, AnyRole: []string{"A", "B"}, AllScopes: []string{"x", "y"}},
			"Needs: a person, with role A or B, with scope x and y."},
		{"workloads by name", mesh.Rule{Callers: []mesh.Kind{workload}, Workloads: []string{"customer", "token"}},
			"Needs: the part customer or the part token."},
		{"a fresh sign-in of a kind", mesh.Rule{Callers: []mesh.Kind{user}, MaxAge: 5 * time.Minute, ACR: "urn:two"},
			"Needs: a person, signed in less than 5m0s ago, signed in by urn:two."},
		{"sensitive", mesh.Rule{Callers: []mesh.Kind{user}, Sensitive: true}, "Needs: a person. Refused while revocations cannot be followed."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := rulebook.Sentence(tt.rule); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEveryMethodIsThereOnce(t *testing.T) {
	service := described(t, "realguardio.securitysystem.v1.SecuritySystemService")
	panel := described(t, "realguardio.securitysystem.v1.PanelService")
	entries, err := rulebook.Read(service, panel)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != service.Methods().Len()+panel.Methods().Len() {
		t.Errorf("%d entries for %d methods", len(entries), service.Methods().Len()+panel.Methods().Len())
	}
	page := rulebook.Markdown(entries)
	for _, want := range []string{
		"## realguardio.securitysystem.v1.PanelService\n",
		"| `ArmSecuritySystem` | user, client |  | `securitysystem.arm` | yes |  |  |  | `POST /api/v1/securitysystems/{security_system_id}:arm` |\n",
		"| `HasSystemAt` | workload `customer` |  |  |  |  |  | reads |  |\n",
	} {
		if strings.Count(page, want) != 1 {
			t.Errorf("the page does not say once: %s", want)
		}
	}
}

func described(t *testing.T, name protoreflect.FullName) protoreflect.ServiceDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor)
}
