package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/password"
)

// AdminRole is the role without which nobody could manage accounts any more.
const AdminRole = "REALGUARDIO_ADMIN"

var (
	// ErrTaken says that another account has this address.
	ErrTaken = errors.New("account: the address belongs to another account")
	// ErrLastAdmin says that nobody who can sign in would have AdminRole any more.
	ErrLastAdmin = errors.New("account: the last enabled platform admin")
	// ErrNoMail says that what was asked for goes by mail, and no mail server is configured.
	ErrNoMail = errors.New("account: no mail server is configured")
	// ErrTicketOver says that a link was used, has expired, was replaced, or never was.
	ErrTicketOver = errors.New("account: the link is over")
	// ErrHasPassword says that somebody is no longer invited: they have chosen a password.
	ErrHasPassword = errors.New("account: a password has been chosen already")
	// ErrDisabled says that an account is disabled.
	ErrDisabled = errors.New("account: disabled")
)

// People changes accounts. Every method is atomic; the post that is given with a change is stored with it. Methods return
// ErrNotFound for an account that is not there, ErrTaken for an address that another one has.
type People interface {
	User(ctx context.Context, id string) (User, error)
	// AddUser stores a new account.
	AddUser(ctx context.Context, u User, post Post) error
	// EnsureUser stores u unless there is an account with its address, adds u's roles to the one that there is, and
	// returns what is stored then. The post goes out only if it was made.
	EnsureUser(ctx context.Context, u User, demo bool, post Post) (stored User, made bool, err error)
	// UpdateUser changes what is not nil. A new address is not verified, and ends all links.
	UpdateUser(ctx context.Context, id string, name, email *string, post Post, now time.Time) (User, error)
	// SetRoles says which roles an account has. Where one is taken away its tokens, which expire before until, end.
	// ErrLastAdmin if nobody would be left.
	SetRoles(ctx context.Context, id string, roles []string, now, until time.Time) (User, error)
	// SetDisabled disables or enables an account. Disabling ends everything of its person, and is ErrLastAdmin if no
	// admin would be left.
	SetDisabled(ctx context.Context, id string, disabled bool, now, until time.Time) (User, Ended, error)
	// SetPassword gives u, as it was read, another password hash, or is ErrRefused when its credentials have changed
	// since. It ends all links, and everything of the person but the session except.
	SetPassword(ctx context.Context, u User, renewed, except string, post Post, now, until time.Time) (Ended, error)
	// ListUsers returns at most limit accounts by the key of their addresses, from the one after that key.
	ListUsers(ctx context.Context, after string, limit int) ([]User, error)
}

// Tickets keeps tickets and letters. Of any number of callers that redeem one link exactly one succeeds, the others get
// ErrTicketOver: so do all when the password or address of the account has changed since, or when it is disabled.
type Tickets interface {
	// Ticket returns one that can be redeemed now, and its account. It changes nothing.
	Ticket(ctx context.Context, hash string, now time.Time) (Ticket, User, error)
	// SendPost stores a link in the place of an older one of its account and purpose, and letters. ErrDisabled if the
	// account is.
	SendPost(ctx context.Context, post Post) error
	// RedeemForPassword sets a password, verifies the address that the link was sent to, and ends everything of the person.
	RedeemForPassword(ctx context.Context, hash, renewed string, post Post, now, until time.Time) (Ended, error)
	// RedeemForAddress gives the account the address of the link, verified. ErrTaken if another one has it.
	RedeemForAddress(ctx context.Context, hash string, post Post, now time.Time) error
}

// LifecycleConfig says what a Lifecycle works with. Everything is required.
type LifecycleConfig struct {
	People        People
	Tickets       Tickets
	Attempts      Attempts
	Authenticator *Authenticator
	Hasher        *password.Hasher
	Policy        *password.Policy
	// MACKey makes links; at least 32 bytes.
	MACKey []byte
	// Issuer is the URL under which the pages are.
	Issuer string
	// Mail tells whether letters are sent.
	Mail bool
	// Posted is called after letters were stored, and does not block; Ended after sessions and grants were ended.
	Posted func()
	Ended  func(context.Context, Ended)
	// TokensGone is when the last token issued by a time has expired for everybody.
	TokensGone func(time.Time) time.Time
	Logger     *slog.Logger
	Now        func() time.Time
}

// Lifecycle is what becomes of accounts: they are made by invitation, changed, disabled, and their people choose passwords
// and addresses. It is safe for concurrent use.
type Lifecycle struct {
	LifecycleConfig
	tickets tickets
}

// NewLifecycle returns a Lifecycle.
func NewLifecycle(cfg LifecycleConfig) (*Lifecycle, error) {
	if len(cfg.MACKey) < 32 {
		return nil, fmt.Errorf("the key for links has %d bytes, want at least 32", len(cfg.MACKey))
	}
	return &Lifecycle{cfg, tickets{cfg.MACKey, cfg.Issuer}}, nil
}

// Invite makes an account without a password and sends its person a link by which they choose one.
func (l *Lifecycle) Invite(ctx context.Context, email, name string, roles []string) (User, error) {
	if !l.Mail {
		return User{}, ErrNoMail
	}
	user := l.newUser(email, name, roles)
	if err := l.People.AddUser(ctx, user, l.invitation(&user)); err != nil {
		return User{}, fmt.Errorf("inviting somebody: %w", err)
	}
	l.Posted()
	return user, nil
}

// Provision makes sure that there is an account with this address and at least these roles. One that is new is invited,
// where mail can be sent; one that exists is sent nothing.
func (l *Lifecycle) Provision(ctx context.Context, email, name string, roles []string) (user User, made bool, err error) {
	user = l.newUser(email, name, roles)
	var post Post
	if l.Mail {
		post = l.invitation(&user)
	}
	if user, made, err = l.People.EnsureUser(ctx, user, false, post); err != nil {
		return User{}, false, fmt.Errorf("provisioning an account: %w", err)
	}
	l.Posted()
	return user, made, nil
}

func (l *Lifecycle) newUser(email, name string, roles []string) User {
	now := l.Now()
	return User{ID: resourceid.New("usr"), Email: email, Name: name, Roles: roles, Created: now, Updated: now}
}

func (l *Lifecycle) invitation(user *User) Post {
	return l.post(user, Invitation, InvitationLetter, user.Email)
}

// post is a link to an address, and the letter that carries it there.
func (l *Lifecycle) post(user *User, purpose Purpose, kind LetterKind, email string) Post {
	ticket := l.tickets.make(user.ID, purpose, email, l.Now())
	letter := l.letter(user, kind, email)
	letter.TicketHash = ticket.Hash
	return Post{Ticket: ticket, Letters: []Letter{letter}}
}

func (l *Lifecycle) letter(user *User, kind LetterKind, email string) Letter {
	return Letter{ID: resourceid.New("ltr"), Kind: kind, UserID: user.ID, Name: user.Name, Address: email, Created: l.Now()}
}

// notice is a letter without a link, where letters are sent.
func (l *Lifecycle) notice(user *User, kind LetterKind, email string) []Letter {
	if !l.Mail {
		return nil
	}
	return []Letter{l.letter(user, kind, email)}
}

// linked tells somebody that another provider signs them in from now on: that outlives a change of their password.
func (l *Lifecycle) linked(user *User) Post {
	return Post{Letters: l.notice(user, IdentityLinkedLetter, user.Email)}
}

// Reinvite sends another link to somebody who has not chosen a password yet. It is ErrHasPassword for anybody else.
func (l *Lifecycle) Reinvite(ctx context.Context, id string) error {
	if !l.Mail {
		return ErrNoMail
	}
	user, err := l.People.User(ctx, id)
	if err != nil {
		return fmt.Errorf("looking up an account: %w", err)
	}
	if user.PasswordHash != "" {
		return ErrHasPassword
	}
	if err := l.limited(ctx, user.ID); err != nil {
		return err
	}
	return l.send(ctx, l.invitation(&user))
}

func (l *Lifecycle) send(ctx context.Context, post Post) error {
	if err := l.Tickets.SendPost(ctx, post); err != nil {
		return fmt.Errorf("sending a link: %w", err)
	}
	l.Posted()
	return nil
}

// PasswordLink makes a link by which somebody chooses a password, and returns its URL instead of sending it: for an
// operator who has no mail server, or no admin. Whoever uses it has shown nothing of the address. Links of before end.
func (l *Lifecycle) PasswordLink(ctx context.Context, user User) (url string, expires time.Time, err error) {
	purpose := Reset
	if user.PasswordHash == "" {
		purpose = Invitation
	}
	ticket := l.tickets.make(user.ID, purpose, "", l.Now())
	if err := l.Tickets.SendPost(ctx, Post{Ticket: ticket}); err != nil {
		return "", time.Time{}, fmt.Errorf("making a link: %w", err)
	}
	return l.tickets.url(ticket), ticket.Expires, nil
}

// Update changes what an admin may change of somebody. Whoever gets a new address is asked to prove that they read it, and
// whoever has not chosen a password yet is invited there; the address of before is told.
func (l *Lifecycle) Update(ctx context.Context, id string, name, email *string) (User, error) {
	user, err := l.People.User(ctx, id)
	if err != nil {
		return User{}, fmt.Errorf("looking up an account: %w", err)
	}
	var post Post
	moved := email != nil && EmailKey(*email) != EmailKey(user.Email)
	if moved && l.Mail && !user.Disabled {
		post = l.post(&user, Verification, VerificationLetter, *email)
		if user.PasswordHash == "" {
			post = l.post(&user, Invitation, InvitationLetter, *email)
		}
		if user.EmailVerified {
			post.Letters = append(post.Letters, l.notice(&user, AddressChangedLetter, user.Email)...)
		}
	}
	if user, err = l.People.UpdateUser(ctx, id, name, email, post, l.Now()); err != nil {
		return User{}, fmt.Errorf("changing an account: %w", err)
	}
	l.Posted()
	return user, nil
}

// SetRoles says which roles somebody has. Tokens that carry one which was taken away end.
func (l *Lifecycle) SetRoles(ctx context.Context, id string, roles []string) (User, error) {
	now := l.Now()
	user, err := l.People.SetRoles(ctx, id, roles, now, l.TokensGone(now))
	if err != nil {
		return User{}, fmt.Errorf("setting roles: %w", err)
	}
	return user, nil
}

// SetDisabled disables an account, which ends everything of its person everywhere, or enables it: what was ended stays so.
func (l *Lifecycle) SetDisabled(ctx context.Context, id string, disabled bool) (User, error) {
	now := l.Now()
	user, ended, err := l.People.SetDisabled(ctx, id, disabled, now, l.TokensGone(now))
	if err != nil {
		return User{}, fmt.Errorf("disabling or enabling an account: %w", err)
	}
	l.Ended(ctx, ended)
	return user, nil
}
