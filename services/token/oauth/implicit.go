package oauth

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/realguardio/realguardio/services/token/account"
)

// implicit answers with tokens instead of a code (RFC 6749, section 4.2; OpenID Connect Core, section 3.2). It exists for
// clients that cannot do without yet, one by one. The grant is kept like any other, so that whatever ends a grant ends what
// came of it, but cannot be renewed.
func (s *Server) implicit(ctx context.Context, a *Authorization, client *Client, user *account.User, grant Grant) (Answer, error) {
	s.Logger.WarnContext(ctx, "the implicit grant was used; it is deprecated (RFC 9700, section 2.1.2)",
		"client_id", client.ID, "subject", user.ID, "response_type", a.ResponseType)
	now := s.Now()
	c := claim{user: user, scopes: grant.Scopes, grant: &grant, nonce: a.Nonce}
	if a.ResponseType == ResponseIDToken {
		idToken, err := s.idToken(client, c, "", now)
		if err != nil {
			return Answer{}, err
		}
		return s.answer(a, url.Values{"id_token": {idToken}}), nil
	}
	grant.Expires = now.Add(client.accessTokenLifetime(now))
	if err := s.Grants.OpenGrant(ctx, grant, !client.FirstParty); err != nil {
		return Answer{}, fmt.Errorf("storing a grant: %w", err)
	}
	audience, err := grant.narrowed(nil)
	if err != nil {
		return Answer{}, err
	}
	tokens, err := s.issue(client, c, audience)
	if err != nil {
		return Answer{}, err
	}
	params := url.Values{"access_token": {tokens.AccessToken}, "token_type": {tokens.TokenType},
		"expires_in": {strconv.FormatInt(tokens.ExpiresIn, 10)}, "scope": {tokens.Scope}}
	if a.ResponseType == ResponseIDTokenToken {
		params.Set("id_token", tokens.IDToken)
	}
	return s.answer(a, params), nil
}
