package mesh_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
)

// serviceWith describes a service of one method, Do, with these rules.
func serviceWith(t *testing.T, own, fallback *meshv1.Rule) protoreflect.ServiceDescriptor {
	t.Helper()
	service := &descriptorpb.ServiceDescriptorProto{
		Name: proto.String("One"), Method: []*descriptorpb.MethodDescriptorProto{method("Do", own)},
		Options: &descriptorpb.ServiceOptions{},
	}
	if fallback != nil {
		proto.SetExtension(service.Options, meshv1.E_DefaultRule, fallback)
	}
	file, err := protodesc.NewFile(testFile("test/mesh/v1/one.proto", service), protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0)
}

// TestARuleThatCouldBeMisreadIsRefused goes by the table that the plugin of `buf lint` is held to as well.
func TestARuleThatCouldBeMisreadIsRefused(t *testing.T) {
	table, err := os.ReadFile("testdata/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var rules []struct {
		Name          string
		Rule, Default *string
		Want          string
	}
	if err := json.Unmarshal(table, &rules); err != nil {
		t.Fatal(err)
	}
	for _, tt := range rules {
		t.Run(tt.Name, func(t *testing.T) {
			_, err := mesh.NewPolicies(serviceWith(t, ruleIn(t, tt.Rule), ruleIn(t, tt.Default)))
			want := "rule of /test.mesh.v1.One/Do: " + tt.Want
			if tt.Want == "" && err != nil || tt.Want != "" && (err == nil || err.Error() != want) {
				t.Errorf("got %v, want %q", err, tt.Want)
			}
		})
	}
	// What no proto can say and a descriptor can.
	_, err = mesh.NewPolicies(serviceWith(t, &meshv1.Rule{Callers: callers{99}}, nil))
	if err == nil || !strings.Contains(err.Error(), "unknown kind") {
		t.Errorf("a caller of a kind to come: %v", err)
	}
}

// ruleIn reads a rule in the text of an option; nil for none.
func ruleIn(t *testing.T, text *string) *meshv1.Rule {
	t.Helper()
	if text == nil {
		return nil
	}
	rule := &meshv1.Rule{}
	if err := prototext.Unmarshal([]byte(*text), rule); err != nil {
		t.Fatal(err)
	}
	return rule
}

func TestAMethodsOwnRuleReplacesItsServicesWhole(t *testing.T) {
	strict := &meshv1.Rule{Callers: callers{user}, AnyRole: []string{"A"}, Sensitive: true, Edge: true}
	for _, tt := range []struct {
		name          string
		own, fallback *meshv1.Rule
		want          mesh.Rule
	}{
		{name: "without its own, the service's counts", fallback: strict, want: mesh.Rule{
			Method: "/test.mesh.v1.One/Do", Callers: []mesh.Kind{mesh.KindUser}, AnyRole: []string{"A"}, Sensitive: true, Edge: true,
		}},
		{name: "its own counts alone", fallback: strict, own: &meshv1.Rule{Callers: callers{client}}, want: mesh.Rule{
			Method: "/test.mesh.v1.One/Do", Callers: []mesh.Kind{mesh.KindClient},
		}},
		{name: "everything is read", own: &meshv1.Rule{Callers: callers{user}, AllScopes: []string{"a", "b"}, MaxAge: durationpb.New(time.Hour), Acr: "x"}, want: mesh.Rule{
			Method: "/test.mesh.v1.One/Do", Callers: []mesh.Kind{mesh.KindUser}, AllScopes: []string{"a", "b"}, MaxAge: time.Hour, ACR: "x",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := mesh.NewPolicies(serviceWith(t, tt.own, tt.fallback))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := p.Rule("/test.mesh.v1.One/Do")
			if diff := cmp.Diff(tt.want, got); !ok || diff != "" {
				t.Errorf("rule differs (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := mesh.NewPolicies(serviceWith(t, &meshv1.Rule{}, strict)); err == nil {
		t.Error("an empty rule of its own fell back to the service's")
	}
}

func TestARuleIsFoundByTheCanonicalNameOnly(t *testing.T) {
	p, err := mesh.NewPolicies(echoFile().Services().Get(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"test.mesh.v1.Echo/Say", "//test.mesh.v1.Echo/Say", "/test.mesh.v1.Echo/Say/", "/test.mesh.v1.Echo/say", "/test.mesh.v1.echo/Say", "", "/"} {
		if _, ok := p.Rule(name); ok {
			t.Errorf("%q has a rule", name)
		}
	}
	edge := map[string]bool{}
	for r := range p.Edge().All() {
		edge[r.Method] = true
	}
	if diff := cmp.Diff(map[string]bool{"/test.mesh.v1.Echo/Say": true, "/test.mesh.v1.Echo/Watch": true, "/test.mesh.v1.Echo/Open": true}, edge); diff != "" {
		t.Errorf("what may be reached from outside differs (-want +got):\n%s", diff)
	}
}

func TestEveryServiceOfThisModuleHasSoundRules(t *testing.T) {
	protoregistry.GlobalFiles.RangeFilesByPackage("realguardio.mesh.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if _, err := mesh.NewPolicies(f.Services().Get(i)); err != nil {
				t.Error(err)
			}
		}
		return true
	})
}

// TestTheProtosOfRulesSayTheirGoPackage looks at them as they are written. Ours is said by the way in which we generate;
// others generate in their own, and protoc and buf refuse a file that imports one of no known package.
func TestTheProtosOfRulesSayTheirGoPackage(t *testing.T) {
	raw, err := os.ReadFile("../gen/descriptors/realguardio.binpb")
	if err != nil {
		t.Fatal(err)
	}
	var files descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	written, generated := map[string]string{}, map[string]string{}
	for _, file := range files.GetFile() {
		if file.GetPackage() == "realguardio.mesh.v1" {
			written[file.GetName()] = file.GetOptions().GetGoPackage()
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("realguardio.mesh.v1", func(f protoreflect.FileDescriptor) bool {
		generated[f.Path()] = f.Options().(*descriptorpb.FileOptions).GetGoPackage()
		return true
	})
	if diff := cmp.Diff(generated, written); diff != "" {
		t.Errorf("the packages differ (-generated +written):\n%s", diff)
	}
}

func TestARuleInOptionsThatNobodyHasResolvedIsRead(t *testing.T) {
	// As when descriptors come from a file set: the extension is bytes in an unknown field.
	raw, err := proto.Marshal(testFile("test/mesh/v1/raw.proto", &descriptorpb.ServiceDescriptorProto{
		Name: proto.String("Raw"), Method: []*descriptorpb.MethodDescriptorProto{method("Do", &meshv1.Rule{Callers: callers{user}})},
	}))
	if err != nil {
		t.Fatal(err)
	}
	var file descriptorpb.FileDescriptorProto
	if err := (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	d, err := protodesc.NewFile(&file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mesh.NewPolicies(d.Services().Get(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Rule("/test.mesh.v1.Raw/Do"); !ok {
		t.Error("no rule")
	}
}
