package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// version is the beginning of everything that is hashed, so that another encoding could never be taken for this one.
const version = "realguardio audit 1"

// hash chains e to the entry whose hash is before, empty for the first. Every value is hashed with its length in front,
// so that no two entries are the same bytes.
func (e *Entry) hash(before []byte) []byte {
	h := sha256.New()
	number := func(n int64) { h.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	text := func(s string) {
		number(int64(len(s)))
		h.Write([]byte(s))
	}
	text(version)
	text(string(before))
	number(e.Number)
	number(sqldb.Micros(e.Time))
	for _, s := range []string{e.Actor, e.ClientID, e.Action, e.Target, e.Result, e.Address, e.RequestID} {
		text(s)
	}
	number(int64(len(e.Details)))
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		text(name)
		text(e.Details[name])
	}
	return h.Sum(nil)
}

// row returns the values of columns for e, numbered, after the entry whose hash is before, in hexadecimal.
func (e *Entry) row(before string) ([]any, error) {
	previous, err := hex.DecodeString(before)
	if err != nil {
		return nil, fmt.Errorf("hash of the entry before %d: %w", e.Number, err)
	}
	details := e.Details
	if details == nil {
		details = map[string]string{}
	}
	encoded, err := json.Marshal(details)
	if err != nil {
		return nil, err
	}
	return []any{e.Number, sqldb.Micros(e.Time), e.Actor, e.ClientID, e.Action, e.Target, e.Result, e.Address, e.RequestID,
		string(encoded), hex.EncodeToString(e.hash(previous))}, nil
}

// ErrBroken says that the log is not as it was written.
var ErrBroken = errors.New("audit: the log was changed")

// Head is the last entry of a log. Kept elsewhere it is what a log that was written anew from some entry on cannot have:
// see [Verify].
type Head struct {
	Number int64
	Hash   []byte
}

// batch is how many entries Verify reads at once.
const batch = 1000

// Verify walks the log from its first entry and returns the last one. It returns an ErrBroken that names the first entry
// that is missing or not as it was written, or if the log does not go through known, a head of an earlier time; the zero
// Head is that of every log. Entries that are added meanwhile may be left out.
func Verify(ctx context.Context, db *sqldb.DB, known Head) (Head, error) {
	var last int64
	if err := db.QueryRow(ctx, `SELECT number FROM audit_head WHERE id = 1`).Scan(&last); err != nil {
		return Head{}, fmt.Errorf("read the head of the audit log: %w", err)
	}
	at := Head{}
	for {
		entries, err := read(ctx, db, `number > $1 ORDER BY number LIMIT $2`, at.Number, batch)
		if err != nil {
			return Head{}, err
		}
		for _, e := range entries {
			if e.Number != at.Number+1 {
				return Head{}, fmt.Errorf("%w: entry %d is missing", ErrBroken, at.Number+1)
			}
			if !bytes.Equal(e.hash(at.Hash), e.Hash) {
				return Head{}, fmt.Errorf("%w: entry %d is not as it was written", ErrBroken, e.Number)
			}
			if at = (Head{e.Number, e.Hash}); at.Number == known.Number && !bytes.Equal(at.Hash, known.Hash) {
				return Head{}, fmt.Errorf("%w: entry %d is not the one that was known", ErrBroken, e.Number)
			}
		}
		if len(entries) < batch {
			break
		}
	}
	if end := max(last, known.Number); at.Number < end {
		return Head{}, fmt.Errorf("%w: entry %d is missing", ErrBroken, at.Number+1)
	}
	return at, nil
}
