// Package keyfile reads and makes the files that hold a symmetric key: 32 random bytes in base64 on one line, readable by
// their owner only.
package keyfile

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Size is the length of a key in bytes.
const Size = 32

// Read returns the key in the file at path.
func Read(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read key file %s: %w", path, cause(err))
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
	if err != nil || len(key) != Size {
		return nil, fmt.Errorf("cannot read key file %s: it must hold %d bytes in base64 (see `realguardio keys generate`)", path, Size)
	}
	return key, nil
}

// Generate writes a new key to path. It never overwrites: what the old key had protected would be lost.
func Generate(path string, random io.Reader) error {
	key := make([]byte, Size)
	if _, err := io.ReadFull(random, key); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	return WriteNew(path, base64.StdEncoding.EncodeToString(key)+"\n")
}

// WriteNew writes a secret into a file of its own, mode 0600, and fails when the file is there already.
func WriteNew(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and is left as it is", path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, cause(err))
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}

// Ensure returns the key at path, made at the first call.
func Ensure(path string) ([]byte, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := Generate(path, rand.Reader); err != nil {
			return nil, err
		}
	}
	return Read(path)
}

func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
