// Package rulebook shows the rules of services: who may call what, as their protos declare it, in a form for programs and
// in words.
//
// What a rule means, and whether a caller meets it, is decided in mesh.
package rulebook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/realguardio/realguardio/mesh"
)

// Entry is one method: its rule, and what else its proto says that a caller has to know.
type Entry struct {
	// Method is the canonical "/package.Service/Method".
	Method string `json:"method"`
	// Route is its REST form, such as "GET /api/v1/customers/{customer_id}". Empty: it has none.
	Route     string      `json:"route,omitempty"`
	Public    bool        `json:"public,omitempty"`
	Callers   []mesh.Kind `json:"callers,omitempty"`
	AnyRole   []string    `json:"anyRole,omitempty"`
	AllScopes []string    `json:"allScopes,omitempty"`
	Workloads []string    `json:"workloads,omitempty"`
	// Edge is true where it can be reached from outside.
	Edge      bool `json:"edge,omitempty"`
	Sensitive bool `json:"sensitive,omitempty"`
	// MaxAgeSeconds is how long ago the person may have authenticated. Zero: no limit.
	MaxAgeSeconds float64 `json:"maxAgeSeconds,omitempty"`
	ACR           string  `json:"acr,omitempty"`
	Streaming     bool    `json:"streaming,omitempty"`
	// Idempotency is NO_SIDE_EFFECTS or IDEMPOTENT where a call may be repeated, else empty.
	Idempotency string `json:"idempotency,omitempty"`
	// Needs is the rule in a sentence.
	Needs string `json:"needs"`
}

// Service is the method's "package.Service".
func (e Entry) Service() string {
	service, _, _ := strings.Cut(strings.TrimPrefix(e.Method, "/"), "/")
	return service
}

// Name is the method without its service.
func (e Entry) Name() string { return e.Method[strings.LastIndexByte(e.Method, '/')+1:] }

// Read returns an entry for every method, by service and then in the order of the proto. It fails where a server of these
// services would refuse to start.
func Read(services ...protoreflect.ServiceDescriptor) ([]Entry, error) {
	policies, err := mesh.NewPolicies(services...)
	if err != nil {
		return nil, err
	}
	services = slices.SortedFunc(slices.Values(services), func(a, b protoreflect.ServiceDescriptor) int {
		return cmp.Compare(a.FullName(), b.FullName())
	})
	var entries []Entry
	for _, service := range services {
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			rule, ok := policies.Rule("/" + string(service.FullName()) + "/" + string(method.Name()))
			if !ok {
				return nil, fmt.Errorf("%s has no rule", method.FullName())
			}
			entries = append(entries, newEntry(method, rule))
		}
	}
	return entries, nil
}

func newEntry(method protoreflect.MethodDescriptor, rule mesh.Rule) Entry {
	e := Entry{
		Method: rule.Method, Public: rule.Public, Callers: rule.Callers, AnyRole: rule.AnyRole, AllScopes: rule.AllScopes,
		Workloads: rule.Workloads, Edge: rule.Edge, Sensitive: rule.Sensitive, MaxAgeSeconds: rule.MaxAge.Seconds(),
		ACR: rule.ACR, Streaming: rule.Streaming, Route: routeOf(method), Needs: Sentence(rule),
	}
	if options, ok := method.Options().(*descriptorpb.MethodOptions); ok && options.IdempotencyLevel != nil {
		e.Idempotency = options.GetIdempotencyLevel().String()
	}
	return e
}

// routeOf reads a method's google.api.http.
func routeOf(method protoreflect.MethodDescriptor) string {
	if options := method.Options(); !proto.HasExtension(options, annotations.E_Http) {
		return ""
	}
	rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET " + pattern.Get
	case *annotations.HttpRule_Post:
		return "POST " + pattern.Post
	case *annotations.HttpRule_Put:
		return "PUT " + pattern.Put
	case *annotations.HttpRule_Patch:
		return "PATCH " + pattern.Patch
	case *annotations.HttpRule_Delete:
		return "DELETE " + pattern.Delete
	case *annotations.HttpRule_Custom:
		return pattern.Custom.GetKind() + " " + pattern.Custom.GetPath()
	default:
		return ""
	}
}
