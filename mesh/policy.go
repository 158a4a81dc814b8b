package mesh

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
)

// AnyWorkload in a rule admits every workload that the issuer knows and whose certificate is of the trust domain.
const AnyWorkload = "*"

// Rule is what a method demands of its caller, as its proto declares it (realguardio.mesh.v1.Rule).
type Rule struct {
	// Method is the canonical "/package.Service/Method".
	Method string
	// Streaming is true where either side streams.
	Streaming bool
	// Public admits anyone, without a token.
	Public bool
	// Edge is true where the method may be reached from outside.
	Edge bool
	// Sensitive methods are refused while revocations are stale.
	Sensitive bool
	// Callers are the kinds admitted.
	Callers []Kind
	// AnyRole needs one of these roles; AllScopes every one of these scopes.
	AnyRole, AllScopes []string
	// Workloads are the parts admitted, where the caller is one; [AnyWorkload] alone admits every one.
	Workloads []string
	// MaxAge is how long ago the person may have authenticated. Zero: no limit.
	MaxAge time.Duration
	// ACR is the authentication context that the token must name. Empty: any.
	ACR string
}

// Policies holds the rule of every method of some services. Those of a [Server] grow as services are registered with it,
// and change no more once it serves.
type Policies struct {
	rules map[string]*Rule
}

// NewPolicies reads the rules of services from their descriptors. It refuses a method without a rule and a rule that
// contradicts itself or admits nobody; the error names every such method.
func NewPolicies(services ...protoreflect.ServiceDescriptor) (*Policies, error) {
	p := &Policies{rules: map[string]*Rule{}}
	var errs []error
	for _, service := range services {
		errs = append(errs, p.add(service))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// Rule returns the rule of a method, by its canonical name.
func (p *Policies) Rule(method string) (Rule, bool) {
	if r := p.rules[method]; r != nil {
		return *r, true
	}
	return Rule{}, false
}

// All yields every rule in the order of the methods' names.
func (p *Policies) All() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for _, method := range slices.Sorted(maps.Keys(p.rules)) {
			if !yield(*p.rules[method]) {
				return
			}
		}
	}
}

// Edge returns the policies of those methods only that may be reached from outside.
func (p *Policies) Edge() *Policies {
	edge := &Policies{rules: map[string]*Rule{}}
	for method, rule := range p.rules {
		if rule.Edge {
			edge.rules[method] = rule
		}
	}
	return edge
}

func (p *Policies) add(service protoreflect.ServiceDescriptor) error {
	var errs []error
	fallback, _ := extension(service.Options(), meshv1.E_DefaultRule)
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		declared, ok := extension(method.Options(), meshv1.E_Rule)
		if !ok {
			declared = fallback
		}
		rule, err := newRule(method, declared)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.rules[rule.Method] = rule
	}
	return errors.Join(errs...)
}

// exempt lets anyone call a service that has no rules of its own because it is not ours: health, reflection.
func (p *Policies) exempt(service protoreflect.ServiceDescriptor) {
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		p.rules[canonical(method)] = &Rule{
			Method: canonical(method), Streaming: streaming(method), Public: true,
		}
	}
}

func (p *Policies) merge(other *Policies) { maps.Copy(p.rules, other.rules) }

// newRule turns what a proto declares into a Rule, or says what is wrong with it.
func newRule(method protoreflect.MethodDescriptor, declared *meshv1.Rule) (*Rule, error) {
	r := &Rule{
		Method:    canonical(method),
		Streaming: streaming(method),
		Public:    declared.GetPublic(),
		Edge:      declared.GetEdge(),
		Sensitive: declared.GetSensitive(),
		AnyRole:   declared.GetAnyRole(),
		AllScopes: declared.GetAllScopes(),
		Workloads: declared.GetWorkloads(),
		MaxAge:    declared.GetMaxAge().AsDuration(),
		ACR:       declared.GetAcr(),
	}
	for _, kind := range declared.GetCallers() {
		r.Callers = append(r.Callers, kindOf(kind))
	}
	if problem := problemWith(r, declared); problem != "" {
		return nil, fmt.Errorf("rule of %s: %s", r.Method, problem)
	}
	return r, nil
}

// problemWith says why a rule must not stand, or "". Whatever could be read in two ways is refused here, so that the
// guard has no such case to decide.
func problemWith(r *Rule, declared *meshv1.Rule) string {
	workload := slices.Contains(r.Callers, KindWorkload)
	demands := len(r.Callers)+len(r.AnyRole)+len(r.AllScopes)+len(r.Workloads) > 0 ||
		r.Sensitive || r.ACR != "" || declared.GetMaxAge() != nil
	switch {
	case declared == nil:
		return "there is none, neither its own nor its service's"
	case r.Public && demands:
		return "public excludes every demand"
	case r.Public:
		return ""
	case len(r.Callers) == 0:
		return "it admits nobody: callers is empty"
	case slices.Contains(r.Callers, ""):
		return "callers names an unknown kind"
	case hasDuplicate(r.Callers):
		return "callers names a kind twice"
	case workload && len(r.Workloads) == 0:
		return "callers has workload, but workloads names none"
	case !workload && len(r.Workloads) > 0:
		return "workloads are named, but callers has no workload"
	case slices.Contains(r.Workloads, AnyWorkload) && len(r.Workloads) > 1:
		return "workloads names some beside any"
	case hasBlank(r.AnyRole) || hasBlank(r.AllScopes) || hasBlank(r.Workloads):
		return "a role, scope or workload is blank or has a space in it"
	case declared.GetMaxAge() != nil && (!declared.GetMaxAge().IsValid() || r.MaxAge <= 0):
		return "max_age must be positive"
	case (r.MaxAge > 0 || r.ACR != "") && !slices.Equal(r.Callers, []Kind{KindUser}):
		return "max_age and acr speak of persons, so callers must be user alone"
	case r.MaxAge%time.Second != 0:
		return "max_age must be whole seconds, which is how sign-ins are dated"
	}
	return ""
}

func kindOf(k meshv1.CallerKind) Kind {
	switch k {
	case meshv1.CallerKind_CALLER_KIND_USER:
		return KindUser
	case meshv1.CallerKind_CALLER_KIND_CLIENT:
		return KindClient
	case meshv1.CallerKind_CALLER_KIND_WORKLOAD:
		return KindWorkload
	default:
		return ""
	}
}

func canonical(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

func streaming(m protoreflect.MethodDescriptor) bool {
	return m.IsStreamingClient() || m.IsStreamingServer()
}

// extension reads a rule from options. Descriptors that were built at run time may carry the option as bytes that
// nobody has resolved, so it is read again with the types linked here.
func extension(options protoreflect.ProtoMessage, xt protoreflect.ExtensionType) (*meshv1.Rule, bool) {
	if options == nil || !options.ProtoReflect().IsValid() {
		return nil, false
	}
	if !proto.HasExtension(options, xt) {
		raw, err := proto.Marshal(options)
		if err != nil {
			return nil, false
		}
		options = options.ProtoReflect().New().Interface()
		if proto.Unmarshal(raw, options) != nil || !proto.HasExtension(options, xt) {
			return nil, false
		}
	}
	rule, ok := proto.GetExtension(options, xt).(*meshv1.Rule)
	return rule, ok
}

func hasDuplicate[T cmp.Ordered](s []T) bool {
	sorted := slices.Sorted(slices.Values(s))
	return len(slices.Compact(sorted)) != len(s)
}

func hasBlank(s []string) bool {
	return slices.ContainsFunc(s, func(v string) bool { return v == "" || strings.ContainsAny(v, " \t\n") })
}

// linkedRule returns the rule of a method that is linked into this program.
func linkedRule(method string) (Rule, bool) {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	desc, ok := d.(protoreflect.ServiceDescriptor)
	if err != nil || !ok || desc.Methods().ByName(protoreflect.Name(name)) == nil {
		return Rule{}, false
	}
	policies, err := NewPolicies(desc)
	if err != nil {
		return Rule{}, false
	}
	return policies.Rule(method)
}
