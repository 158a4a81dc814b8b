package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// Grant is what a person has allowed a client: the refresh family (RFC 9700, section 4.14.2). Every token issued under
// it carries its id in the claim "gid".
type Grant struct {
	ID       string
	ClientID string
	UserID   string
	// SessionID is the login session in which it was given; empty for the password grant.
	SessionID string
	Scopes    []string
	// Audience bounds that of its tokens (RFC 8707, section 2.2); empty: the whole API.
	Audience []string
	// UserInfoClaims and IDTokenClaims were asked for one by one, besides what the scopes say (OpenID Connect Core,
	// section 5.5).
	UserInfoClaims, IDTokenClaims []string
	AuthTime                      time.Time
	// Methods are how the person proved who they are: see account.Session.
	Methods []string
	// UserEpoch is the person's epoch when it was given; when that is raised, the grant is over.
	UserEpoch int64
	// Secret enters the refresh tokens' authentication codes, so that ids and generations alone do not make them.
	Secret []byte
	// Generation numbers the refresh tokens of the family, from 1; Rotated is when the current one was made.
	Generation int64
	Rotated    time.Time
	// BoundTo is the key that who renews must prove; zero for none.
	BoundTo Confirmation
	// RotatedBy is the key that was proven by who got the current refresh token for the one before; zero for none.
	RotatedBy Confirmation
	Created   time.Time
	Expires   time.Time
	// Revoked is zero while the grant lives.
	Revoked time.Time
}

func newGrant(client *Client, user *account.User, scopes []string, now time.Time) Grant {
	secret := make([]byte, 16)
	rand.Read(secret)
	return Grant{
		ID:         resourceid.New("grt"),
		ClientID:   client.ID,
		UserID:     user.ID,
		Scopes:     scopes,
		UserEpoch:  user.Epoch,
		Secret:     secret,
		Generation: 1,
		Rotated:    now,
		Created:    now,
		Expires:    now.Add(client.refreshTokenLifetime()),
	}
}

// open stores a new grant and claims its tokens, for a request that has proven a key if sender is not nil.
//
// When a code is used twice at once, the replay may have revoked the grant before this stores it. It then stays revoked:
// this caller, who was first, is answered, with tokens that no one accepts.
func (s *Server) open(ctx context.Context, client *Client, user *account.User, grant Grant, sender *Confirmation) (claim, error) {
	grant.BoundTo = client.binds(sender)
	if err := s.consented(ctx, client, &grant); err != nil {
		return claim{}, err
	}
	err := s.Grants.OpenGrant(ctx, grant, !client.FirstParty)
	if errors.Is(err, ErrStale) {
		return claim{}, errInvalidGrant()
	}
	if err != nil {
		return claim{}, fmt.Errorf("storing a grant: %w", err)
	}
	c := claim{user: user, scopes: grant.Scopes, grant: &grant}
	if client.renews(&grant) {
		c.refreshToken = s.refreshToken(&grant, grant.Generation)
	}
	return c, nil
}

// consented refuses somebody else's application a grant that no consent covers: it was given while the application was one of
// our own. Who brings a person's password is believed to act for them.
func (s *Server) consented(ctx context.Context, client *Client, g *Grant) error {
	if client.FirstParty || g.SessionID == "" {
		return nil
	}
	given, err := s.Consents.Consent(ctx, g.UserID, client.ID)
	if err != nil {
		return fmt.Errorf("looking up a consent: %w", err)
	}
	if !covers(given, ToAllow(g.Scopes)) {
		return errInvalidGrant()
	}
	return nil
}

// revokeGrant ends a grant and all its tokens: durably, then in the fast memory. The second may fail.
func (s *Server) revokeGrant(ctx context.Context, g Grant) error {
	now := s.Now()
	if err := s.Grants.RevokeGrant(ctx, g, now, tokensGone(now)); err != nil {
		return fmt.Errorf("revoking a grant: %w", err)
	}
	s.mark(ctx, []string{g.ID})
	return nil
}

func (s *Server) mark(ctx context.Context, grants []string) {
	if len(grants) == 0 {
		return
	}
	if err := s.Marks.MarkRevoked(ctx, grants, grantLifetime); err != nil {
		s.Logger.WarnContext(ctx, "revoked grants could not be marked; the database still refuses them", "error", err)
	}
}

// tokensGone is until when a revocation must be remembered: one that was forgotten sooner would bring tokens back to life.
func tokensGone(now time.Time) time.Time { return now.Add(TokensLive) }

// RevokeConsent takes back what a person has allowed a client, with every grant and token that it has of them.
func (s *Server) RevokeConsent(ctx context.Context, user, client string) error {
	now := s.Now()
	grants, err := s.Consents.RevokeConsent(ctx, user, client, now, tokensGone(now))
	if err != nil {
		return fmt.Errorf("revoking a consent: %w", err)
	}
	s.mark(ctx, grants)
	return nil
}

// EndSession ends a login session with every grant and token that came of it.
func (s *Server) EndSession(ctx context.Context, id string) error {
	now := s.Now()
	grants, err := s.Accounts.EndSession(ctx, id, now, tokensGone(now))
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	s.mark(ctx, grants)
	return nil
}

// EndSessionOf is EndSession for a session of that person's. It returns account.ErrNotFound for any other.
func (s *Server) EndSessionOf(ctx context.Context, userID, id string) error {
	session, err := s.Accounts.Session(ctx, id)
	if err == nil && session.UserID != userID {
		err = account.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("looking up a session: %w", err)
	}
	return s.EndSession(ctx, id)
}

// SignOutUser ends every login session of a person, with every grant and token, and every other grant and token of
// theirs. The session exceptSession, unless empty, is kept with its grants: what was issued under them has to be renewed.
// It returns account.ErrNotFound for nobody.
func (s *Server) SignOutUser(ctx context.Context, userID, exceptSession string) error {
	now := s.Now()
	ended, err := s.Accounts.SignOutUser(ctx, userID, exceptSession, now, tokensGone(now))
	if err != nil {
		return fmt.Errorf("signing a person out: %w", err)
	}
	s.Ended(ctx, ended)
	return nil
}

// Ended does what is left to do once a store has durably ended sessions and grants.
func (s *Server) Ended(ctx context.Context, ended account.Ended) { s.mark(ctx, ended.Grants) }

// DisableClient ends a client with every grant and token it has.
func (s *Server) DisableClient(ctx context.Context, id string) error {
	now := s.Now()
	grants, err := s.Clients.DisableClient(ctx, id, now, tokensGone(now))
	if err != nil {
		return fmt.Errorf("disabling a client: %w", err)
	}
	s.mark(ctx, grants)
	return nil
}

// revocationsOf are the entries each of which ends a token.
func revocationsOf(c *AccessClaims) []revocation.Entry {
	entries := []revocation.Entry{
		{Kind: revocation.Token, Value: c.TokenID},
		{Kind: revocation.Session, Value: c.SessionID},
		{Kind: revocation.Grant, Value: c.GrantID},
		{Kind: revocation.Subject, Value: c.Subject, BelowEpoch: c.Epoch},
		{Kind: revocation.Client, Value: c.ClientID},
		{Kind: revocation.Key, Value: c.keyID},
	}
	for actor := c.Act; actor != nil; actor = actor.Act {
		entries = append(entries, revocation.Entry{Kind: revocation.Client, Value: actor.Subject})
	}
	for _, origin := range c.DerivedFrom {
		entries = append(entries, revocation.Entry{Kind: revocation.Token, Value: origin})
	}
	for _, key := range c.DerivedKeys {
		entries = append(entries, revocation.Entry{Kind: revocation.Key, Value: key})
	}
	return entries
}
