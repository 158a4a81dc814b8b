package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhoIsTrustedIsReadWhole: what is wrong with the file and the flags is said at once, each in a line, and nothing
// starts.
func TestWhoIsTrustedIsReadWhole(t *testing.T) {
	dir := t.TempDir()
	path, secret := filepath.Join(dir, "issuers.yaml"), filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("the-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "- {name: acme, issuer: 'https://id.acme.example', audiences: ['urn:realguardio:api']}\n"
	for _, tc := range []struct {
		name, file string
		flags      []string
		want       []string
	}{
		{"a good one", good, nil, nil},
		{"what nobody knows", good + "- {nome: x}\n", nil, []string{path + ": line 2: nome: unknown setting"}},
		{"several things", "- {name: acme, issuer: 'http://id.acme.example', roles: {prefix: X}}\n", nil, []string{
			path + ": issuer 1 (acme): issuer is not https", path + ": issuer 1 (acme): audiences is missing", path + `: issuer 1 (acme): roles: prefix "X"`,
		}},
		{"a sign-in with all it needs", good, []string{
			"--sign-in-issuer", "acme", "--sign-in-client-id", "us", "--sign-in-client-secret-file", secret, "--sign-in-parameter", "audience=x",
		}, nil},
		{"a sign-in at somebody else", good, []string{"--sign-in-issuer", "corp", "--sign-in-parameter", "audience"}, []string{
			`--sign-in-issuer: "corp" is not in --trusted-issuers-file`, "--sign-in-client-id and --sign-in-client-secret-file are required", `--sign-in-parameter: "audience" must be name=value`,
		}},
		{"a sign-in at nobody", good, []string{"--sign-in-scope", "openid"}, []string{"--sign-in-issuer is missing"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := run(t, nil, append([]string{"serve", "gateway", "--trusted-issuers-file", path}, tc.flags...)...)
			if code != 2 || strings.Contains(stderr, "the-secret") { // much else is missing
				t.Errorf("exit code %d", code)
			}
			var said []string
			for line := range strings.Lines(stderr) {
				if strings.Contains(line, "trusted-issuers-file") || strings.Contains(line, "sign-in-") {
					said = append(said, strings.TrimSpace(line))
				}
			}
			if len(said) != len(tc.want) {
				t.Fatalf("%d problems: %q", len(said), said)
			}
			for i, want := range tc.want {
				if !strings.Contains(said[i], want) {
					t.Errorf("%q does not say %q", said[i], want)
				}
			}
		})
	}
}
