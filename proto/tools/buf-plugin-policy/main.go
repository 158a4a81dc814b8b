// Command buf-plugin-policy is a `buf lint` plugin with one rule: every RPC says who may call it
// (realguardio.mesh.v1.rule, or default_rule on its service), and in a way that a server of package mesh starts with. It shares
// its reading of the options with nobody: it looks at the raw option field, so that it builds without generated code. What it
// and mesh.NewPolicies refuse is one table, mesh/testdata/rules.json.
package main

import (
	"context"

	"buf.build/go/bufplugin/check"
	"buf.build/go/bufplugin/check/checkutil"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ruleField is the number of both options, on methods and on services.
const ruleField = 50811

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
	r := option(method.Options())
	if r == nil {
		r = option(method.Parent().Options())
	}
	if problem := r.problem(); problem != "" {
		w.AddAnnotation(check.WithDescriptor(method), check.WithMessagef("rule of /%s/%s: %s", method.Parent().FullName(), method.Name(), problem))
	}
	return nil
}

// option returns the rule among options, which this program does not know, or nil. One that is written in several statements
// is one.
func option(options protoreflect.ProtoMessage) *rule {
	var encoded []byte
	found := false
	each(options.ProtoReflect().GetUnknown(), func(number protowire.Number, value []byte) {
		if number == ruleField {
			encoded, found = append(encoded, value...), true
		}
	})
	if !found {
		return nil
	}
	return decode(encoded)
}
