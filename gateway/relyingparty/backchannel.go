package relyingparty

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// Revocations tells which identities ended before their time.
type Revocations interface {
	Revoked(mesh.Identity) bool
}

// Logout is what a logout token says.
type Logout struct {
	// ID is the token's own, by which it is known when it comes again.
	ID string
	// SessionID is the login session that is over; empty: all of Subject's are.
	Subject, SessionID string
	Expiry             time.Time
}

// maxLogoutLife bounds how long a logout token has to be remembered.
const maxLogoutLife = 24 * time.Hour

// LogoutToken verifies a logout token (OpenID Connect Back-Channel Logout, section 2.6). That it comes for the first time is
// for the caller to find out.
func (p *Party) LogoutToken(ctx context.Context, raw string) (Logout, error) {
	pr, err := p.ready()
	if err != nil {
		return Logout{}, err
	}
	if err := p.checkLogoutHeader(raw); err != nil {
		return Logout{}, err
	}
	token, err := pr.verifier.VerifyLogout(p.client(ctx), raw)
	if err != nil {
		return Logout{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	now := p.cfg.Now()
	if token.IssuedAt.IsZero() || token.IssuedAt.After(now.Add(p.cfg.Leeway)) || token.Expiry.After(now.Add(maxLogoutLife)) {
		return Logout{}, fmt.Errorf("%w: a logout token of another time", ErrForged)
	}
	person, err := p.person(token)
	if err != nil {
		return Logout{}, err
	}
	return Logout{ID: token.TokenID, Subject: person.Subject, SessionID: person.SessionID, Expiry: token.Expiry.Add(p.cfg.Leeway)}, nil
}

// checkLogoutHeader refuses tokens of other types, where a type is given, and keys that were stolen: whoever has one can sign
// anything, and the provider's keys are cached.
func (p *Party) checkLogoutHeader(raw string) error {
	encoded, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	var header struct {
		Type  string `json:"typ"`
		KeyID string `json:"kid"`
	}
	if err != nil || json.Unmarshal(decoded, &header) != nil {
		return fmt.Errorf("%w: not a token", ErrForged)
	}
	typ := strings.TrimPrefix(strings.ToLower(header.Type), "application/")
	if !slices.Contains([]string{"", "jwt", "logout+jwt"}, typ) {
		return fmt.Errorf("%w: a token of another type", ErrForged)
	}
	if p.cfg.Revocations != nil && p.cfg.Revocations.Revoked(mesh.Identity{KeyID: p.claims.Qualify(header.KeyID)}) {
		return fmt.Errorf("%w: the key was revoked", ErrForged)
	}
	return nil
}
