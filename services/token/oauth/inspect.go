package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
)

// errInvalidToken does not say what was wrong with a token.
func errInvalidToken() error {
	return refuse(CodeInvalidToken, "the access token is invalid, expired or revoked")
}

// AccessToken returns the claims of an access token that we issued and that is valid now, the revocations included.
func (s *Server) AccessToken(ctx context.Context, token string) (AccessClaims, error) {
	claims, ok := s.parseAccessToken(token)
	if !ok || claims.Expiry <= s.Now().Unix() {
		return AccessClaims{}, errInvalidToken()
	}
	revoked, err := s.Revocations.Revoked(ctx, revocationsOf(&claims))
	if err != nil {
		return AccessClaims{}, fmt.Errorf("looking up revocations: %w", err)
	}
	if revoked {
		return AccessClaims{}, errInvalidToken()
	}
	return claims, nil
}

func (s *Server) parseAccessToken(token string) (claims AccessClaims, ok bool) {
	var payload []byte
	var err error
	if strings.HasPrefix(token, opaquePrefix) {
		payload, err = s.opaque.open(token)
	} else {
		payload, err = s.Keys.Verify(keys.TypAccessToken, token)
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Issuer != s.Issuer {
		return AccessClaims{}, false
	}
	claims.keyID = keys.IDOf(token)
	return claims, true
}

// UserInfo tells about the person a token speaks for, as they are now (OpenID Connect Core, section 5.3).
func (s *Server) UserInfo(ctx context.Context, p Presented) (PersonClaims, error) {
	claims, err := s.presented(ctx, p)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(claims.Audience, AudienceAPI) && !slices.Contains(claims.Audience, audienceToken) {
		return nil, errInvalidToken() // it was narrowed to somebody else, who shall not use it here
	}
	if !claims.HasScope(ScopeOpenID) || claims.Caller != "user" {
		return nil, refuse(CodeInsufficientScope, "the access token was not issued with the scope openid")
	}
	user, err := s.Accounts.User(ctx, claims.Subject)
	if errors.Is(err, account.ErrNotFound) || err == nil && (user.Disabled || user.Epoch > claims.Epoch) {
		return nil, errInvalidToken()
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a user: %w", err)
	}
	names, err := s.askedByName(ctx, &claims)
	if err != nil {
		return nil, err
	}
	return personClaims(&user, parseScopes(claims.Scope), names), nil
}

// askedByName are the claims that the client of a token asked for one by one. Who acts for that client by a token of their own,
// which they got in exchange, did not ask.
func (s *Server) askedByName(ctx context.Context, claims *AccessClaims) ([]string, error) {
	if claims.GrantID == "" || claims.Act != nil {
		return nil, nil
	}
	grant, err := s.Grants.Grant(ctx, claims.GrantID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("looking up a grant: %w", err)
	}
	return grant.UserInfoClaims, nil
}

// Hint is what an ID token says that was given back as an id_token_hint.
type Hint struct {
	Subject   string
	ClientID  string
	SessionID string
}

// IDTokenHint reads an ID token that we issued, expired or not: a hint is no credential.
func (s *Server) IDTokenHint(token string) (Hint, error) {
	payload, err := s.Keys.Verify(keys.TypIDToken, token)
	if err != nil {
		return Hint{}, refuse(CodeInvalidRequest, "id_token_hint is not an ID token of this issuer")
	}
	var claims struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		SessionID string `json:"sid"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Issuer != s.Issuer {
		return Hint{}, refuse(CodeInvalidRequest, "id_token_hint is not an ID token of this issuer")
	}
	return Hint{Subject: claims.Subject, ClientID: claims.Audience, SessionID: claims.SessionID}, nil
}
