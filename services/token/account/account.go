// Package account knows people: their accounts, how they prove who they are, and their login sessions. What they may
// let applications do in their name is package oauth's.
package account

import (
	"context"
	"errors"
	"strings"
	"time"
)

var (
	// ErrNotFound says that there is no such account or session.
	ErrNotFound = errors.New("account: not found")
	// ErrRefused says that these credentials admit nobody. It does not say why.
	ErrRefused = errors.New("account: wrong user name or password")
)

// LimitError says that too many attempts failed, for this account or from this address.
type LimitError struct {
	// RetryAfter is when the next attempt will be looked at.
	RetryAfter time.Duration
}

func (e *LimitError) Error() string { return "account: too many failed attempts" }

// User is an account.
type User struct {
	// ID is the subject of its tokens: opaque, and the same for ever.
	ID    string
	Email string
	// EmailVerified tells whether somebody at Email has shown to read it.
	EmailVerified bool
	Name          string
	Profile
	// Roles stand in its tokens.
	Roles []string
	// PasswordHash is a PHC string; empty for an account that cannot sign in with a password.
	PasswordHash string
	// Credentials is raised when the password or the address changes: what was made for those of before is over.
	Credentials int64
	// Epoch is raised to end every token issued before.
	Epoch    int64
	Disabled bool
	Created  time.Time
	// Updated is when something that UserInfo shows last changed.
	Updated time.Time
}

// EmailKey is the form in which two addresses are compared.
func EmailKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// MethodPassword is a password, in the words of RFC 8176.
const MethodPassword = "pwd"

// Session is a browser's login at the identity provider: what makes single sign-on.
type Session struct {
	// ID is the "sid" claim. It is not a credential.
	ID       string
	UserID   string
	AuthTime time.Time
	// Methods are how the person proved who they are (RFC 8176). None where another provider says who it is: the RFC has
	// no value for that, and what was asked of the person there is not ours to claim.
	Methods []string
	Expires time.Time
	// UserEpoch is the person's epoch when it was begun; when that is raised and the session is not moved along, it is over.
	UserEpoch int64
	// Address and UserAgent are where it was last signed in to from, and what the browser said of itself, for its person
	// to recognize it.
	Address, UserAgent string
	// ClientID is the application that was signed in to. It is for the record alone, and not kept with the session.
	ClientID string
	// Ended is zero while the session lives.
	Ended time.Time
}

// Ended is what a change to an account ended: the ids of login sessions, and of grants.
type Ended struct{ Sessions, Grants []string }

// Live tells whether the session can still be used.
func (s Session) Live(now time.Time) bool { return s.Ended.IsZero() && now.Before(s.Expires) }

// Users finds accounts. Implementations return ErrNotFound for one that is not there.
type Users interface {
	User(ctx context.Context, id string) (User, error)
	// UserByEmail compares by EmailKey.
	UserByEmail(ctx context.Context, email string) (User, error)
	// ReplacePasswordHash sets the hash of one password that was hashed anew, unless it has changed from old meanwhile.
	ReplacePasswordHash(ctx context.Context, id, old, renewed string) error
}

// Attempts counts tries in every bucket at once and atomically, over all replicas.
type Attempts interface {
	// Begin counts one try in each bucket, unless one of them is full: then it counts none and returns how long that
	// one stays full.
	Begin(ctx context.Context, buckets []Bucket) (wait time.Duration, err error)
	// Forgive empties the buckets that are to be emptied by a success, and takes one try back from the others.
	Forgive(ctx context.Context, buckets []Bucket) error
}

// Bucket counts tries of one kind.
type Bucket struct {
	// Name tells buckets apart. It holds no personal data in the clear.
	Name   string
	Limit  int
	Window time.Duration
	// EmptiedBySuccess is set for what a success proves innocent as a whole.
	EmptiedBySuccess bool
}
