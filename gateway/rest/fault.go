package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/realguardio/realguardio/mesh"
)

// maxFaults is how many faulty fields one answer names.
const maxFaults = 10

// faultsIn names the fields that keep raw from being a message of this kind. It is asked only once decoding has failed:
// protojson says what is wrong in words for people, not in which field.
func faultsIn(raw []byte, kind protoreflect.MessageDescriptor) []mesh.FieldError {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return []mesh.FieldError{{Field: "body", Description: "must be one JSON object"}}
	}
	faults := faultsOf(members, kind, "")
	if len(faults) == 0 { // a member that stands twice, under one name or two
		return []mesh.FieldError{{Field: "body", Description: "names a field twice"}}
	}
	return faults[:min(len(faults), maxFaults)]
}

func faultsOf(members map[string]json.RawMessage, kind protoreflect.MessageDescriptor, path string) []mesh.FieldError {
	var faults []mesh.FieldError
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := path + clip(name)
		field := fieldOf(kind, name)
		if field == nil {
			faults = append(faults, mesh.FieldError{Field: at, Description: "is not a field of this request"})
			continue
		}
		one, _ := json.Marshal(map[string]json.RawMessage{name: members[name]})
		if protojson.Unmarshal(one, dynamicpb.NewMessage(kind)) == nil {
			continue
		}
		faults = append(faults, faultOf(members[name], field, at)...)
	}
	return faults
}

// faultOf looks into a message for the fault, and otherwise says what the field wants.
func faultOf(value json.RawMessage, field protoreflect.FieldDescriptor, at string) []mesh.FieldError {
	var members map[string]json.RawMessage
	inner := field.Message()
	if inner != nil && !field.IsList() && !field.IsMap() && json.Unmarshal(value, &members) == nil {
		if faults := faultsOf(members, inner, at+"."); len(faults) > 0 {
			return faults
		}
	}
	if !utf8.Valid(value) {
		return []mesh.FieldError{{Field: at, Description: notText}}
	}
	return []mesh.FieldError{{Field: at, Description: wants(field)}}
}

// wants says in a few words what a field takes.
func wants(field protoreflect.FieldDescriptor) string {
	one := "must be " + article(field)
	switch {
	case field.IsMap():
		return "must be an object"
	case field.IsList():
		return "must be an array, each item of which " + one
	default:
		return one
	}
}

func article(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.BytesKind:
		return "a base64 string"
	case protoreflect.EnumKind:
		return "one of " + enumNames(field.Enum())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if field.Message().FullName() == "google.protobuf.Timestamp" {
			return "a time such as 2006-01-02T15:04:05Z"
		}
		return "an object"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "a number"
	default:
		return fmt.Sprintf("an integer (%s)", field.Kind())
	}
}

func enumNames(enum protoreflect.EnumDescriptor) string {
	var names []string
	for i := range enum.Values().Len() {
		if v := enum.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return strings.Join(names, ", ")
}

// clip keeps a name that a stranger chose short enough to repeat.
func clip(name string) string {
	if len(name) > 64 {
		return strings.ToValidUTF8(name[:64], "") + "..."
	}
	return strings.ToValidUTF8(name, "?")
}
