package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/services/token/keys"
)

// Introspection says whether a token is active, and if so what it is (RFC 7662, section 2.2).
type Introspection struct {
	Active bool `json:"active"`
	*AccessClaims
	// TokenType is that of an access token; a refresh token has none.
	TokenType string `json:"token_type,omitempty"`
	// JWT is what is answered in place of all this, where it is not empty.
	JWT string `json:"-"`
}

// Introspect tells a client about a token that was issued to it. A workload, being a resource server, may ask about every
// access token that is for it. Of everything else the answer is no more than "not active".
//
// With asJWT a workload gets an access token that it can pass on to others: of an opaque one the JWT that says the same,
// with the same id, so that whatever ends the one ends the other. Nobody else does: who has opaque tokens is to learn
// nothing from them.
func (s *Server) Introspect(ctx context.Context, cred Credentials, token string, asJWT bool) (Introspection, error) {
	client, err := s.introspector(ctx, cred, token)
	if err != nil {
		return Introspection{}, err
	}
	claims, err := s.readable(ctx, &client, token)
	if err != nil {
		return Introspection{}, err
	}
	if claims != nil {
		said := Introspection{Active: true, AccessClaims: claims, TokenType: claims.Confirmation.tokenType()}
		if asJWT && client.Kind == KindWorkload {
			said.JWT, err = s.jwtForm(&client, token, claims)
		}
		return said, err
	}
	if claims, err = s.introspectRefreshToken(ctx, &client, token); err != nil {
		return Introspection{}, err
	}
	return Introspection{Active: claims != nil, AccessClaims: claims}, nil
}

func (s *Server) jwtForm(client *Client, token string, claims *AccessClaims) (string, error) {
	if !strings.HasPrefix(token, opaquePrefix) {
		return token, nil
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding an access token: %w", err)
	}
	return s.Keys.Sign(client.AccessAlg, keys.TypAccessToken, payload)
}

func (s *Server) introspector(ctx context.Context, cred Credentials, token string) (Client, error) {
	client, err := s.Authenticate(ctx, cred)
	switch {
	case err != nil:
		return Client{}, err
	case client.Public:
		return Client{}, errInvalidClient()
	case token == "":
		return Client{}, refuse(CodeInvalidRequest, "token is missing")
	}
	return client, nil
}

// readable returns the claims of an access token that is valid and that client may read; nil of any other.
func (s *Server) readable(ctx context.Context, client *Client, token string) (*AccessClaims, error) {
	claims, err := s.AccessToken(ctx, token)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeInvalidToken {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !claims.issuedTo(client) && !claims.isFor(client) {
		return nil, nil
	}
	return &claims, nil
}

// issuedTo tells whether a client got the token: for a grant, or in exchange for another.
func (c *AccessClaims) issuedTo(client *Client) bool {
	return c.ClientID == client.ID || c.Act != nil && c.Act.Subject == client.ID
}

// isFor tells whether a client is a resource server that the token is for.
func (c *AccessClaims) isFor(client *Client) bool {
	return client.Kind == KindWorkload &&
		(slices.Contains(c.Audience, AudienceAPI) || slices.Contains(c.Audience, "urn:realguardio:"+client.ID))
}

// introspectRefreshToken returns what can be said of a refresh token that its client could use now; nil of any other. To
// ask spends nothing.
func (s *Server) introspectRefreshToken(ctx context.Context, client *Client, token string) (*AccessClaims, error) {
	g, generation, err := s.authenticRefreshToken(ctx, token)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a grant: %w", err)
	}
	if g.ClientID != client.ID || generation != g.Generation || !g.Revoked.IsZero() || !s.Now().Before(g.Expires) {
		return nil, nil
	}
	_, err = s.grantor(ctx, &g)
	if err == nil {
		err = s.consented(ctx, client, &g)
	}
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeInvalidGrant {
			return nil, nil
		}
		return nil, err
	}
	return &AccessClaims{
		Issuer: s.Issuer, Subject: g.UserID, ClientID: g.ClientID, Scope: strings.Join(g.Scopes, " "), SessionID: g.SessionID, GrantID: g.ID,
		IssuedAt: g.Rotated.Unix(), Expiry: g.Expires.Unix(), Confirmation: g.BoundTo.told(),
	}, nil
}
