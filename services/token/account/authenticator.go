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
	"strconv"
	"time"

	"github.com/realguardio/realguardio/services/token/password"
)

// Limits of failed attempts. Each is small enough to stop guessing where it counts, and none of them can be reached by a
// stranger alone to the harm of somebody whose browser is known.
const (
	attemptWindow = 15 * time.Minute
	// failuresFromNetwork is for one account from one network.
	failuresFromNetwork = 10
	// failuresPerAccount is for one account from everywhere: who guesses from many networks gets no further.
	failuresPerAccount = 100
	// failuresPerAddress is for all accounts from one network, behind which there may be an office.
	failuresPerAddress = 100
	// failuresPerDevice is for one browser that has signed in to the account before.
	failuresPerDevice = 10
	// failuresOfDevices is for all of them together, however many somebody who once knew the password has collected.
	failuresOfDevices = 100
)

// Authenticator decides whether somebody is who they say. It is the only way in with a password: the login page and the
// password grant both take it, so that a limit reached at one holds at the other.
type Authenticator struct {
	Config
	devices devices
}

// Config says what an Authenticator works with. Everything is required.
type Config struct {
	Users    Users
	Attempts Attempts
	Hasher   *password.Hasher
	// MACKey authenticates what browsers are recognized by; at least 32 bytes.
	MACKey []byte
	// Refused is told of every try that did not succeed.
	Refused func(context.Context, Refusal)
	Logger  *slog.Logger
}

// Refusal is a password that was not accepted.
type Refusal struct {
	// Action is what it was given for: "login", or "password.confirm" by who is signed in already.
	Action string
	// UserID is whose it would have been; empty for an account that does not exist.
	UserID string
	// Why is "refused", or "limited" where it was not looked at.
	Why string
	// Address is where it came from, as far as that is known.
	Address string
}

// NewAuthenticator returns an Authenticator.
func NewAuthenticator(cfg Config) (*Authenticator, error) {
	if len(cfg.MACKey) < 32 {
		return nil, fmt.Errorf("the key for device cookies has %d bytes, want at least 32", len(cfg.MACKey))
	}
	return &Authenticator{cfg, devices{cfg.MACKey}}, nil
}

// Try is somebody's claim to be the holder of an account.
type Try struct {
	Email, Password string
	// Address is where it comes from, as far as that is known.
	Address string
	// Device is what the browser was given by Device; empty for one that has nothing, and for what is no browser.
	Device string
}

// Device returns what a browser that has just signed in as user shall show from now on. before is what it showed.
func (a *Authenticator) Device(user User, before string) string { return a.devices.give(user, before) }

// Password returns the account whose e-mail and password these are. It returns ErrRefused alike, and after the same time,
// for an account that does not exist, has no password, is disabled, or has another password; a *LimitError when too
// many attempts failed before, for an account that does not exist like for any other.
func (a *Authenticator) Password(ctx context.Context, try Try) (User, error) {
	user, err := a.Users.UserByEmail(ctx, try.Email)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return User{}, fmt.Errorf("looking up an account: %w", err)
	}
	if err := a.attempt(ctx, "login", user, try, a.buckets(user, try)); err != nil {
		return User{}, err
	}
	return user, nil
}

// Confirm checks the password of somebody who is signed in already, in a login session (empty without one). It returns
// what Password does. Tries count as those of a browser that is known: no stranger can use them up, and whoever has got
// hold of a token guesses no better here than at the login page.
func (a *Authenticator) Confirm(ctx context.Context, user User, sessionID, secret string) error {
	return a.attempt(ctx, "password.confirm", user, Try{Password: secret}, a.knownDevice(user, "session:"+user.ID+":"+sessionID))
}

func (a *Authenticator) attempt(ctx context.Context, action string, user User, try Try, buckets []Bucket) error {
	// The try is counted before the password is looked at: of a burst of parallel guesses only as many are hashed as
	// could have been tried one after another.
	wait, err := a.Attempts.Begin(ctx, buckets)
	if err != nil {
		return fmt.Errorf("counting login attempts: %w", err)
	}
	if wait > 0 {
		a.Logger.WarnContext(ctx, "login refused: too many failed attempts", "address", try.Address)
		a.Refused(ctx, Refusal{Action: action, UserID: user.ID, Why: "limited", Address: try.Address})
		return &LimitError{RetryAfter: wait}
	}
	matched, outdated, err := a.Hasher.Verify(ctx, try.Password, user.PasswordHash)
	if errors.Is(err, password.ErrBusy) {
		a.takeBack(ctx, buckets)
		return &LimitError{RetryAfter: time.Second}
	}
	if err != nil {
		a.takeBack(ctx, buckets)
		return fmt.Errorf("checking a password: %w", err)
	}
	if !matched || user.Disabled {
		a.Logger.InfoContext(ctx, "login refused", "subject", user.ID, "disabled", user.Disabled, "address", try.Address)
		a.Refused(ctx, Refusal{Action: action, UserID: user.ID, Why: "refused", Address: try.Address})
		return ErrRefused
	}
	if err := a.Attempts.Forgive(ctx, buckets); err != nil {
		return fmt.Errorf("counting login attempts: %w", err)
	}
	if outdated {
		a.upgrade(ctx, user, try.Password)
	}
	return nil
}

// takeBack uncounts a try whose password was never looked at: otherwise who floods us would lock out everybody who tries
// to sign in meanwhile. It empties no bucket.
func (a *Authenticator) takeBack(ctx context.Context, buckets []Bucket) {
	untried := slices.Clone(buckets)
	for i := range untried {
		untried[i].EmptiedBySuccess = false
	}
	if err := a.Attempts.Forgive(ctx, untried); err != nil {
		a.Logger.WarnContext(ctx, "a login attempt that failed by itself stays counted", "error", err)
	}
}

// upgrade hashes the password with today's costs. Failing to is not the person's problem.
func (a *Authenticator) upgrade(ctx context.Context, user User, secret string) {
	renewed, err := a.Hasher.Hash(ctx, secret)
	if err == nil {
		err = a.Users.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, renewed)
	}
	if err != nil {
		a.Logger.WarnContext(ctx, "password hash not upgraded", "subject", user.ID, "error", err)
	}
}

// buckets are where a try counts. A browser that has signed in to this very account before is counted apart from all
// others, so that no stranger can keep its person out; to make such a browser takes the password.
func (a *Authenticator) buckets(user User, try Try) []Bucket {
	if device, known := a.devices.recognize(user, try.Device); known {
		return a.knownDevice(user, device)
	}
	account := counted(try.Email, user)
	network := Network(try.Address)
	return []Bucket{
		{Name: "account:" + account + ":" + network, Limit: failuresFromNetwork, Window: attemptWindow, EmptiedBySuccess: true},
		// That its person signs in does not make somebody else's guesses innocent.
		{Name: "account:" + account, Limit: failuresPerAccount, Window: attemptWindow},
		{Name: "address:" + network, Limit: failuresPerAddress, Window: attemptWindow},
	}
}

func (a *Authenticator) knownDevice(user User, device string) []Bucket {
	return []Bucket{
		{Name: "device:" + digest(device), Limit: failuresPerDevice, Window: attemptWindow, EmptiedBySuccess: true},
		{Name: "devices:" + counted(user.Email, user), Limit: failuresOfDevices, Window: attemptWindow},
	}
}

// counted is what tries at an account are counted by. With a password that was chosen anew the counting begins anew: what
// was guessed before was guessed at another one.
func counted(email string, user User) string {
	return digest(EmailKey(email) + "\x00" + strconv.FormatInt(user.Credentials, 10))
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
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
