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
	"math"
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

// Finding is what shows that a log was changed: the first entry that is missing, or not as it was written.
type Finding struct {
	Number int64
	// What is the matter with it, such as "is missing".
	What string
}

func (f *Finding) Error() string { return fmt.Sprintf("entry %d %s", f.Number, f.What) }

// Head is the last entry of a log. Kept elsewhere it is what a log that was written anew from some entry on cannot have:
// see [Walk].
type Head struct {
	Number int64
	Hash   []byte
}

// Walk holds the entries of a log to its chain, from the newest back to the first.
type Walk struct {
	known   Head
	last    int64
	newest  Head
	later   *Entry // waits for the hash of the one before it
	finding *Finding
}

// NewWalk begins at the end of a log whose newest entry is said to be last, or a newer one. It must go through known, a head
// of an earlier time; the zero Head is that of every log.
func NewWalk(last int64, known Head) *Walk { return &Walk{known: known, last: max(last, known.Number)} }

// Add takes the next older entry.
func (w *Walk) Add(e Entry) {
	switch {
	case e.Number < 1:
		w.found(e.Number, "was put in")
		return
	case w.later == nil:
		w.newest = Head{e.Number, e.Hash}
		if e.Number < w.last {
			w.found(e.Number+1, "is missing")
		}
	default:
		w.follows(e.Number, e.Hash)
	}
	if e.Number == w.known.Number && !bytes.Equal(e.Hash, w.known.Hash) {
		w.found(e.Number, "is not the one that was known")
	}
	w.later = &e
}

// follows checks the entry that waits, after the one with this number and hash.
func (w *Walk) follows(number int64, hash []byte) {
	switch {
	case w.later.Number != number+1:
		w.found(number+1, "is missing")
	case !bytes.Equal(w.later.hash(hash), w.later.Hash):
		w.found(w.later.Number, "is not as it was written")
	}
}

// found notes what is older than all that was found before.
func (w *Walk) found(number int64, what string) { w.finding = &Finding{number, what} }

// End says, when there are no more entries, what the newest one is, or as a [*Finding] which is the first that shows a change.
func (w *Walk) End() (Head, error) {
	switch {
	case w.later != nil:
		w.follows(0, nil)
	case w.last > 0:
		w.found(1, "is missing")
	}
	if w.finding != nil {
		return Head{}, w.finding
	}
	return w.newest, nil
}

// batch is how many entries Verify reads at once.
const batch = 1000

// Verify walks the log and returns its last entry. Where it was changed, or does not go through known, the error is an
// ErrBroken and a [*Finding]. Entries that are added meanwhile may be left out.
func Verify(ctx context.Context, db *sqldb.DB, known Head) (Head, error) {
	last, err := lastOf(ctx, db)
	if err != nil {
		return Head{}, err
	}
	w := NewWalk(last, known)
	for before, more := int64(math.MaxInt64), true; more; {
		entries, err := read(ctx, db, `number < $1 ORDER BY number DESC LIMIT $2`, before, batch)
		if err != nil {
			return Head{}, err
		}
		for _, e := range entries {
			w.Add(e)
			before = e.Number
		}
		more = len(entries) == batch
	}
	head, err := w.End()
	if err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return head, nil
}

// lastOf is the number of the newest entry that was written. Whoever reads entries after that must find it.
func lastOf(ctx context.Context, db *sqldb.DB) (last int64, err error) {
	if err := db.QueryRow(ctx, `SELECT number FROM audit_head WHERE id = 1`).Scan(&last); err != nil {
		return 0, fmt.Errorf("read the head of the audit log: %w", err)
	}
	return last, nil
}
