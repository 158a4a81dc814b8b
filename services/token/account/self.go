package account

import (
	"context"
	"fmt"
)

// Proof is what somebody who is signed in gives to show that it is still them.
type Proof struct {
	UserID string
	// SessionID is the login session they act in; empty without one.
	SessionID string
	Password  string
}

// ChangePassword gives somebody who knows the password another one. Every login session but theirs ends, with its grants,
// and all tokens. It is ErrRefused for the wrong password, a *LimitError after too many, and a *password.WeakError for a
// new one that is no good.
func (l *Lifecycle) ChangePassword(ctx context.Context, p Proof, chosen string) error {
	user, err := l.confirm(ctx, p)
	if err != nil {
		return err
	}
	hash, err := l.hash(ctx, &user, chosen)
	if err != nil {
		return err
	}
	post := Post{Letters: l.notice(&user, PasswordChangedLetter, user.Email)}
	now := l.Now()
	ended, err := l.People.SetPassword(ctx, user, hash, p.SessionID, post, now, l.TokensGone(now))
	if err != nil {
		return fmt.Errorf("changing a password: %w", err)
	}
	l.Ended(ctx, ended)
	l.Posted()
	l.Logger.InfoContext(ctx, "password changed", "subject", user.ID)
	return nil
}

// ChangeEmail sends a link to another address, which the account has once somebody there has followed it, and tells the
// one of before. Whether another account has the address shows only there.
func (l *Lifecycle) ChangeEmail(ctx context.Context, p Proof, email string) error {
	if !l.Mail {
		return ErrNoMail
	}
	user, err := l.confirm(ctx, p)
	if err != nil {
		return err
	}
	if EmailKey(email) == EmailKey(user.Email) {
		return nil
	}
	if err := l.limited(ctx, user.ID); err != nil {
		return err
	}
	post := l.post(&user, NewAddress, NewAddressLetter, email)
	post.Letters = append(post.Letters, l.notice(&user, AddressAskedLetter, user.Email)...)
	return l.send(ctx, post)
}

// VerifyEmail sends a link to the address of an account, unless it is verified.
func (l *Lifecycle) VerifyEmail(ctx context.Context, id string) error {
	if !l.Mail {
		return ErrNoMail
	}
	user, err := l.People.User(ctx, id)
	if err != nil {
		return fmt.Errorf("looking up an account: %w", err)
	}
	if user.EmailVerified {
		return nil
	}
	if err := l.limited(ctx, user.ID); err != nil {
		return err
	}
	return l.send(ctx, l.post(&user, Verification, VerificationLetter, user.Email))
}

func (l *Lifecycle) confirm(ctx context.Context, p Proof) (User, error) {
	user, err := l.People.User(ctx, p.UserID)
	if err != nil {
		return User{}, fmt.Errorf("looking up an account: %w", err)
	}
	if user.Disabled {
		return User{}, ErrDisabled
	}
	return user, l.Authenticator.Confirm(ctx, user, p.SessionID, p.Password)
}
