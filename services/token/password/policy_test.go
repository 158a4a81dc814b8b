package password_test

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token/password"
	"github.com/realguardio/realguardio/services/token/password/breached"
)

func TestWhichPasswordsPeopleMayChoose(t *testing.T) {
	policy := password.NewPolicy()
	for _, tt := range []struct{ name, password, says string }{
		{"a few words", "correct horse battery", ""},
		{"words of another script", "собака ест зелёный трамвай", ""},
		{"what a manager of passwords makes", "kV7#pq2!zLm9@xTd", ""},
		{"exactly long enough", "moss-tuba-eight", ""},
		{"characters are counted, not bytes", "größe-zäh-müßig", ""},
		{"a letter and its accent are one character", "cafe\u0301-tuba-eigh", "at least 15"},
		{"one character too few", "moss-tuba-eigh", "at least 15"},
		{"nothing", "", "at least 15"},
		{"more than would be hashed", strings.Repeat("moss tuba eight ", 70), "longer"},
		{"a control character", "moss-tuba-eight\x00", "keyboard can type"},
		{"what is no text", "moss-tuba-eight\xff", "keyboard can type"},
		{"a common one that is long", "1qaz2wsx3edc4rfv", "most common"},
		{"in capitals", "1QAZ2WSX3EDC4RFV", "most common"},
		{"a common one with digits after it", "Password20261122!", "most common"},
		{"a common one with digits around it", "2026iloveyou2026", "most common"},
		{"a common one twice", "passwordpassword", "most common"},
		{"digits alone", "8405172839405172", "most common"},
		{"one character", "ыыыыыыыыыыыыыыы", "repeats"},
		{"a short text over and over", "xk2xk2xk2xk2xk2", "repeats"},
		{"the alphabet", "abcdefghijklmnop", "repeats"},
		{"rows of keys", "poiuytrewqlkjhgfdsa", "repeats"},
		{"name and address", "Alice.Quinn-acme1", "your name"},
		{"the address itself", "alice.quinn@acme.example", "your name"},
		{"the product", "realguardio-alice", "your name"},
	} {
		err := policy.Check(tt.password, "alice.quinn@acme.example", "Alice Quinn")
		weak, ok := errors.AsType[*password.WeakError](err)
		if tt.says == "" && err != nil || tt.says != "" && (!ok || !strings.Contains(weak.Reason, tt.says)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
		if err != nil && len(tt.password) > 0 && strings.Contains(err.Error(), tt.password) {
			t.Errorf("%s: the error quotes the password", tt.name)
		}
	}
}

// listOf writes a list as it is published.
func listOf(t *testing.T, ending string, passwords ...string) string {
	t.Helper()
	var lines []string
	for _, p := range passwords {
		sum := sha1.Sum([]byte(p))
		lines = append(lines, strings.ToUpper(hex.EncodeToString(sum[:])))
	}
	slices.Sort(lines)
	for i := range lines {
		if i%2 == 0 {
			lines[i] += fmt.Sprintf(":%d", 1<<i%40)
		}
	}
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, ending)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAListOfLeakedPasswordsIsSearchedWhereItLies(t *testing.T) {
	var on []string
	for i := range 300 {
		on = append(on, fmt.Sprintf("moss tuba eight %d", i))
	}
	for _, ending := range []string{"\n", "\r\n"} {
		for _, n := range []int{1, 2, 3, 300} {
			list, err := breached.Open(listOf(t, ending, on[:n]...))
			if err != nil {
				t.Fatal(err)
			}
			policy := password.NewPolicy(list)
			for i, p := range on[:n] {
				if weak, ok := errors.AsType[*password.WeakError](policy.Check(p)); !ok || !strings.Contains(weak.Reason, "data leak") {
					t.Errorf("%d of %d is not found: %v", i, n, weak)
				}
			}
			for i := range 50 {
				if err := policy.Check(fmt.Sprintf("moss tuba seven %d", i)); err != nil {
					t.Errorf("found what is not there: %v", err)
				}
			}
			if err := list.Close(); err != nil {
				t.Fatal(err)
			}
			if err := policy.Check(on[0]); err == nil {
				t.Error("a list that cannot be read lets everything pass")
			}
		}
	}
	plain := filepath.Join(t.TempDir(), "plain.txt")
	if err := os.WriteFile(plain, []byte("password\n123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"plain words": plain, "a file that is not there": plain + "x"} {
		if _, err := breached.Open(path); err == nil {
			t.Errorf("%s were taken for a list", name)
		}
	}
}
