package keyfile_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
)

func TestGeneratedKeysAreReadBackAndNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	first, err := keyfile.Ensure(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := keyfile.Generate(path, rand.Reader); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second key: %v", err)
	}
	if again, err := keyfile.Ensure(path); err != nil || !bytes.Equal(first, again) {
		t.Errorf("read back another key: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"too short a key", "c2hvcnQ=", "must hold 32 bytes"},
		{"not base64", "!!", "must hold 32 bytes"},
		{"empty", "", "must hold 32 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "k")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := keyfile.Read(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := keyfile.Read("/nowhere/k"); err == nil || err.Error() != "cannot read key file /nowhere/k: no such file or directory" {
		t.Errorf("a missing file: %v", err)
	}
}
