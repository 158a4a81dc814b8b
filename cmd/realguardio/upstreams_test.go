package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAListOfProvidersIsReadWhole: what is wrong with it is said at once, each in a line, and nothing starts.
func TestAListOfProvidersIsReadWhole(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("the-secret-of-corp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "- id: corp\n  name: Corp\n  issuer: https://login.example.com\n  client-id: us\n  client-secret-file: " + secret + "\n"
	for _, tc := range []struct {
		name, file string
		want       []string
	}{
		{"a good one", good, nil},
		{"an empty one", "# nothing yet\n", nil},
		{"settings that there are not", good + "  link-accounts: true\n  client-secret: x\n", []string{"line 6: link-accounts: unknown setting", "line 7: client-secret: unknown setting"}},
		{"a value of another kind", good + "  links-accounts: perhaps\n", []string{"line 6: cannot unmarshal"}},
		{"no list", "id: corp\n", []string{"line 1: cannot unmarshal"}},
		{"two documents", good + "---\n" + good, []string{"must be a single YAML document"}},
		{"everything missing", "- {}\n", []string{"provider 1: client-secret-file is missing", `provider 1: id "" must be`, "provider 1: name is missing", "provider 1: client id is missing", `provider 1: issuer "" must be an https URL`}},
		{"plaintext", strings.Replace(good, "https:", "http:", 1), []string{`provider 1: issuer "http://login.example.com" must be an https URL`}},
		{"an id that is no part of a path", strings.Replace(good, "id: corp", "id: ../corp", 1), []string{`provider 1: id "../corp" must be`}},
		{"a domain that is a pattern", good + "  email-domains: ['*.example.com']\n", []string{`provider 1: e-mail domain "*.example.com" must be a name`}},
		{"a secret that is not there", strings.Replace(good, secret, "/nowhere", 1), []string{"provider 1: cannot read secret file /nowhere: no such file or directory"}},
		{"one issuer twice", good + strings.Replace(good, "id: corp", "id: other", 1), []string{"upstream provider other: has the issuer of corp"}},
		{"one id twice", good + strings.Replace(good, "login.", "other.", 1), []string{"upstream provider corp: is there twice"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(dir, "providers.yaml")
			if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := run(t, nil, "serve", "token", "--upstream-providers-file", path)
			if code != 2 { // much else is missing
				t.Errorf("exit code %d", code)
			}
			var said []string
			for line := range strings.Lines(stderr) {
				if strings.Contains(line, "upstream-providers-file") {
					said = append(said, strings.TrimSpace(line))
				}
			}
			if len(said) != len(tc.want) {
				t.Fatalf("%d problems: %q", len(said), said)
			}
			for i, want := range tc.want {
				if !strings.Contains(said[i], "--upstream-providers-file: "+path+": "+want) {
					t.Errorf("%q does not say %q", said[i], want)
				}
			}
		})
	}
}
