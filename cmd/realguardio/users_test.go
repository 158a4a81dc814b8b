package main_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAnOperatorHandsALinkOver gets people in where no mail server is.
func TestAnOperatorHandsALinkOver(t *testing.T) {
	dir := folder(t)
	on := []string{"--database-url=sqlite://" + dir + "/token.db", "--insecure-embedded-store",
		"--key-encryption-key-file=" + dir + "/kek", "--token-mac-key-file=" + dir + "/mac"}
	code, _, stderr := run(t, nil, append([]string{"setup", "--out-dir=" + dir + "/secrets", "--public-url=https://one.example",
		"--admin-email=ada@example.com", "--admin-name=Ada Quinn"}, on...)...)
	if code != 0 {
		t.Fatal(stderr)
	}
	link := func(change ...string) (int, string, string) {
		return run(t, nil, append(append([]string{"users", "link", "--issuer=https://id.example.com"}, on...), change...)...)
	}
	seen := map[string]bool{}
	for range 2 {
		code, stdout, stderr := link("--email=ADA@example.com")
		found := regexp.MustCompile(`^https://id\.example\.com/password\?link=[A-Za-z0-9_-]{43}\n`).FindString(stdout)
		if code != 0 || found == "" || seen[found] {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
		seen[found] = true
	}
	if code, stdout, stderr := link("--email=bob@example.com"); code != 1 || stdout != "" || !strings.Contains(stderr, "nobody has an account") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, _ := link("--email=ada@example.com", "--issuer=http://id.example.com"); code == 0 || stdout != "" {
		t.Errorf("a link in plaintext: exit code %d\n%s", code, stdout)
	}
}

func TestAFirstPasswordThatIsNoGoodIsRefused(t *testing.T) {
	dir := folder(t)
	file := dir + "/password"
	if err := os.WriteFile(file, []byte("passwordpassword\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, nil, "setup", "--database-url=sqlite://"+dir+"/token.db", "--insecure-embedded-store",
		"--key-encryption-key-file="+dir+"/kek", "--token-mac-key-file="+dir+"/mac", "--out-dir="+dir+"/secrets",
		"--public-url=https://one.example", "--admin-email=ada@example.com", "--admin-name=Ada Quinn", "--admin-password-file="+file)
	if code != 1 || strings.Contains(stdout, "platform admin") || !strings.Contains(stderr, "most common") || strings.Contains(stderr, "passwordpassword") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
