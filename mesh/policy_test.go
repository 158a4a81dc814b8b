package mesh_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestARuleThatCouldBeMisreadIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		own  *meshv1.Rule
		want string
	}{
		{name: "none", want: "there is none"},
		{name: "an empty one", own: &meshv1.Rule{}, want: "admits nobody"},
		{name: "edge alone", own: &meshv1.Rule{Edge: true}, want: "admits nobody"},
		{name: "a role but no caller", own: &meshv1.Rule{AnyRole: []string{"A"}}, want: "admits nobody"},
		{name: "public and a caller", own: &meshv1.Rule{Public: true, Callers: callers{user}}, want: "public excludes"},
		{name: "public and a role", own: &meshv1.Rule{Public: true, AnyRole: []string{"A"}}, want: "public excludes"},
		{name: "public and a scope", own: &meshv1.Rule{Public: true, AllScopes: []string{"a"}}, want: "public excludes"},
		{name: "public and workloads", own: &meshv1.Rule{Public: true, Workloads: []string{"a"}}, want: "public excludes"},
		{name: "public and sensitive", own: &meshv1.Rule{Public: true, Sensitive: true}, want: "public excludes"},
		{name: "public and max_age", own: &meshv1.Rule{Public: true, MaxAge: durationpb.New(1)}, want: "public excludes"},
		{name: "public and acr", own: &meshv1.Rule{Public: true, Acr: "x"}, want: "public excludes"},
		{name: "a caller of no kind", own: &meshv1.Rule{Callers: callers{user, 0}}, want: "unknown kind"},
		{name: "a caller of a kind to come", own: &meshv1.Rule{Callers: callers{99}}, want: "unknown kind"},
		{name: "a caller twice", own: &meshv1.Rule{Callers: callers{user, user}}, want: "twice"},
		{name: "a workload without names", own: &meshv1.Rule{Callers: callers{user, workload}}, want: "workloads names none"},
		{name: "names without workload", own: &meshv1.Rule{Callers: callers{user}, Workloads: []string{"a"}}, want: "no workload"},
		{name: "a blank workload", own: &meshv1.Rule{Callers: callers{workload}, Workloads: []string{""}}, want: "blank"},
		{name: "any workload and one by name", own: &meshv1.Rule{Callers: callers{workload}, Workloads: []string{"*", "customer"}}, want: "beside any"},
		{name: "a blank role", own: &meshv1.Rule{Callers: callers{user}, AnyRole: []string{""}}, want: "blank"},
		{name: "two scopes in one string", own: &meshv1.Rule{Callers: callers{user}, AllScopes: []string{"a b"}}, want: "blank"},
		{name: "a negative max_age", own: &meshv1.Rule{Callers: callers{user}, MaxAge: durationpb.New(-1)}, want: "max_age must be positive"},
		{name: "a max_age of zero", own: &meshv1.Rule{Callers: callers{user}, MaxAge: durationpb.New(0)}, want: "max_age must be positive"},
		{name: "max_age for clients", own: &meshv1.Rule{Callers: callers{user, client}, MaxAge: durationpb.New(1)}, want: "speak of persons"},
		{name: "a max_age finer than sign-ins are dated", own: &meshv1.Rule{Callers: callers{user}, MaxAge: durationpb.New(1500 * time.Millisecond)}, want: "whole seconds"},
		{name: "acr for clients", own: &meshv1.Rule{Callers: callers{client}, Acr: "x"}, want: "speak of persons"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mesh.NewPolicies(serviceWith(t, tt.own, nil))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "/test.mesh.v1.One/Do") {
				t.Errorf("got %v, want %q and the method's name", err, tt.want)
			}
		})
	}
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
