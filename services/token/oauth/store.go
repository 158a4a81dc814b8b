package oauth

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// ClientStore finds and ends clients. ErrNotFound for one that is not there; a disabled one is found.
type ClientStore interface {
	Client(ctx context.Context, id string) (Client, error)
	// DisableClient ends a client with all its grants and tokens, durably, and returns the grants. Disabling one that is
	// disabled changes nothing. Its tokens expire before until.
	DisableClient(ctx context.Context, id string, now, until time.Time) (grants []string, err error)
}

// AccountStore finds people and their login sessions. account.ErrNotFound for what is not there.
type AccountStore interface {
	User(ctx context.Context, id string) (account.User, error)
	Session(ctx context.Context, id string) (account.Session, error)
	// VisitSession records that a client was opened in a live session; account.ErrNotFound if it is over. However a
	// session ends, the clients recorded for it are told (OpenID Connect Back-Channel Logout).
	VisitSession(ctx context.Context, id, client string) error
	// EndSession ends a login session with all its grants and tokens, durably, and returns the grants. Ending one that
	// is over changes nothing. Its tokens expire before until.
	EndSession(ctx context.Context, id string, now, until time.Time) (grants []string, err error)
	// SignOutUser raises a person's epoch and ends, durably, all their login sessions but except (empty: none), with all
	// grants and tokens. What the session that is kept had been given can be renewed; its tokens end like all others.
	// They expire before until.
	SignOutUser(ctx context.Context, id, except string, now, until time.Time) (account.Ended, error)
}

// GrantStore keeps what people have granted, for as long as it can be renewed.
type GrantStore interface {
	// OpenGrant stores a new grant. If its id was revoked before it could be stored it stays revoked. One that needed a
	// consent is ErrStale where that was taken back since.
	OpenGrant(ctx context.Context, g Grant, consented bool) error
	Grant(ctx context.Context, id string) (Grant, error)
	// Rotate moves a live grant, whose login session lives too, from generation from to the next, and notes by which key. One
	// that is bound to none is bound to bind from then on. Of several callers racing for one generation exactly one moves
	// it; the others, like callers with an older one, get ErrStale.
	Rotate(ctx context.Context, id string, from int64, by, bind Confirmation, now time.Time) error
	// RevokeGrant ends a grant, known or not yet, with all its tokens, which expire before until. Ending one that is
	// over changes nothing.
	RevokeGrant(ctx context.Context, g Grant, now, until time.Time) error
}

// Given is what a person has allowed an application.
type Given struct {
	ClientID, ClientName string
	Scopes               []string
	// Updated is when it was last given or widened.
	Updated time.Time
}

// ConsentStore remembers which scopes a person has allowed a client.
type ConsentStore interface {
	Consent(ctx context.Context, user, client string) (scopes []string, err error)
	// RememberConsent adds scopes.
	RememberConsent(ctx context.Context, user, client string, scopes []string, now time.Time) error
	// RevokeConsent takes back all scopes, and ends every grant of the person at the client with all its tokens, durably,
	// and returns the grants. Their tokens expire before until. Where there is nothing, nothing changes.
	RevokeConsent(ctx context.Context, user, client string, now, until time.Time) (grants []string, err error)
}

// CodeStore keeps authorization codes until they expire, by their hash.
type CodeStore interface {
	PutCode(ctx context.Context, hash string, c Code, lifetime time.Duration) error
	// Code returns a code and whether it was taken before. ErrNotFound for one that was never there or has expired.
	Code(ctx context.Context, hash string) (c Code, taken bool, err error)
	// TakeCode takes a code and reports whether this caller is the first: of any number of callers exactly one is. The
	// first one's remains are what Code returns from then on, for as long as keep.
	TakeCode(ctx context.Context, hash string, remains Code, keep time.Duration) (first bool, err error)
}

// DeviceStore keeps the requests of devices, by the hash of their device code, until a while after they have expired.
// ErrNotFound for one that is not there.
type DeviceStore interface {
	// PutDevice stores a new request, which is found by the hash of its user code too for as long as lifetime. It is not
	// fresh, and nothing is stored, where that user code is in use.
	PutDevice(ctx context.Context, hash, userCode string, d Device, pollEvery, lifetime time.Duration) (fresh bool, err error)
	Device(ctx context.Context, hash string) (Device, error)
	DeviceByUserCode(ctx context.Context, userCode string) (hash string, err error)
	// AnswerDevice replaces a request that is pending, and reports whether this caller is the first: of any number of
	// callers exactly one is.
	AnswerDevice(ctx context.Context, hash string, answered Device) (first bool, err error)
	// UseDevice does the same with one that is allowed, and keeps it for as long as keep.
	UseDevice(ctx context.Context, hash string, used Device, keep time.Duration) (first bool, err error)
	// PollDevice notes a poll. One that comes too soon after the last has later ones wait longer.
	PollDevice(ctx context.Context, hash string, now time.Time, longer time.Duration) (tooSoon bool, err error)
}

// RevokedGrants is a fast memory of revoked grants, which may forget: GrantStore is the truth.
type RevokedGrants interface {
	MarkRevoked(ctx context.Context, ids []string, keep time.Duration) error
	MarkedRevoked(ctx context.Context, id string) (bool, error)
}

// RevocationLog holds every token that ended before its time.
type RevocationLog interface {
	Revoke(ctx context.Context, e revocation.Entry, now time.Time) error
	// Revoked tells whether one of the entries has been revoked, comparing kind, value and epoch.
	Revoked(ctx context.Context, any []revocation.Entry) (bool, error)
}

// Passwords checks a person's password; *account.Authenticator is one.
type Passwords interface {
	Password(ctx context.Context, try account.Try) (account.User, error)
}

// Signer signs tokens and knows its own; *keys.Ring is one.
type Signer interface {
	Sign(alg keys.Alg, typ string, payload []byte) (string, error)
	Verify(typ, token string) (payload []byte, err error)
}

// PushedStore keeps pushed authorization requests until they are answered or expire.
type PushedStore interface {
	PutPushed(ctx context.Context, id string, p Pushed, lifetime time.Duration) error
	// Pushed returns one that was not answered yet. ErrNotFound for any other.
	Pushed(ctx context.Context, id string) (Pushed, error)
	// HoldPushed gives it to a browser, unless another one has it, for as long as lifetime, and reports whether it did.
	HoldPushed(ctx context.Context, id, browser string, lifetime time.Duration) (held bool, err error)
	// TakePushed removes it and reports whether this caller did: of any number of callers exactly one does.
	TakePushed(ctx context.Context, id string) (first bool, err error)
}
