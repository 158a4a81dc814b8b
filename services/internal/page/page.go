// Package page reads and writes the page sizes and page tokens of list requests.
//
// A token carries which list it is of and the sort key of the last row of a page. It is not a secret and gives no right: what a caller puts into
// one is only compared with, inside a query that selects what that caller may see.
package page

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/realguardio/realguardio/mesh"
)

const (
	defaultSize = 50
	maxSize     = 200
)

// Size returns how many rows to put on a page for what was asked: 50 for 0, and 200 at most.
func Size(requested int32) int {
	if requested <= 0 {
		return defaultSize
	}
	return min(int(requested), maxSize)
}

// List names what is listed, by the ids of what it belongs to, such as "customers/cus_1/locations". A token is good for the
// list that made it: rows after a place in one list mean nothing in another.
type List string

// After returns the n parts of the sort key that a token of the list carries, and nil for the empty token, the first page.
// Any other token is refused as an invalid pageToken.
func (l List) After(token string, n int) ([]string, error) {
	parts, err := Decode(token, n+1)
	if err != nil || parts == nil {
		return nil, err
	}
	if parts[0] != string(l) {
		return nil, InvalidToken()
	}
	return parts[1:], nil
}

// Cut makes a page of rows that were asked for with one more than fit on it: it takes that one off, which tells that there
// is a next page, and returns the list's token for it, or "". key is the sort key of a row.
func Cut[T any](l List, rows []T, size int, key func(T) []string) (onPage []T, nextPageToken string) {
	if len(rows) <= size {
		return rows, ""
	}
	return rows[:size], Encode(append([]string{string(l)}, key(rows[size-1])...)...)
}

// Encode returns a token with these parts: the list, and the sort key of the row that its page begins after.
func Encode(parts ...string) string {
	// Strings always marshal.
	key, _ := json.Marshal(parts)
	return base64.RawURLEncoding.EncodeToString(key)
}

// Decode returns the n parts of a token that [Encode] made, and nil for the empty token, the first page. Whatever Encode
// cannot have made is refused as an invalid pageToken.
func Decode(token string, n int) ([]string, error) {
	if token == "" {
		return nil, nil
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, InvalidToken()
	}
	var parts []string
	if err := json.Unmarshal(key, &parts); err != nil || len(parts) != n {
		return nil, InvalidToken()
	}
	// There is one way to write a key.
	if canonical, _ := json.Marshal(parts); !bytes.Equal(canonical, key) {
		return nil, InvalidToken()
	}
	// PostgreSQL has no text with NUL.
	for _, part := range parts {
		if strings.ContainsRune(part, 0) {
			return nil, InvalidToken()
		}
	}
	return parts, nil
}

// InvalidToken refuses a page token whose parts [List.After] took, but which are none of the sort keys of the list.
func InvalidToken() error {
	return mesh.InvalidField("pageToken", "is not a token that an earlier page returned")
}
