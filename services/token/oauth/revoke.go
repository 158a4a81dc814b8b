package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/token/revocation"
)

// Revoke ends a token at the request of the client it was issued to (RFC 7009): an access token alone, a refresh token
// with its whole family. A token that is not the client's, or none at all, changes nothing and is no error.
func (s *Server) Revoke(ctx context.Context, cred Credentials, token string) error {
	client, err := s.Authenticate(ctx, cred)
	if err != nil {
		return err
	}
	if token == "" {
		return refuse(CodeInvalidRequest, "token is missing")
	}
	if claims, ok := s.parseAccessToken(token); ok {
		return s.revokeAccessToken(ctx, &client, &claims)
	}
	g, _, err := s.authenticRefreshToken(ctx, token)
	if errors.Is(err, ErrNotFound) || err == nil && (g.ClientID != client.ID || !g.Revoked.IsZero()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up a grant: %w", err)
	}
	return s.revokeGrant(ctx, g)
}

func (s *Server) revokeAccessToken(ctx context.Context, client *Client, claims *AccessClaims) error {
	now, expiry := s.Now(), time.Unix(claims.Expiry, 0)
	if !claims.issuedTo(client) || !now.Before(expiry) {
		return nil
	}
	entry := revocation.Entry{Kind: revocation.Token, Value: claims.TokenID, Expires: expiry.Add(clockLeeway)}
	if err := s.Revocations.Revoke(ctx, entry, now); err != nil {
		return fmt.Errorf("revoking an access token: %w", err)
	}
	return nil
}
