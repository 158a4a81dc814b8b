package rest

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/realguardio/realguardio/mesh"
)

// What a fault is called in more than one place.
const (
	notText  = "must be UTF-8 text without NUL"
	givenTwo = "must be given once"
)

// text reports whether s can be a string of a message. NUL can, but no database takes it.
func text(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

var (
	errQuery   = mesh.InvalidField("query", `must be name=value pairs, joined by "&" and percent-encoded`)
	errUnbound = errors.New("rest: a route whose proto is not among the services")
)

// checked is around every route. It refuses what the generated code would drop, or send on only to fail.
func (t *Transcoder) checked(route runtime.HandlerFunc) runtime.HandlerFunc {
	var once sync.Once
	var b *binding
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		once.Do(func() { b = t.bindings.at(r) })
		err := errUnbound
		if b != nil {
			err = b.check(r, path)
		}
		if err != nil {
			t.problems.Write(w, r, err)
			return
		}
		route(w, r, path)
	}
}

// check looks at the path and the query, and leaves to the body what must wait until that is read.
func (b *binding) check(r *http.Request, path map[string]string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errQuery
	}
	faults := append(b.faultsInPath(path), b.faultsInQuery(query, path)...)
	if len(faults) > 0 {
		return mesh.InvalidFields(faults[:min(len(faults), maxFaults)]...)
	}
	sent, ok := r.Body.(*body)
	if !ok {
		return errUnbound
	}
	sent.path = path
	if b.part != nil {
		if err := sent.check(b.part); err != nil {
			return err
		}
	}
	return b.precondition(r, query, sent.ifMatch)
}

// precondition refuses an etag of If-Match that the request has no place for, and puts it into the query of a request
// without a body. Where there is one the body takes it in.
func (b *binding) precondition(r *http.Request, query url.Values, etag string) error {
	switch {
	case etag == "":
		return nil
	case b.etagIn == nil:
		return mesh.InvalidField("If-Match", "is not supported here")
	case b.wholeBody:
		return nil
	case query.Has("etag") && query.Get("etag") != etag:
		return errTwoETags
	}
	query.Set("etag", etag)
	r.URL.RawQuery = query.Encode() // this URL is the request's own: see Serve
	return nil
}

var errTwoETags = mesh.InvalidField("etag", "differs from the header If-Match")

// faultsInPath names the fields in the path that are no text.
func (b *binding) faultsInPath(path map[string]string) []mesh.FieldError {
	var faults []mesh.FieldError
	for _, name := range slices.Sorted(maps.Keys(path)) {
		if !text(path[name]) {
			faults = append(faults, mesh.FieldError{Field: jsonName(b.method.Input(), name), Description: notText})
		}
	}
	return faults
}

// faultsInQuery names the query parameters that the request message cannot take.
func (b *binding) faultsInQuery(query url.Values, path map[string]string) []mesh.FieldError {
	var faults []mesh.FieldError
	seen := map[protoreflect.Name]bool{}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		field := fieldOf(b.method.Input(), name)
		if field == nil {
			faults = append(faults, mesh.FieldError{Field: clip(name), Description: "is not a parameter of this request"})
			continue
		}
		wrong := b.wrong(field, query[name], path)
		if seen[field.Name()] {
			wrong = givenTwo
		}
		if wrong != "" {
			faults = append(faults, mesh.FieldError{Field: field.JSONName(), Description: wrong})
		}
		seen[field.Name()] = true
	}
	return faults
}

// wrong says what is wrong with the values of one parameter, or "".
func (b *binding) wrong(field protoreflect.FieldDescriptor, values []string, path map[string]string) string {
	_, inPath := path[string(field.Name())]
	switch {
	case inPath:
		return "belongs in the path"
	case b.wholeBody:
		return "belongs in the body"
	case len(values) > 1 && !field.IsList():
		return givenTwo
	case slices.ContainsFunc(values, func(v string) bool { return !text(v) }):
		return notText
	}
	one := url.Values{string(field.Name()): values}
	if runtime.PopulateQueryParameters(dynamicpb.NewMessage(b.method.Input()), one, utilities.NewDoubleArray(nil)) != nil {
		return wants(field)
	}
	return ""
}

// fieldOf is the field that has this name in JSON or in the proto, or nil.
func fieldOf(kind protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := kind.Fields().ByJSONName(name); field != nil {
		return field
	}
	return kind.Fields().ByTextName(name)
}

// jsonName is what callers know a field of the proto by.
func jsonName(kind protoreflect.MessageDescriptor, name string) string {
	if field := fieldOf(kind, name); field != nil {
		return field.JSONName()
	}
	return clip(name)
}
