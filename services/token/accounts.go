package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/letters"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/password"
	"github.com/realguardio/realguardio/services/token/password/breached"
)

// openAccounts composes what becomes of accounts, and who takes letters to people.
func (s *Service) openAccounts(cfg Config, authenticator *account.Authenticator) (err error) {
	var lists []password.List
	if cfg.BreachedPasswords != "" {
		if s.breached, err = breached.Open(cfg.BreachedPasswords); err != nil {
			return err
		}
		lists = append(lists, s.breached)
	}
	s.policy = password.NewPolicy(lists...)
	s.accounts, err = account.NewLifecycle(account.LifecycleConfig{
		People: s.store, Tickets: s.store, Attempts: s.redis, Authenticator: authenticator, Hasher: s.hasher, Policy: s.policy,
		MACKey: cfg.TokenMACKey, Issuer: cfg.Issuer, Mail: cfg.Mail != nil,
		Posted: func() {
			if s.postman != nil {
				s.postman.Nudge()
			}
		},
		Ended: s.oauth.Ended, TokensGone: func(now time.Time) time.Time { return now.Add(oauth.TokensLive) }, Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil || cfg.Mail == nil {
		return err
	}
	sender, err := mail.New(*cfg.Mail)
	if err != nil {
		return err
	}
	s.postman, err = letters.New(letters.Config{
		Store: s.store, Accounts: s.accounts, Sender: sender, Issuer: cfg.Issuer, Logger: cfg.Logger, Now: cfg.Now,
	})
	return err
}

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
