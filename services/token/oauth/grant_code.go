package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// Code is what an authorization code stands for (RFC 6749, section 4.1). The code itself is a random number, of which
// only the hash is kept.
type Code struct {
	ClientID string
	// RedirectURI is what the authorization request said; empty if it left it out.
	RedirectURI string
	// Challenge is the PKCE S256 challenge (RFC 7636); empty without.
	Challenge string
	// JKT is the thumbprint of the DPoP key that alone may redeem it (RFC 9449, section 10); empty for any.
	JKT   string
	Nonce string
	// Grant is the grant that comes of the code. It has its id from the beginning, so that a replay knows what to
	// revoke even before there is anything.
	Grant   Grant
	Expires time.Time
}

// remains is what is kept of a code that was used: enough to revoke what came of it.
func (c *Code) remains() Code {
	g := &c.Grant
	return Code{ClientID: c.ClientID, Expires: c.Expires, Grant: Grant{
		ID: g.ID, ClientID: g.ClientID, UserID: g.UserID, SessionID: g.SessionID, Created: g.Created, Expires: g.Expires,
	}}
}

func hashCode(code string) string {
	sum := sha256.Sum256([]byte(code))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// proveByCode redeems an authorization code. A code that was taken already ends what had come of it, whether that was a
// month ago or is happening at this moment.
func (s *Server) proveByCode(ctx context.Context, client *Client, _ []string, req TokenRequest) (claim, error) {
	raw := req.Form.Get("code")
	if raw == "" {
		return claim{}, refuse(CodeInvalidRequest, "code is missing")
	}
	hash := hashCode(raw)
	code, taken, err := s.Codes.Code(ctx, hash)
	if errors.Is(err, ErrNotFound) {
		return claim{}, errInvalidGrant()
	}
	if err != nil {
		return claim{}, fmt.Errorf("looking up a code: %w", err)
	}
	// Only its own client can do anything to a code, so that another one that saw it cannot end the grant.
	if code.ClientID != client.ID {
		return claim{}, errInvalidGrant()
	}
	if taken {
		return claim{}, s.codeReplayed(ctx, client, code)
	}
	if !s.Now().Before(code.Expires) || code.RedirectURI != req.Form.Get("redirect_uri") ||
		!challengeMet(code.Challenge, req.Form.Get("code_verifier")) || code.JKT != "" && code.JKT != req.sender.value().JKT {
		return claim{}, errInvalidGrant()
	}
	if _, err := code.Grant.narrowed(req.resources); err != nil {
		return claim{}, err // before the code is spent
	}
	first, err := s.Codes.TakeCode(ctx, hash, code.remains(), grantLifetime)
	if errors.Is(err, ErrNotFound) {
		return claim{}, errInvalidGrant()
	}
	if err != nil {
		return claim{}, fmt.Errorf("taking a code: %w", err)
	}
	if !first {
		return claim{}, s.codeReplayed(ctx, client, code)
	}
	user, err := s.grantor(ctx, &code.Grant)
	if err != nil {
		return claim{}, err
	}
	proven, err := s.open(ctx, client, &user, code.Grant, req.sender)
	proven.nonce = code.Nonce
	return proven, err
}

func (s *Server) codeReplayed(ctx context.Context, client *Client, code Code) error {
	s.Logger.WarnContext(ctx, "a code was used twice; its grant is revoked",
		"client_id", client.ID, "subject", code.Grant.UserID, "grant", code.Grant.ID)
	if err := s.revokeGrant(ctx, code.Grant); err != nil {
		return err
	}
	return errInvalidGrant()
}

// challengeMet compares a PKCE verifier with the challenge of the authorization request. One without the other is a
// failure too: otherwise a code could be used with the proof taken away (RFC 9700, section 4.8.2).
func challengeMet(challenge, verifier string) bool {
	if challenge == "" || verifier == "" {
		return challenge == "" && verifier == ""
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// grantor returns the person who gave a grant, if they and the login session they gave it in are still there.
func (s *Server) grantor(ctx context.Context, g *Grant) (account.User, error) {
	user, err := s.giver(ctx, g)
	if err != nil {
		return account.User{}, err
	}
	return user, s.inSession(ctx, g)
}

// inSession refuses a grant whose login session has ended.
func (s *Server) inSession(ctx context.Context, g *Grant) error {
	if g.SessionID == "" {
		return nil
	}
	session, err := s.Accounts.Session(ctx, g.SessionID)
	if errors.Is(err, account.ErrNotFound) || err == nil && !session.Ended.IsZero() {
		return errInvalidGrant()
	}
	if err != nil {
		return fmt.Errorf("looking up the session of a grant: %w", err)
	}
	return nil
}

// giver is grantor for a grant that was in force when it was read, and so its session was: who ends a session ends what was
// given in it. A grant that is opened at that moment is caught by Rotate, or by inSession.
func (s *Server) giver(ctx context.Context, g *Grant) (account.User, error) {
	user, err := s.Accounts.User(ctx, g.UserID)
	if errors.Is(err, account.ErrNotFound) {
		return account.User{}, errInvalidGrant()
	}
	if err != nil {
		return account.User{}, fmt.Errorf("looking up who gave a grant: %w", err)
	}
	if user.Disabled || !s.sameEpoch(ctx, g, &user) {
		return account.User{}, errInvalidGrant()
	}
	return user, nil
}

// sameEpoch tells whether a grant is of the person's epoch. One that was read before the epoch was raised may have been
// taken along since, and is looked at again.
func (s *Server) sameEpoch(ctx context.Context, g *Grant, user *account.User) bool {
	if user.Epoch == g.UserEpoch {
		return true
	}
	now, err := s.Grants.Grant(ctx, g.ID)
	return err == nil && now.UserEpoch == user.Epoch
}
