package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// ErrNoAccount says that nobody has an account with an address.
var ErrNoAccount = errors.New("token: no account with this address")

// PasswordLink returns a link by which the person with this address chooses a password, and until when it is good. It is
// for operators: whoever has the link can sign in as that person.
func (s *Service) PasswordLink(ctx context.Context, email string) (url string, expires time.Time, err error) {
	user, err := s.store.UserByEmail(ctx, email)
	if errors.Is(err, account.ErrNotFound) {
		return "", time.Time{}, ErrNoAccount
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("making a link: %w", err)
	}
	return s.accounts.PasswordLink(ctx, user)
}
