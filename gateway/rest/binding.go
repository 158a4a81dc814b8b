package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// binding is what the gateway needs to know of one RPC that has a REST form (google.api.http).
type binding struct {
	method protoreflect.MethodDescriptor
	// route is the HTTP method and the path, such as "GET /api/v1/systems/{system_id}".
	route string
	// creates is true where success is 201: a POST of a Create method.
	creates bool
	// wholeBody is true where the request body is the request message.
	wholeBody bool
	// part is the field of the request message that the body is, where it is one of them; nil otherwise.
	part protoreflect.FieldDescriptor
	// etagIn is the request's field "etag", nil where it has none.
	etagIn protoreflect.FieldDescriptor
	// resource is the response's field that is the body, nil where the whole response is. etagOut is the etag in the body.
	resource, etagOut protoreflect.FieldDescriptor
}

// bindings maps "/package.Service/Method" to what is known of it.
type bindings map[string]*binding

func newBindings(services []protoreflect.ServiceDescriptor) (bindings, error) {
	all := bindings{}
	for _, service := range services {
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
			if !ok || rule == nil {
				continue
			}
			b, err := newBinding(method, rule)
			if err != nil {
				return nil, fmt.Errorf("rest: %s: %w", method.FullName(), err)
			}
			all["/"+string(service.FullName())+"/"+string(method.Name())] = b
		}
	}
	return all, nil
}

func newBinding(method protoreflect.MethodDescriptor, rule *annotations.HttpRule) (*binding, error) {
	route, err := routeOf(rule)
	if err != nil {
		return nil, err
	}
	b := &binding{
		method:    method,
		route:     route,
		creates:   rule.GetPost() != "" && strings.HasPrefix(string(method.Name()), "Create"),
		wholeBody: rule.GetBody() == "*",
		etagIn:    stringField(method.Input(), "etag"),
	}
	if name := rule.GetBody(); name != "" && name != "*" {
		if b.part = method.Input().Fields().ByName(protoreflect.Name(name)); messageOf(b.part) == nil {
			return nil, fmt.Errorf("body %q is not a message field", name)
		}
	}
	body := method.Output()
	if name := rule.GetResponseBody(); name != "" {
		b.resource = method.Output().Fields().ByName(protoreflect.Name(name))
		if messageOf(b.resource) == nil {
			return nil, fmt.Errorf("response_body %q is not a message field", name)
		}
		body = b.resource.Message()
	}
	b.etagOut = stringField(body, "etag")
	return b, nil
}

// messageOf is the message that a field is, or nil where it is none, or many.
func messageOf(field protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if field == nil || field.IsList() || field.IsMap() {
		return nil
	}
	return field.Message()
}

// routeOf knows one route an RPC, by one of HTTP's own methods.
func routeOf(rule *annotations.HttpRule) (string, error) {
	if len(rule.GetAdditionalBindings()) > 0 {
		return "", errors.New("additional_bindings are not supported")
	}
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET " + pattern.Get, nil
	case *annotations.HttpRule_Post:
		return "POST " + pattern.Post, nil
	case *annotations.HttpRule_Put:
		return "PUT " + pattern.Put, nil
	case *annotations.HttpRule_Patch:
		return "PATCH " + pattern.Patch, nil
	case *annotations.HttpRule_Delete:
		return "DELETE " + pattern.Delete, nil
	default:
		return "", fmt.Errorf("%T is not supported", pattern)
	}
}

// at returns the binding whose route the mux has found for r, or nil.
func (all bindings) at(r *http.Request) *binding {
	pattern, _ := runtime.HTTPPattern(r.Context())
	route := r.Method + " " + strings.ReplaceAll(pattern.String(), "=*}", "}")
	for _, b := range all {
		if b.route == route {
			return b
		}
	}
	return nil
}

func stringField(m protoreflect.MessageDescriptor, name protoreflect.Name) protoreflect.FieldDescriptor {
	f := m.Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return nil
	}
	return f
}

// etag returns the etag of the resource in a response, or "".
func (b *binding) etag(response protoreflect.Message) string {
	if b.etagOut == nil {
		return ""
	}
	if b.resource != nil {
		response = response.Get(b.resource).Message()
	}
	return response.Get(b.etagOut).String()
}

// safe reports whether an HTTP method promises to change nothing (RFC 9110, section 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
