// Package revocation serves the log of tokens that ended before their time, to everyone who verifies tokens
// (RevocationService). What ends a token, and writing it down, is for others: an entry is committed together with what
// caused it.
package revocation

import (
	"context"
	"time"
)

// Kind names the claim that an entry speaks of. Its numbers are those of RevocationKind on the wire.
type Kind int32

// Kinds of entry.
const (
	Token   Kind = 1 // jti
	Session Kind = 2 // sid
	Grant   Kind = 3 // gid
	Subject Kind = 4 // sub, below an epoch
	Client  Kind = 5 // client_id
	Key     Kind = 6 // kid
)

// Kinds is the list of them.
var Kinds = []Kind{Token, Session, Grant, Subject, Client, Key}

// String is the kind in one word.
func (k Kind) String() string {
	switch k {
	case Token:
		return "token"
	case Session:
		return "session"
	case Grant:
		return "grant"
	case Subject:
		return "subject"
	case Client:
		return "client"
	case Key:
		return "key"
	}
	return "unknown"
}

// Entry ends every token that carries a value.
type Entry struct {
	// Number is its position in commit order, from 1 without gaps.
	Number int64
	Kind   Kind
	Value  string
	// BelowEpoch: for a Subject, tokens of this epoch and later are not meant; 0 ends all.
	BelowEpoch int64
	// Expires is when the last token it could concern has expired.
	Expires time.Time
	// Made is when it was written, to the microsecond. Together with Number it tells an entry from the one that an older
	// backup of the log has there.
	Made time.Time
}

// Same tells whether two entries end the same tokens.
func (e Entry) Same(other Entry) bool {
	return e.Kind == other.Kind && e.Value == other.Value && e.BelowEpoch == other.BelowEpoch
}

// Position is a place in the log.
type Position struct {
	// Epoch is the numbering that Number belongs to.
	Epoch  string
	Number int64
	// Made is that of the entry there; zero when it is forgotten.
	Made time.Time
}

// Store is the log.
type Store interface {
	// Head returns where the log ends: at the highest number committed.
	Head(ctx context.Context) (Position, error)
	// Entries returns at most limit entries numbered above after, ascending. Ones that have expired may be missing.
	Entries(ctx context.Context, after int64, limit int) ([]Entry, error)
}
