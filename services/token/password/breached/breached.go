// Package breached knows passwords that are in everybody's hands because they leaked: the most common ones, which are part
// of the program, and those of a file that an operator may add. What to do about one is package password's.
package breached

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the format of published lists, not a protection
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

//go:generate go run ./generate -out common.bin passwords.txt

// common is the sorted prefixes, of prefixLen bytes each, of SHA-256 over the common passwords in lower case.
//
//go:embed common.bin
var common []byte

// prefixLen makes one password in 20 million be taken for a common one by chance.
const prefixLen = 5

// Common tells whether a password, in whatever case, is one of the most common ones that leaked.
func Common(password string) bool {
	sum := sha256.Sum256([]byte(strings.ToLower(password)))
	n := len(common) / prefixLen
	at := func(i int) []byte { return common[i*prefixLen : (i+1)*prefixLen] }
	i := sort.Search(n, func(i int) bool { return bytes.Compare(at(i), sum[:prefixLen]) >= 0 })
	return i < n && bytes.Equal(at(i), sum[:prefixLen])
}

// File is a list of leaked passwords as they are published for download: lines of SHA-1 in hexadecimal, sorted, each
// followed by a colon and a count or by nothing. It is searched where it lies, so that it may be larger than memory. It is
// safe for concurrent use.
type File struct {
	file io.ReaderAt
	size int64
	io.Closer
}

// hashLen is that of SHA-1 in hexadecimal.
const hashLen = 40

// Open opens a list and looks at its first line.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the list of breached passwords: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the list of breached passwords: %w", err), file.Close())
	}
	f := &File{file, info.Size(), file}
	line, _, err := f.lineAt(0)
	if _, bad := hex.DecodeString(line); err != nil || bad != nil || len(line) != hashLen {
		return nil, errors.Join(fmt.Errorf("the list of breached passwords %s does not begin with a line of SHA-1 in hexadecimal", path), file.Close())
	}
	return f, nil
}

// Has tells whether a password is on the list.
func (f *File) Has(password string) (bool, error) {
	sum := sha1.Sum([]byte(password)) //nolint:gosec // see above
	want := strings.ToUpper(hex.EncodeToString(sum[:]))
	low, high := int64(0), f.size // the line, if there is one, begins in [low, high)
	for low < high {
		middle := low + (high-low)/2
		line, begin, err := f.lineAt(middle)
		if err != nil {
			return false, fmt.Errorf("read the list of breached passwords: %w", err)
		}
		switch {
		case begin >= high || line > want: // no line begins between the middle and there, or it is too far down
			high = middle
		case line == want:
			return true, nil
		default:
			low = begin + 1
		}
	}
	return false, nil
}

// lineAt returns the hash on the first line that begins at offset or after it, in capitals, and where it begins.
func (f *File) lineAt(offset int64) (line string, begin int64, err error) {
	// The byte before tells whether a line begins here. No line is longer than a hash, a colon and a number.
	var buffer [160]byte
	from := max(offset-1, 0)
	n, err := f.file.ReadAt(buffer[:], from)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	text := buffer[:n]
	begin = offset
	if offset > 0 {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			return "", f.size, nil
		}
		begin, text = from+int64(end)+1, text[end+1:]
	}
	if len(text) < hashLen {
		return "", f.size, nil
	}
	return strings.ToUpper(string(text[:hashLen])), begin, nil
}
