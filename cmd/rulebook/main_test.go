package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/rulebook"
)

const (
	descriptors = "../../gen/descriptors/realguardio.binpb"
	page        = "../../docs/permissions.md"
	openAPI     = "../../gen/openapi/realguardio.swagger.json"
)

// TestWhatIsCommittedIsWhatTheProtosSay writes both again, over copies, and expects the same bytes: also a document that has
// its rules already is left as it is.
func TestWhatIsCommittedIsWhatTheProtosSay(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "openapi.json")
	if err := os.WriteFile(copied, contents(t, openAPI), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(descriptors, filepath.Join(dir, "page.md"), copied); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, filepath.Join(dir, "page.md")), contents(t, page)) {
		t.Error("docs/permissions.md is stale: run make generate")
	}
	if !bytes.Equal(contents(t, copied), contents(t, openAPI)) {
		t.Error("the OpenAPI document is stale: run make generate")
	}
}

var (
	say   = rulebook.Entry{Method: "/a.v1.Echo/Say", Route: "GET /say", Callers: []mesh.Kind{mesh.KindUser, mesh.KindClient}, Needs: "Needs: it."}
	open  = rulebook.Entry{Method: "/a.v1.Echo/Open", Route: "GET /open", Public: true, Needs: "Open."}
	inner = rulebook.Entry{Method: "/a.v1.Echo/Inner", Needs: "Needs: a part."}
)

const document = `{"swagger":"2.0","paths":{
	"/say":{"get":{"summary":"s <b>","operationId":"Say","responses":{"200":{}},"tags":["Echo"]}},
	"/open":{"get":{"summary":"s","description":"d","operationId":"Open","responses":{},"tags":["Echo"]}}},
	"definitions":{"Z":{},"A":{}}}`

func TestAnOperationGetsItsRuleAndNothingElseMoves(t *testing.T) {
	out, err := annotate([]byte(document), []rulebook.Entry{say, open, inner})
	if err != nil {
		t.Fatal(err)
	}
	var flat bytes.Buffer
	if err := json.Compact(&flat, out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"swagger":"2.0","paths":{"/say":{"get":{"summary":"s <b>","description":"Needs: it.","operationId":"Say","responses":{"200":{},"401":`,
		`"tags":["Echo"],"security":[{"bearer":[]},{"basic":[]}],"x-realguardio-rule":{"method":"/a.v1.Echo/Say"`,
		`"/open":{"get":{"summary":"s","description":"d\n\nOpen.","operationId":"Open","responses":{},"tags":["Echo"],"security":[]`,
		`"definitions":{"Z":{},"A":{},"Problem":{`,
	} {
		if !strings.Contains(flat.String(), want) {
			t.Errorf("lacks %s:\n%s", want, &flat)
		}
	}
}

func TestADocumentThatDoesNotFitTheProtosIsRefused(t *testing.T) {
	for name, entries := range map[string][]rulebook.Entry{
		"an operation without an RPC": {say},
		"a route without operation":   {say, open, {Method: "/a.v1.Echo/More", Route: "GET /more"}},
		"an RPC of another service":   {say, {Method: "/a.v1.Other/Open", Route: "GET /open"}},
	} {
		if _, err := annotate([]byte(document), entries); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestARefusalIsDescribedAsTheGatewayWritesIt holds the definition against the document that it describes.
func TestARefusalIsDescribedAsTheGatewayWritesIt(t *testing.T) {
	written, err := json.Marshal(problem.Document{Detail: "d", RequestID: "r", MaxAge: "1", ACRValues: "a", Errors: []mesh.FieldError{{Field: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	var described struct{ Properties map[string]any }
	if json.Unmarshal(written, &members) != nil || json.Unmarshal(problemDefinition, &described) != nil {
		t.Fatal("not JSON")
	}
	got, want := slices.Sorted(maps.Keys(described.Properties)), slices.Sorted(maps.Keys(members))
	if !slices.Equal(got, want) {
		t.Errorf("described are %q, written %q", got, want)
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
