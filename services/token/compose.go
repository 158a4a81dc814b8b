package token

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/backchannel"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/letters"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/password"
	"github.com/realguardio/realguardio/services/token/password/breached"
	"github.com/realguardio/realguardio/services/token/upstream"
	"github.com/realguardio/realguardio/services/token/web"
)

// openCore composes what signs and what decides, and returns who checks passwords.
func (s *Service) openCore(ctx context.Context, cfg Config, counters *metrics) (authenticator *account.Authenticator, err error) {
	s.ring, err = keys.Open(ctx, keys.Config{
		Store: s.store, KEKs: append([][]byte{cfg.Keys.Encryption}, cfg.Keys.OldEncryption...), Lifetime: cfg.Keys.SigningLifetime,
		TokensLive: oauth.TokensLive, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	authenticator, err = account.NewAuthenticator(account.Config{
		Users: s.store, Attempts: s.redis, Hasher: s.hasher, MACKey: cfg.Keys.MAC, Refused: s.refused, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	proofs, err := newProofs(cfg, s.redis)
	if err != nil {
		return nil, err
	}
	s.oauth, err = oauth.New(oauth.Config{
		Issuer: cfg.Issuer, MACKey: cfg.Keys.MAC, Clients: s.store, Accounts: s.store, Grants: s.store, Consents: s.store,
		Codes: s.redis, Devices: s.redis, Pushes: s.redis, Assertions: s.redis, Attempts: s.redis, Marks: s.redis, Revocations: s.store,
		Passwords: authenticator, Keys: s.ring, Proofs: proofs, ClientAuthorities: cfg.MutualTLS.Authorities,
		Reused: counters.reused.Inc, KeyUsed: s.usage.Used, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.logouts = backchannel.New(backchannel.Config{
		Store: s.store, Issuer: s.oauth, Roots: cfg.LogoutRoots, Poll: cfg.Intervals.RevocationPoll, Counted: counters.told, Logger: cfg.Logger, Now: cfg.Now,
	})
	return authenticator, nil
}

// openAccounts composes what becomes of accounts, and who takes letters to people.
func (s *Service) openAccounts(cfg Config, authenticator *account.Authenticator) (err error) {
	var lists []password.List
	if cfg.Passwords.Breached != "" {
		if s.breached, err = breached.Open(cfg.Passwords.Breached); err != nil {
			return err
		}
		lists = append(lists, s.breached)
	}
	s.policy = password.NewPolicy(lists...)
	s.accounts, err = account.NewLifecycle(account.LifecycleConfig{
		People: s.store, Tickets: s.store, Attempts: s.redis, Authenticator: authenticator, Hasher: s.hasher, Policy: s.policy,
		MACKey: cfg.Keys.MAC, Issuer: cfg.Issuer, Mail: cfg.Mail != nil,
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
		Store: s.store, Accounts: s.accounts, Sender: sender, Issuer: cfg.Issuer, Tracer: cfg.Tracer, Logger: cfg.Logger, Now: cfg.Now,
	})
	return err
}

// openPages composes what answers over HTTP.
func (s *Service) openPages(cfg Config, authenticator *account.Authenticator, counters *metrics) error {
	upstreams, err := upstream.New(upstream.Config{
		Providers: cfg.Upstreams.Providers, Issuer: cfg.Issuer, Plaintext: cfg.Upstreams.AllowPlaintext, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	s.handlers, err = web.New(web.Config{
		OAuth: s.oauth, Passwords: authenticator, Sessions: s.store, Transactions: s.redis, Attempts: s.redis, Clients: s.store,
		Recovery: s.accounts, Mail: cfg.Mail != nil, Home: cfg.Home, Own: s.store, OwnPassword: s.accounts,
		Upstreams: upstreams, Federation: &account.Federation{Identities: s.store, Lifecycle: s.accounts, Now: cfg.Now, Logger: cfg.Logger},
		Record: s.store.Record, Counters: counters, JWKS: s.ring.JWKS, GrantInUse: s.deprecated.inUse, Origin: s.origins.Has,
		MutualTLS: web.MutualTLS{Origin: cfg.MutualTLS.Origin, Authorities: cfg.MutualTLS.Authorities != nil, Proxies: cfg.MutualTLS.Proxies},
		Address:   cfg.ClientAddress, Tracer: cfg.Tracer, Logger: cfg.Logger, Now: cfg.Now,
	})
	return err
}
