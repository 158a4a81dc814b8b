package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSetupChangesNothingThatIsThere runs setup once, and then again in every way that an operator may get wrong.
func TestSetupChangesNothingThatIsThere(t *testing.T) {
	dir := folder(t)
	setup := func(t *testing.T, change ...string) (code int, stdout, stderr string) {
		t.Helper()
		return run(t, nil, append([]string{
			"setup", "--database-url=sqlite://" + dir + "/token.db", "--insecure-embedded-store",
			"--key-encryption-key-file=" + dir + "/kek", "--token-mac-key-file=" + dir + "/mac", "--out-dir=" + dir + "/secrets",
			"--public-url=https://one.example", "--admin-email=ada@example.com", "--admin-name=Ada Quinn",
		}, change...)...)
	}
	// same demands that the installation is as it was: that of the first arguments, and its admin Ada.
	same := func(t *testing.T, secrets map[string]string, args ...string) {
		t.Helper()
		code, stdout, stderr := setup(t, args...)
		if code != 0 || !strings.Contains(stdout, "platform admin ada@example.com") || !strings.Contains(stdout, "nothing was changed") {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
		if now := filesOf(t, dir+"/secrets"); !slices.Equal(names(now), names(secrets)) || now["customer-client-secret"] != secrets["customer-client-secret"] {
			t.Errorf("the secrets %v became %v", names(secrets), names(now))
		}
	}

	code, stdout, stderr := setup(t)
	if code != 0 || !strings.Contains(stdout, "shown only now") {
		t.Fatalf("the first time: exit code %d\n%s%s", code, stdout, stderr)
	}
	first := filesOf(t, dir+"/secrets")
	if len(first) != 6 {
		t.Fatalf("secrets %v", names(first))
	}
	t.Run("the same again", func(t *testing.T) { same(t, first) })
	for _, tt := range []struct {
		name    string
		args    []string
		lines   int
		want    []string
		missing string
	}{
		{name: "another folder for the secrets", args: []string{"--out-dir=" + dir + "/other"}, lines: 6, missing: dir + "/other",
			want: []string{"client customer is registered already", "other/customer-client-secret", "--rotate-secrets"}},
		{name: "another URL", args: []string{"--public-url=https://two.example"}, lines: 1,
			want: []string{"client realguardio-web is registered already", "https://one.example", "--update-public-url"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := setup(t, tt.args...)
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != tt.lines {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("nothing says %q:\n%s", want, stderr)
				}
			}
			if _, err := os.Stat(tt.missing); tt.missing != "" && !os.IsNotExist(err) {
				t.Errorf("%s was made: %v", tt.missing, err)
			}
			same(t, first)
		})
	}
	t.Run("another admin", func(t *testing.T) {
		same(t, first, "--admin-email=bob@example.com", "--admin-name=Bob")
		if _, stdout, _ := setup(t, "--admin-email=bob@example.com"); strings.Contains(stdout, "bob@") || strings.Contains(stdout, "password") {
			t.Errorf("Bob was told of:\n%s", stdout)
		}
	})
	t.Run("a secret that was lost is made anew only on demand, and then all are", func(t *testing.T) {
		if err := os.Remove(dir + "/secrets/customer-client-secret"); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := setup(t)
		if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "client customer is registered already") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if _, err := os.Stat(dir + "/secrets/customer-client-secret"); !os.IsNotExist(err) {
			t.Errorf("a secret was made: %v", err)
		}
		if code, _, stderr := setup(t, "--rotate-secrets"); code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		rotated := filesOf(t, dir+"/secrets")
		for name, secret := range rotated {
			if secret == first[name] {
				t.Errorf("%s is the old one", name)
			}
		}
		same(t, rotated)
		first = rotated
	})
	t.Run("an old copy of a secret is not made valid again", func(t *testing.T) {
		if err := os.WriteFile(dir+"/secrets/token-client-secret", []byte("rgs_of-before\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := setup(t)
		if code != 1 || !strings.Contains(stderr, "client token is registered already, with another secret") || strings.Contains(stderr, "rgs_") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if err := os.WriteFile(dir+"/secrets/token-client-secret", []byte(first["token-client-secret"]), 0o600); err != nil {
			t.Fatal(err)
		}
		same(t, first)
	})
	t.Run("the URL moves on demand", func(t *testing.T) {
		same(t, first, "--public-url=https://two.example", "--update-public-url")
		same(t, first, "--public-url=https://two.example")
		if code, _, _ := setup(t); code != 1 {
			t.Errorf("exit code %d with the URL of before", code)
		}
	})
}

// filesOf reads a folder.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(content)
	}
	return files
}

func TestAPartRefusesTheDatabaseOfAnother(t *testing.T) {
	dir := folder(t)
	database := "--database-url=sqlite://" + dir + "/shared.db"
	if code, _, stderr := run(t, nil, "migrate", "token", database, "--insecure-embedded-store"); code != 0 {
		t.Fatal(stderr)
	}
	empty := "--database-url=sqlite://" + dir + "/empty.db"
	for _, tt := range []struct{ name, database, migrate, want string }{
		{"when it migrates", database, "true", "this file belongs to the token service; give customer one of its own"},
		{"when it does not", database, "false", "this file belongs to the token service; give customer one of its own"},
		{"and one that was never migrated, where it does not", empty, "false", "it was never migrated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := run(t, nil, "serve", "customer", "--grpc-listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0",
				"--issuer=http://127.0.0.1:1", "--insecure-plaintext", "--mesh-ca-file="+dir+"/ca.pem", "--mesh-cert-file="+dir+"/customer.pem",
				"--mesh-key-file="+dir+"/customer-key.pem", "--client-secret-file="+dir+"/secret", "--redis-url=redis://127.0.0.1:1",
				tt.database, "--insecure-embedded-store", "--migrate="+tt.migrate)
			if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, want 1 with %q in one line\n%s", code, tt.want, stderr)
			}
		})
	}
}
