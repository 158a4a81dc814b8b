package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// refreshToken is grant id, generation, and a keyed authentication code over both and the grant's secret. Nothing is
// stored for it: any generation can be told authentic, and the successor of one can be computed again.
func (s *Server) refreshToken(g *Grant, generation int64) string {
	number := strconv.FormatInt(generation, 10)
	mac := hmac.New(sha256.New, s.MACKey)
	fmt.Fprintf(mac, "refresh\x00%s\x00%s\x00", g.ID, number)
	mac.Write(g.Secret)
	return g.ID + "." + number + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// splitRefreshToken reads what a refresh token says of itself. It proves nothing.
func splitRefreshToken(token string) (grant string, generation int64, ok bool) {
	if len(token) > 256 || !strings.HasPrefix(token, "grt_") {
		return "", 0, false
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", 0, false
	}
	generation, err := strconv.ParseInt(parts[1], 10, 64)
	return parts[0], generation, err == nil && generation > 0
}

// authenticRefreshToken returns the grant that a refresh token was made for, whatever has become of it, and the
// generation of the token. ErrNotFound if we did not make it.
func (s *Server) authenticRefreshToken(ctx context.Context, token string) (Grant, int64, error) {
	id, generation, ok := splitRefreshToken(token)
	if !ok {
		return Grant{}, 0, ErrNotFound
	}
	g, err := s.Grants.Grant(ctx, id)
	if err != nil {
		return Grant{}, 0, err
	}
	if !hmac.Equal([]byte(s.refreshToken(&g, generation)), []byte(token)) {
		return Grant{}, 0, ErrNotFound
	}
	return g, generation, nil
}

// renewable returns the grant of a refresh token that is authentic and not known to be revoked, and the generation that the
// token is of. Its refusals are Errors.
func (s *Server) renewable(ctx context.Context, token string) (Grant, int64, error) {
	id, _, ok := splitRefreshToken(token)
	if !ok {
		return Grant{}, 0, errInvalidGrant()
	}
	marked, err := s.Marks.MarkedRevoked(ctx, id)
	if err != nil {
		s.Logger.WarnContext(ctx, "the memory of revoked grants cannot be asked; asking the database", "error", err)
	}
	if marked {
		return Grant{}, 0, errInvalidGrant()
	}
	g, generation, err := s.authenticRefreshToken(ctx, token)
	if errors.Is(err, ErrNotFound) {
		return Grant{}, 0, errInvalidGrant()
	}
	if err != nil {
		return Grant{}, 0, fmt.Errorf("looking up a grant: %w", err)
	}
	return g, generation, nil
}

// proveByRefreshToken renews (RFC 6749, section 6).
func (s *Server) proveByRefreshToken(ctx context.Context, client *Client, scopes []string, req TokenRequest) (claim, error) {
	token := req.Form.Get("refresh_token")
	if token == "" {
		return claim{}, refuse(CodeInvalidRequest, "refresh_token is missing")
	}
	g, generation, err := s.renewable(ctx, token)
	if err != nil {
		return claim{}, err
	}
	now := s.Now()
	// Whoever brings it without its key has it from somewhere else, and can do nothing with it, nor to it.
	if g.BoundTo != (Confirmation{}) && g.BoundTo != req.sender.value() {
		return claim{}, errInvalidGrant()
	}
	if g.ClientID != client.ID || !g.Revoked.IsZero() || !now.Before(g.Expires) {
		return claim{}, errInvalidGrant()
	}
	if scopes, err = within(scopes, g.Scopes); err != nil {
		return claim{}, err
	}
	if _, err := g.narrowed(req.resources); err != nil {
		return claim{}, err // before the token is spent
	}
	user, err := s.giver(ctx, &g)
	if err != nil {
		return claim{}, err
	}
	if err := s.consented(ctx, client, &g); err != nil {
		return claim{}, err
	}
	proven := claim{user: &user, scopes: scopes, grant: &g}
	if client.keepsRefreshTokens() && generation == g.Generation {
		proven.refreshToken = token
		return proven, s.inSession(ctx, &g)
	}
	if err := s.rotate(ctx, client, g, generation, req.sender); err != nil {
		return claim{}, err
	}
	proven.refreshToken = s.refreshToken(&g, generation+1)
	return proven, nil
}

// rotate spends generation. One conditional UPDATE decides which of several callers does; the others, when they come within
// graceWindow, with the same DPoP key or certificate, and before the successor is used, get the identical successor. Any other
// spent token ends the family, as one of the two who have it must be a thief.
func (s *Server) rotate(ctx context.Context, client *Client, g Grant, generation int64, sender *Confirmation) error {
	now := s.Now()
	if generation == g.Generation {
		err := s.Grants.Rotate(ctx, g.ID, generation, sender.value(), client.binds(sender), now)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrStale) {
			return fmt.Errorf("rotating a refresh token: %w", err)
		}
		// Somebody else was faster, or the grant has just ended: look again.
		if g, err = s.Grants.Grant(ctx, g.ID); err != nil {
			return fmt.Errorf("looking up a grant again: %w", err)
		}
		if !g.Revoked.IsZero() || generation == g.Generation {
			return errInvalidGrant()
		}
	}
	if generation == g.Generation-1 && now.Before(g.Rotated.Add(graceWindow)) && g.RotatedBy == sender.value() {
		return nil
	}
	s.Logger.WarnContext(ctx, "a spent refresh token was used again; its family is revoked",
		"client_id", client.ID, "subject", g.UserID, "grant", g.ID, "generation", generation, "current", g.Generation)
	if err := s.revokeGrant(ctx, g); err != nil {
		return err
	}
	s.Reused()
	return errInvalidGrant()
}
