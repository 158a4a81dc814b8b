package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/rulebook"
)

// annotate adds to each operation of an OpenAPI 2 document the rule of its RPC: as x-realguardio-rule, as a sentence in the
// description, as its security requirement, and as the refusals that follow from it. Everything else, the order of members
// included, stays as it was. An operation without a rule, and a route without an operation, is an error.
func annotate(document []byte, entries []rulebook.Entry) ([]byte, error) {
	var doc object
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	paths, err := doc.object("paths")
	if err != nil {
		return nil, err
	}
	found := 0
	for i, path := range paths {
		var operations object
		if err := json.Unmarshal(path.value, &operations); err != nil {
			return nil, err
		}
		for j, operation := range operations {
			if operations[j].value, err = annotated(operation.value, entries); err != nil {
				return nil, fmt.Errorf("%s %s: %w", operation.name, path.name, err)
			}
			found++
		}
		paths[i].value = operations.raw()
	}
	routes := slices.DeleteFunc(slices.Clone(entries), func(e rulebook.Entry) bool { return e.Route == "" })
	if len(routes) != found {
		return nil, fmt.Errorf("%d operations for %d routes", found, len(routes))
	}
	doc.set("paths", paths.raw())
	definitions, err := doc.object("definitions")
	if err != nil {
		return nil, err
	}
	definitions.set("Problem", problemDefinition)
	doc.set("definitions", definitions.raw())
	var out bytes.Buffer
	if err := json.Indent(&out, doc.raw(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// annotated is one operation with the rule of its RPC.
func annotated(raw json.RawMessage, entries []rulebook.Entry) (json.RawMessage, error) {
	var names struct {
		OperationID string
		Description string
		Tags        []string
	}
	var operation object
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &operation); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(entries, func(e rulebook.Entry) bool {
		return e.Name() == names.OperationID && slices.Contains(names.Tags, shortName(e.Service()))
	})
	if at < 0 {
		return nil, fmt.Errorf("no RPC is called %s", names.OperationID)
	}
	entry := entries[at]
	description := entry.Needs
	if said := strings.TrimSuffix(names.Description, entry.Needs); said != "" {
		description = strings.TrimSpace(said) + "\n\n" + entry.Needs
	}
	responses, err := operation.object("responses")
	if err != nil {
		return nil, err
	}
	for _, r := range refusals(entry) {
		responses.set(r.status, encode(map[string]any{
			"description": r.description, "schema": map[string]string{"$ref": "#/definitions/Problem"},
		}))
	}
	operation.setAfter("summary", "description", encode(description))
	operation.set("responses", responses.raw())
	operation.set("security", encode(security(entry)))
	operation.set("x-realguardio-rule", encode(entry))
	return operation.raw(), nil
}

type refusal struct{ status, description string }

// refusals are the answers that follow from a rule alone.
func refusals(e rulebook.Entry) []refusal {
	if e.Public {
		return nil
	}
	unauthenticated := "No credential, two, or one that is not good (any more)."
	if e.MaxAgeSeconds > 0 || e.ACR != "" {
		unauthenticated += " Or the person must sign in again: the challenge says how (RFC 9470)."
	}
	all := []refusal{{"401", unauthenticated}, {"403", "The caller lacks a right: `reason` says which kind."}}
	if e.Sensitive {
		all = append(all, refusal{"503", "Revocations cannot be followed at the moment."})
	}
	return all
}

// security lists the credentials of which a caller shows one. API keys are clients.
func security(e rulebook.Entry) []map[string][]string {
	schemes := []map[string][]string{}
	if !e.Public {
		schemes = append(schemes, map[string][]string{"bearer": {}})
	}
	if slices.Contains(e.Callers, mesh.KindClient) {
		schemes = append(schemes, map[string][]string{"basic": {}})
	}
	return schemes
}

// problemDefinition describes what package problem of the gateway writes.
var problemDefinition = json.RawMessage(`{
  "type": "object",
  "description": "A refusal (RFC 9457).",
  "properties": {
    "type": {"type": "string"},
    "title": {"type": "string"},
    "status": {"type": "integer", "format": "int32"},
    "detail": {"type": "string"},
    "code": {"type": "string", "description": "The gRPC status."},
    "reason": {"type": "string", "description": "What a program may act on, such as SCOPE_MISSING."},
    "requestId": {"type": "string", "description": "What to quote to support."},
    "maxAge": {"type": "string", "description": "The person must have signed in less than so many seconds ago (RFC 9470)."},
    "acrValues": {"type": "string", "description": "The person must sign in by one of these authentication contexts (RFC 9470)."},
    "errors": {
      "type": "array",
      "description": "The fields that are wrong.",
      "items": {
        "type": "object",
        "properties": {"field": {"type": "string"}, "description": {"type": "string"}}
      }
    }
  }
}`)

// shortName is a service's name without its package.
func shortName(service string) string { return service[strings.LastIndexByte(service, '.')+1:] }
