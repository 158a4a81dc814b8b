// Package resourceid makes the ids of resources: unguessable, unique without asking anybody, and in the order in which
// they were made, which keeps database indexes compact.
package resourceid

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// encoding is Crockford's base32 in lower case: sorted by byte as by value, without the letters i, l, o and u.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// New returns an id of the kind that prefix names, such as "loc_06ew3k2gn8vqd0r7x5t1m9jz4c": 48 bits of milliseconds,
// then 80 random bits.
func New(prefix string) string {
	var random [10]byte
	// crypto/rand.Read never fails: it ends the process rather than return predictable bytes.
	_, _ = rand.Read(random[:])
	return at(prefix, time.Now(), random)
}

// Is tells whether id has the form that [New] gives to ids of the kind prefix. What has not names nothing: it need not be
// looked for.
func Is(prefix, id string) bool {
	text, ok := strings.CutPrefix(id, prefix+"_")
	if !ok || len(text) != encoding.EncodedLen(16) {
		return false
	}
	bits, err := encoding.DecodeString(text)
	// The last character has two bits that are not part of the value.
	return err == nil && encoding.EncodeToString(bits) == text
}

func at(prefix string, t time.Time, random [10]byte) string {
	var bits [18]byte
	binary.BigEndian.PutUint64(bits[:8], uint64(t.UnixMilli())<<16)
	copy(bits[6:], random[:])
	return prefix + "_" + encoding.EncodeToString(bits[:16])
}
