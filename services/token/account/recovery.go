package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/token/password"
)

// Limits of letters that somebody can have us send.
const (
	// letterWindow is what they are counted in.
	letterWindow = time.Hour
	// lettersPerAccount is for one account, or one address that there may be no account for.
	lettersPerAccount = 5
	// lettersPerNetwork is for one network, behind which there may be an office.
	lettersPerNetwork = 30
	// lettersInAll keeps a flood from many networks from becoming a flood of mail.
	lettersInAll = 2000
)

// limited counts a letter that an account is about to cause.
func (l *Lifecycle) limited(ctx context.Context, id string) error {
	return l.count(ctx, Bucket{Name: "letters:user:" + id, Limit: lettersPerAccount, Window: letterWindow})
}

func (l *Lifecycle) count(ctx context.Context, buckets ...Bucket) error {
	wait, err := l.Attempts.Begin(ctx, buckets)
	if err != nil {
		return fmt.Errorf("counting letters: %w", err)
	}
	if wait > 0 {
		return &LimitError{RetryAfter: wait}
	}
	return nil
}

// Recover has a link to choose another password sent to an address, if it is one of an account. It does the same for any
// other address, so that neither the answer nor the time it takes tells whether there is an account: that is looked up in
// the background. from is where the request comes from.
func (l *Lifecycle) Recover(ctx context.Context, email, from string) error {
	if !l.Mail {
		return ErrNoMail
	}
	who := digest(EmailKey(email))
	err := l.count(ctx,
		Bucket{Name: "letters:address:" + who, Limit: lettersPerAccount, Window: letterWindow},
		Bucket{Name: "letters:network:" + Network(from), Limit: lettersPerNetwork, Window: letterWindow},
		Bucket{Name: "letters:all", Limit: lettersInAll, Window: letterWindow},
	)
	if err != nil {
		return err
	}
	// The id is the address's: asking again before the first is worked off adds nothing.
	return l.send(ctx, Post{Letters: []Letter{{ID: "rcv_" + who, Kind: RecoveryRequest, Address: email, Created: l.Now()}}})
}

// Recovery is what a RecoveryRequest becomes once the account is known.
func (l *Lifecycle) Recovery(user *User) Post { return l.post(user, Reset, ResetLetter, user.Email) }

// Redeemable returns the account that a link would change, if it is good for one of the purposes. It changes nothing: a
// program that follows every link in a mail does not use it up. It is ErrTicketOver for any other.
func (l *Lifecycle) Redeemable(ctx context.Context, secret string, purposes ...Purpose) (Ticket, User, error) {
	ticket, user, err := l.Tickets.Ticket(ctx, hashSecret(secret), l.Now())
	if err != nil {
		return Ticket{}, User{}, fmt.Errorf("looking up a link: %w", err)
	}
	for _, purpose := range purposes {
		if ticket.Purpose == purpose {
			return ticket, user, nil
		}
	}
	return Ticket{}, User{}, ErrTicketOver
}

// ChoosePassword sets the password that somebody chose who was sent a link for it. Every session, grant and token of the
// account ends, and every count of failed attempts. A *password.WeakError says what is wrong with the password; the link
// then stays good.
func (l *Lifecycle) ChoosePassword(ctx context.Context, secret, chosen string) error {
	ticket, user, err := l.Redeemable(ctx, secret, Invitation, Reset)
	if err != nil {
		return err
	}
	hash, err := l.hash(ctx, &user, chosen)
	if err != nil {
		return err
	}
	var post Post
	if ticket.Purpose == Reset {
		post.Letters = l.notice(&user, PasswordChangedLetter, user.Email)
	}
	now := l.Now()
	ended, err := l.Tickets.RedeemForPassword(ctx, ticket.Hash, hash, post, now, l.TokensGone(now))
	if err != nil {
		return fmt.Errorf("redeeming a link: %w", err)
	}
	l.Ended(ctx, ended)
	l.Posted()
	l.Logger.InfoContext(ctx, "a password was chosen by a link", "subject", user.ID, "purpose", ticket.Purpose)
	return nil
}

func (l *Lifecycle) hash(ctx context.Context, user *User, chosen string) (string, error) {
	if err := l.Policy.Check(chosen, user.Email, user.Name); err != nil {
		return "", err
	}
	hash, err := l.Hasher.Hash(ctx, chosen)
	if errors.Is(err, password.ErrBusy) {
		return "", &LimitError{RetryAfter: time.Second}
	}
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// ConfirmAddress does what a link says that was sent to an address to be proven.
func (l *Lifecycle) ConfirmAddress(ctx context.Context, secret string) (email string, err error) {
	ticket, user, err := l.Redeemable(ctx, secret, Verification, NewAddress)
	if err != nil {
		return "", err
	}
	var post Post
	if ticket.Purpose == NewAddress && user.EmailVerified {
		post.Letters = l.notice(&user, AddressChangedLetter, user.Email)
	}
	if err := l.Tickets.RedeemForAddress(ctx, ticket.Hash, post, l.Now()); err != nil {
		return "", fmt.Errorf("redeeming a link: %w", err)
	}
	l.Posted()
	l.Logger.InfoContext(ctx, "an address was confirmed by a link", "subject", user.ID, "purpose", ticket.Purpose)
	return ticket.Email, nil
}
