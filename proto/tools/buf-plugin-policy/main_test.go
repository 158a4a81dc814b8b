package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const settings = "version: v2\nlint:\n  use: [RPC_RULE]\n  ignore: [realguardio]\nplugins:\n  - plugin: "

// known is a rule, in the text of an option, and what is wrong with it. Package mesh is held to the same.
type known struct {
	Name    string
	Rule    *string
	Default *string
	Want    string
}

// service is one of a single RPC with the rule.
func (k *known) service(name string) string {
	own, fallback := "", ""
	if k.Default != nil {
		fallback = "option (realguardio.mesh.v1.default_rule) = {" + *k.Default + "}; "
	}
	if k.Rule != nil {
		own = " { option (realguardio.mesh.v1.rule) = {" + *k.Rule + "}; }"
	}
	return fmt.Sprintf("service %s { %srpc Say(Note) returns (Note)%s }", name, fallback, cmp.Or(own, ";"))
}

// TestBufLintRefusesWhatAServerDoesNotStartWith runs `buf lint` with the plugin as the build does, over every rule that is
// known to be good or bad.
func TestBufLintRefusesWhatAServerDoesNotStartWith(t *testing.T) {
	table, err := os.ReadFile("../../../mesh/testdata/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var rules []known
	if err := json.Unmarshal(table, &rules); err != nil {
		t.Fatal(err)
	}
	var services, want []string
	for i, k := range rules {
		name := fmt.Sprint("Echo", i)
		services = append(services, k.service(name))
		if k.Want != "" {
			want = append(want, "rule of /test."+name+"/Say: "+k.Want)
		}
	}
	got, failed := lint(t, build(t), services...)
	if len(want) < 20 || !failed {
		t.Fatalf("%d bad rules, failed: %v", len(want), failed)
	}
	for i, k := range rules {
		about := fmt.Sprintf("rule of /test.Echo%d/Say: ", i)
		said := slices.DeleteFunc(slices.Clone(got), func(line string) bool { return !strings.HasPrefix(line, about) })
		if k.Want == "" && len(said) > 0 || k.Want != "" && !slices.Equal(said, []string{about + k.Want}) {
			t.Errorf("%s: said %q, want %q", k.Name, said, k.Want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("said %d things, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}

func TestWhatBufLintReads(t *testing.T) {
	user := "{ option (realguardio.mesh.v1.rule).callers = CALLER_KIND_USER; "
	tests := []struct {
		name, service string
		// refused is what is said.
		refused []string
	}{
		{"a stream without a rule", "rpc Say(stream Note) returns (stream Note);", []string{"rule of /test.Echo/Say: there is none, neither its own nor its service's"}},
		{"one of two without", "rpc Say(Note) returns (Note) { option (realguardio.mesh.v1.rule).public = true; } rpc Hear(Note) returns (Note);",
			[]string{"rule of /test.Echo/Hear: there is none, neither its own nor its service's"}},
		{"a rule in several statements", "rpc Say(Note) returns (Note) " + user + "option (realguardio.mesh.v1.rule).max_age.seconds = 60; }", nil},
		{"a bad one in several statements", "rpc Say(Note) returns (Note) " + user + "option (realguardio.mesh.v1.rule).max_age.seconds = 60; option (realguardio.mesh.v1.rule).max_age.nanos = 1; }",
			[]string{"rule of /test.Echo/Say: max_age must be whole seconds, which is how sign-ins are dated"}},
	}
	plugin := build(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, failed := lint(t, plugin, "service Echo { "+tt.service+" }")
			if failed != (len(tt.refused) > 0) || !slices.Equal(got, tt.refused) {
				t.Errorf("failed: %v, said %q", failed, got)
			}
		})
	}
}

// build returns where the plugin is.
func build(t *testing.T) (plugin string) {
	t.Helper()
	plugin = filepath.Join(t.TempDir(), "buf-plugin-policy")
	if out, err := exec.Command("go", "build", "-o", plugin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return plugin
}

// lint returns what `buf lint` says about services, without the places.
func lint(t *testing.T, plugin string, services ...string) (said []string, failed bool) {
	t.Helper()
	tools, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	buf := filepath.Join(tools, "node_modules", ".bin", "buf")
	if _, err := os.Stat(buf); err != nil {
		t.Fatalf("buf is not installed; make lint does that: %v", err)
	}
	dir := t.TempDir()
	policy, err := os.ReadFile(filepath.Join(tools, "..", "realguardio", "mesh", "v1", "policy.proto"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"buf.yaml":                         settings + plugin + "\n",
		"realguardio/mesh/v1/policy.proto": string(policy),
		"test/test.proto": "syntax = \"proto3\";\npackage test;\nimport \"realguardio/mesh/v1/policy.proto\";\nmessage Note {}\n" +
			strings.Join(services, "\n") + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.Command(buf, "lint", "--error-format", "json")
	run.Dir = dir
	out, err := run.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		var annotation struct{ Message string }
		if err := json.Unmarshal([]byte(line), &annotation); err != nil {
			t.Fatalf("buf lint: %s", out)
		}
		said = append(said, strings.TrimSuffix(annotation.Message, ` (buf-plugin-policy)`))
	}
	return said, err != nil
}
