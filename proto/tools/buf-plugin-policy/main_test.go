package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const settings = "version: v2\nlint:\n  use: [RPC_RULE]\n  ignore: [realguardio]\nplugins:\n  - plugin: "

// TestBufLintRefusesAnRPCThatDoesNotSayWhoMayCall runs `buf lint` with the plugin as the build does.
func TestBufLintRefusesAnRPCThatDoesNotSayWhoMayCall(t *testing.T) {
	tools, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	buf := filepath.Join(tools, "node_modules", ".bin", "buf")
	if _, err := os.Stat(buf); err != nil {
		t.Fatalf("buf is not installed; make lint does that: %v", err)
	}
	plugin := filepath.Join(t.TempDir(), "buf-plugin-policy")
	if out, err := exec.Command("go", "build", "-o", plugin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	tests := []struct {
		name, service string
		// refused is what is said of each RPC that is.
		refused []string
	}{
		{"a rule of its own", "rpc Say(Note) returns (Note) { option (realguardio.mesh.v1.rule) = {callers: [CALLER_KIND_USER]}; }", nil},
		{"a public one", "rpc Say(Note) returns (Note) { option (realguardio.mesh.v1.rule).public = true; }", nil},
		{"its service's rule", "option (realguardio.mesh.v1.default_rule) = {callers: [CALLER_KIND_USER]}; rpc Say(Note) returns (Note);", nil},
		{"no rule", "rpc Say(Note) returns (Note);", []string{"Say has no rule"}},
		{"no rule on a stream", "rpc Say(stream Note) returns (stream Note);", []string{"Say has no rule"}},
		{"one of two without", "rpc Say(Note) returns (Note) { option (realguardio.mesh.v1.rule).public = true; } rpc Hear(Note) returns (Note);", []string{"Hear has no rule"}},
		{"a rule that admits nobody", `rpc Say(Note) returns (Note) { option (realguardio.mesh.v1.rule) = {all_scopes: ["x"]}; }`, []string{"Say has a rule that admits nobody"}},
		{"its own rule, which replaces its service's", "option (realguardio.mesh.v1.default_rule) = {callers: [CALLER_KIND_USER]}; " +
			"rpc Say(Note) returns (Note) { option (realguardio.mesh.v1.rule) = {edge: true}; }", []string{"Say has a rule that admits nobody"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			policy, err := os.ReadFile(filepath.Join(tools, "..", "realguardio", "mesh", "v1", "policy.proto"))
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"buf.yaml":                         settings + plugin + "\n",
				"realguardio/mesh/v1/policy.proto": string(policy),
				"test/test.proto": "syntax = \"proto3\";\npackage test;\nimport \"realguardio/mesh/v1/policy.proto\";\nmessage Note {}\nservice Echo { " +
					tt.service + " }\n",
			} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			lint := exec.Command(buf, "lint")
			lint.Dir = dir
			out, err := lint.CombinedOutput()
			if (err != nil) != (len(tt.refused) > 0) {
				t.Fatalf("%v\n%s", err, out)
			}
			said := slices.Collect(strings.Lines(string(out)))
			if len(said) != len(tt.refused) {
				t.Errorf("said:\n%s", out)
			}
			for _, want := range tt.refused {
				if !strings.Contains(string(out), want) {
					t.Errorf("nothing says %q:\n%s", want, out)
				}
			}
		})
	}
}
