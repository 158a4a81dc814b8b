// Command buf-plugin-policy is a `buf lint` plugin with one rule: every RPC says who may call it
// (realguardio.mesh.v1.rule, or default_rule on its service). It shares its reading of the options with nobody: it looks
// at the raw option field, so that it builds without generated code.
package main

import (
	"context"

	"buf.build/go/bufplugin/check"
	"buf.build/go/bufplugin/check/checkutil"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// ruleField is the number of both options, on methods and on services.
	ruleField = 50811
	// Fields of realguardio.mesh.v1.Rule.
	rulePublic, ruleCallers = 1, 2
)

func main() {
	check.Main(&check.Spec{
		Rules: []*check.RuleSpec{{
			ID:      "RPC_RULE",
			Default: true,
			Purpose: "Checks that every RPC declares who may call it.",
			Type:    check.RuleTypeLint,
			Handler: checkutil.NewMethodRuleHandler(checkMethod, checkutil.WithoutImports()),
		}},
	})
}

func checkMethod(_ context.Context, w check.ResponseWriter, _ check.Request, method protoreflect.MethodDescriptor) error {
	rule, ok := option(method.Options())
	if !ok {
		rule, ok = option(method.Parent().Options())
	}
	switch {
	case !ok:
		w.AddAnnotation(check.WithDescriptor(method), check.WithMessagef(
			"%s has no rule: say who may call it with option (realguardio.mesh.v1.rule)", method.FullName()))
	case !has(rule, rulePublic) && !has(rule, ruleCallers):
		w.AddAnnotation(check.WithDescriptor(method), check.WithMessagef(
			"%s has a rule that admits nobody: set callers, or public", method.FullName()))
	}
	return nil
}

// option returns the encoded rule among options, known to this program or not.
func option(options protoreflect.ProtoMessage) ([]byte, bool) {
	var rule []byte
	found := false
	message := options.ProtoReflect()
	each(message.GetUnknown(), func(number protowire.Number, value []byte) {
		if number == ruleField {
			rule, found = append(rule, value...), true
		}
	})
	return rule, found
}

// has reports whether an encoded rule sets a field to something other than its default.
func has(rule []byte, field protowire.Number) bool {
	found := false
	each(rule, func(number protowire.Number, value []byte) {
		if number == field && len(value) > 0 && !(len(value) == 1 && value[0] == 0) {
			found = true
		}
	})
	return found
}

// each calls f for every field of an encoded message with its bytes, without the tag and length.
func each(message []byte, f func(protowire.Number, []byte)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return
		}
		value := message[:size]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		f(number, value)
		message = message[size:]
	}
}
