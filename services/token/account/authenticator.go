package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/realguardio/realguardio/services/token/password"
)

// Limits of failed attempts: few for one account, more for one address, behind which there may be an office.
const (
	attemptWindow      = 15 * time.Minute
	failuresPerAccount = 10
	failuresPerAddress = 100
)

// Authenticator decides whether somebody is who they say. It is the only way in with a password: the login page and the
// password grant both take it, so that a limit reached at one holds at the other.
type Authenticator struct {
	users    Users
	attempts Attempts
	hasher   *password.Hasher
	log      *slog.Logger
}

// NewAuthenticator returns an Authenticator.
func NewAuthenticator(users Users, attempts Attempts, hasher *password.Hasher, log *slog.Logger) *Authenticator {
	return &Authenticator{users: users, attempts: attempts, hasher: hasher, log: log}
}

// Password returns the account whose e-mail and password these are. It returns ErrRefused alike, and after the same time,
// for an account that does not exist, has no password, is disabled, or has another password; a *LimitError when too
// many attempts failed before. address is the caller's, as far as it is known.
func (a *Authenticator) Password(ctx context.Context, email, secret, address string) (User, error) {
	buckets := attemptBuckets(email, address)
	// The try is counted before the password is looked at: of a burst of parallel guesses only as many are hashed as
	// could have been tried one after another.
	wait, err := a.attempts.Begin(ctx, buckets)
	if err != nil {
		return User{}, fmt.Errorf("counting login attempts: %w", err)
	}
	if wait > 0 {
		a.log.WarnContext(ctx, "login refused: too many failed attempts", "address", address)
		return User{}, &LimitError{RetryAfter: wait}
	}
	user, err := a.users.UserByEmail(ctx, email)
	if err != nil && !errors.Is(err, ErrNotFound) {
		a.takeBack(ctx, buckets)
		return User{}, fmt.Errorf("looking up an account: %w", err)
	}
	matched, outdated, err := a.hasher.Verify(ctx, secret, user.PasswordHash)
	if errors.Is(err, password.ErrBusy) {
		a.takeBack(ctx, buckets)
		return User{}, &LimitError{RetryAfter: time.Second}
	}
	if err != nil {
		a.takeBack(ctx, buckets)
		return User{}, fmt.Errorf("checking a password: %w", err)
	}
	if !matched || user.Disabled {
		a.log.InfoContext(ctx, "login refused", "subject", user.ID, "disabled", user.Disabled, "address", address)
		return User{}, ErrRefused
	}
	if err := a.attempts.Forgive(ctx, buckets); err != nil {
		return User{}, fmt.Errorf("counting login attempts: %w", err)
	}
	if outdated {
		a.upgrade(ctx, user, secret)
	}
	return user, nil
}

// takeBack uncounts a try whose password was never looked at: otherwise who floods us would lock out everybody who tries
// to sign in meanwhile. It empties no bucket.
func (a *Authenticator) takeBack(ctx context.Context, buckets []Bucket) {
	untried := slices.Clone(buckets)
	for i := range untried {
		untried[i].EmptiedBySuccess = false
	}
	if err := a.attempts.Forgive(ctx, untried); err != nil {
		a.log.WarnContext(ctx, "a login attempt that failed by itself stays counted", "error", err)
	}
}

// upgrade hashes the password with today's costs. Failing to is not the person's problem.
func (a *Authenticator) upgrade(ctx context.Context, user User, secret string) {
	renewed, err := a.hasher.Hash(ctx, secret)
	if err == nil {
		err = a.users.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, renewed)
	}
	if err != nil {
		a.log.WarnContext(ctx, "password hash not upgraded", "subject", user.ID, "error", err)
	}
}

func attemptBuckets(email, address string) []Bucket {
	sum := sha256.Sum256([]byte(EmailKey(email)))
	return []Bucket{
		{
			Name:             "account:" + base64.RawURLEncoding.EncodeToString(sum[:16]),
			Limit:            failuresPerAccount,
			Window:           attemptWindow,
			EmptiedBySuccess: true,
		},
		{Name: "address:" + Network(address), Limit: failuresPerAddress, Window: attemptWindow},
	}
}

// Network is what one subscriber is given: an IPv4 address, or an IPv6 prefix of 64 bits.
func Network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64) // 64 is always a valid length
	return prefix.String()
}
