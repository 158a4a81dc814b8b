package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/resourceid"
)

var (
	// ErrUnlinked says that nobody's account goes with an identity yet. Whose it is, a password can show.
	ErrUnlinked = errors.New("account: identity is not linked")
	// ErrOtherIdentity says that the account goes with another identity of the same provider: what is called by the same
	// address there need not be the same person any more.
	ErrOtherIdentity = errors.New("account: linked to another identity of this provider")
	// ErrOddEmail says that an address is one that two programs could read differently.
	ErrOddEmail = errors.New("account: not an ordinary e-mail address")
	// ErrLastWay says that without this identity nobody could sign in to the account any more.
	ErrLastWay = errors.New("account: the only way in")
	// ErrExists says that there is an account with this address or identity already.
	ErrExists = errors.New("account: exists")
)

// Identity is what another provider says of somebody who has just signed in there. Issuer and Subject say who it is
// (OpenID Connect Core, section 5.7); everything else may change hands.
type Identity struct {
	Issuer, Subject string
	// Email may be empty, and anybody's unless EmailVerified.
	Email         string
	EmailVerified bool
	Name          string
}

// Trust is what the operator lets a provider do besides signing in whom it is linked to.
type Trust struct {
	// Links says that who has an address verified by the provider is who has that address, verified, here.
	Links bool
	// Creates says that whoever it has verified an address of may have an account.
	Creates bool
	// Domains bounds both to addresses in these. Empty: all.
	Domains []string
}

func (t Trust) about(email string) bool {
	_, domain, _ := strings.Cut(EmailKey(email), "@")
	return len(t.Domains) == 0 || slices.ContainsFunc(t.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// Link ties an identity to an account.
type Link struct {
	Issuer, Subject, UserID string
	// Email is what the provider called the person at Linked.
	Email            string
	Linked, LastUsed time.Time
}

// Identities keeps which identity is which account.
type Identities interface {
	UserByEmail(ctx context.Context, email string) (User, error)
	// UserByIdentity returns the account of an identity, or ErrNotFound, and notes that it was used.
	UserByIdentity(ctx context.Context, issuer, subject string, now time.Time) (User, error)
	// LinkOf returns the identity that an account goes with at an issuer, or ErrNotFound.
	LinkOf(ctx context.Context, user, issuer string) (Link, error)
	// AddLink links an account that is not disabled, has the credentials that user was read with and, if email is not
	// empty, has that verified address at that moment: ErrNotFound otherwise. ErrOtherIdentity if the identity is another
	// account's, or the account goes with another one of that issuer. The post goes out with the link; linking the same
	// twice changes nothing.
	AddLink(ctx context.Context, user User, link Link, email string, post Post) error
	// AddLinkedUser stores a new account with a link. ErrExists if its address or the identity has an account.
	AddLinkedUser(ctx context.Context, user User, link Link) error
}

// Federation decides whose account it is that somebody has signed in to elsewhere.
type Federation struct {
	Identities Identities
	// Lifecycle tells people what becomes of their accounts.
	Lifecycle *Lifecycle
	Now       func() time.Time
	Logger    *slog.Logger
}

// Resolve returns the account of an identity. Without one it links or makes one as far as the provider is trusted with
// that, and else returns ErrUnlinked. It returns ErrRefused for an account that is disabled, ErrOtherIdentity for one
// whose person is somebody else there, and ErrOddEmail.
func (f *Federation) Resolve(ctx context.Context, id Identity, trust Trust) (User, error) {
	user, err := f.resolve(ctx, id, trust)
	if errors.Is(err, ErrExists) { // made at this very moment by somebody else
		user, err = f.resolve(ctx, id, trust)
	}
	if err == nil && user.Disabled {
		f.Logger.InfoContext(ctx, "login refused", "subject", user.ID, "disabled", true, "issuer", id.Issuer)
		return User{}, ErrRefused
	}
	return user, err
}

func (f *Federation) resolve(ctx context.Context, id Identity, trust Trust) (User, error) {
	now := f.Now()
	user, err := f.Identities.UserByIdentity(ctx, id.Issuer, id.Subject, now)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return user, err
	}
	switch {
	case id.Email != "" && !ordinaryEmail(id.Email):
		return User{}, ErrOddEmail
	case id.Email == "" || !id.EmailVerified:
		return User{}, ErrUnlinked // what it says of the address is nobody's fact
	}
	user, err = f.Identities.UserByEmail(ctx, id.Email)
	if errors.Is(err, ErrNotFound) {
		return f.create(ctx, id, trust, now)
	}
	if err != nil {
		return User{}, fmt.Errorf("looking up an account: %w", err)
	}
	known, err := f.Identities.LinkOf(ctx, user.ID, id.Issuer)
	if err == nil && known.Subject != id.Subject {
		f.Logger.WarnContext(ctx, "an address is another person's at its provider now", "subject", user.ID, "issuer", id.Issuer)
		return User{}, ErrOtherIdentity
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return User{}, fmt.Errorf("looking up a link: %w", err)
	}
	if !trust.Links || !trust.about(id.Email) || !user.EmailVerified {
		return User{}, ErrUnlinked
	}
	return user, f.link(ctx, user, id, id.Email)
}

// Link links an identity to the account of somebody who has just proven to be its holder.
func (f *Federation) Link(ctx context.Context, user User, id Identity) error {
	return f.link(ctx, user, id, "")
}

func (f *Federation) link(ctx context.Context, user User, id Identity, email string) error {
	now := f.Now()
	link := Link{Issuer: id.Issuer, Subject: id.Subject, UserID: user.ID, Email: id.Email, Linked: now, LastUsed: now}
	err := f.Identities.AddLink(ctx, user, link, email, f.Lifecycle.linked(&user))
	switch {
	case errors.Is(err, ErrNotFound):
		return ErrRefused // disabled, or with another address or password, at this moment
	case err == nil:
		f.Lifecycle.Posted()
		f.Logger.InfoContext(ctx, "identity linked", "subject", user.ID, "issuer", id.Issuer)
	}
	return err
}

func (f *Federation) create(ctx context.Context, id Identity, trust Trust, now time.Time) (User, error) {
	if !trust.Creates || !trust.about(id.Email) {
		return User{}, ErrUnlinked
	}
	user := User{ID: resourceid.New("usr"), Email: id.Email, EmailVerified: true, Name: presentable(id.Name, id.Email), Created: now, Updated: now}
	err := f.Identities.AddLinkedUser(ctx, user,
		Link{Issuer: id.Issuer, Subject: id.Subject, UserID: user.ID, Email: id.Email, Linked: now, LastUsed: now})
	if err != nil {
		return User{}, err
	}
	f.Logger.InfoContext(ctx, "account made", "subject", user.ID, "issuer", id.Issuer)
	return user, nil
}

// emailForm leaves out what is legal and hardly ever used: quotes, comments, a second @, addresses in other scripts, of
// which some letters are those of ASCII once their case is folded.
var emailForm = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

func ordinaryEmail(email string) bool { return len(email) <= 254 && emailForm.MatchString(email) }

// presentable is a name in one line, or the address for one that an account may not have.
func presentable(name, email string) string {
	name = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(name, ""), func(r rune) bool { return r < ' ' || r == 0x7f || r == ' ' }), " ")
	if NameProblem(name) != "" {
		return email
	}
	return name
}
