package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// TokenTypeAccess is the one type of token that is exchanged, and exchanged for (RFC 8693, section 3).
const TokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"

// maxActors bounds how often a token can be exchanged for another one.
const maxActors = 4

// Actor is who acts for the subject of a token, and who did before (RFC 8693, section 4.1).
type Actor struct {
	Subject string `json:"sub"`
	Act     *Actor `json:"act,omitempty"`
}

func (a *Actor) length() int {
	n := 0
	for ; a != nil; a = a.Act {
		n++
	}
	return n
}

// errSubjectToken does not say what was wrong with a token that is to be exchanged (RFC 8693, section 2.2.2).
func errSubjectToken() error {
	return refuse(CodeInvalidRequest, "the subject_token is invalid, expired, revoked, or not for this client")
}

// proveByExchange gives a token for another one (RFC 8693): one that may do no more, for no longer, and ends with it.
//
// It stays the token of the client that the person allowed, and of their session and grant: whatever ends one of those
// ends it, too. Who exchanges is the actor.
func (s *Server) proveByExchange(ctx context.Context, client *Client, scopes []string, req TokenRequest) (claim, error) {
	if err := checkExchange(req); err != nil {
		return claim{}, err
	}
	subject, err := s.AccessToken(ctx, req.Form.Get("subject_token"))
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeInvalidToken {
		return claim{}, errSubjectToken()
	}
	if err != nil {
		return claim{}, err
	}
	if subject.Confirmation != nil {
		return claim{}, errSubjectToken() // who brings it has not proven to hold its key
	}
	// A part's own token is tied to its certificate, and is of no use to others.
	if !subject.issuedTo(client) && !subject.isFor(client) || subject.Caller == "workload" {
		return claim{}, errSubjectToken()
	}
	holder, err := s.holder(ctx, &subject)
	if err != nil {
		return claim{}, err
	}
	if subject.Act.length() >= maxActors {
		return claim{}, refuse(CodeInvalidRequest, "the subject_token was exchanged too often")
	}
	derived, err := subject.narrowed(&holder, scopes, req)
	if err != nil {
		return claim{}, err
	}
	now := s.Now()
	derived.TokenID, derived.IssuedAt = rand.Text(), now.Unix()
	derived.Expiry = min(subject.Expiry, now.Add(client.accessTokenLifetime(now)).Unix())
	derived.Act = &Actor{Subject: client.ID, Act: subject.Act}
	derived.DerivedFrom = append([]string{subject.TokenID}, subject.DerivedFrom...)
	if subject.keyID != "" && !slices.Contains(subject.DerivedKeys, subject.keyID) { // an opaque token is signed by none
		derived.DerivedKeys = append([]string{subject.keyID}, subject.DerivedKeys...)
	}
	return claim{exchanged: &derived}, nil
}

func checkExchange(req TokenRequest) error {
	switch requested := req.Form.Get("requested_token_type"); {
	case req.Form.Get("subject_token") == "":
		return refuse(CodeInvalidRequest, "subject_token is missing")
	case req.Form.Get("subject_token_type") != TokenTypeAccess:
		return refuse(CodeInvalidRequest, "subject_token_type must be that of an access token")
	case requested != "" && requested != TokenTypeAccess:
		return refuse(CodeInvalidRequest, "requested_token_type must be that of an access token")
	case req.Form.Has("actor_token") || req.Form.Has("actor_token_type"):
		// Nobody is registered to act for somebody else than themselves.
		return refuse(CodeInvalidRequest, "actor_token is not supported: the client that exchanges is the actor")
	}
	return nil
}

// holder returns the client that a token was issued to, if that and the person are still there as the token knew them.
func (s *Server) holder(ctx context.Context, c *AccessClaims) (Client, error) {
	client, err := s.Clients.Client(ctx, c.ClientID)
	if errors.Is(err, ErrNotFound) || err == nil && !client.Live(s.Now()) {
		return Client{}, errSubjectToken()
	}
	if err != nil {
		return Client{}, fmt.Errorf("looking up the client of a token: %w", err)
	}
	if c.Caller != "user" {
		return client, nil
	}
	user, err := s.Accounts.User(ctx, c.Subject)
	if errors.Is(err, account.ErrNotFound) || err == nil && (user.Disabled || user.Epoch > c.Epoch) {
		return Client{}, errSubjectToken()
	}
	if err != nil {
		return Client{}, fmt.Errorf("looking up the subject of a token: %w", err)
	}
	return client, nil
}

// narrowed returns the claims with the scopes and the audience that are asked for, which must be parts of what is there.
func (c *AccessClaims) narrowed(holder *Client, scopes []string, req TokenRequest) (AccessClaims, error) {
	scopes, err := within(scopes, parseScopes(c.Scope))
	if err != nil {
		return AccessClaims{}, refuse(CodeInvalidScope, "a scope is not one of the subject_token")
	}
	if scopes, err = stillRegistered(scopes, holder.Scopes); err != nil {
		return AccessClaims{}, refuse(CodeInvalidScope, "nothing is left of the scopes of the subject_token")
	}
	asked, err := targets(slices.Concat(req.resources, req.Form["audience"]))
	if err != nil {
		return AccessClaims{}, err
	}
	derived := *c
	derived.Scope = strings.Join(scopes, " ")
	if derived.Audience, err = (&Grant{Audience: c.Audience}).narrowed(asked); err != nil {
		return AccessClaims{}, err
	}
	if c.Caller == "user" && !holder.FirstParty {
		if !slices.Contains(scopes, ScopeProfile) {
			derived.Name = ""
		}
		if !slices.Contains(scopes, ScopeEmail) {
			derived.Email = ""
		}
	}
	return derived, nil
}

func (s *Server) issueExchanged(client *Client, claims *AccessClaims) (TokenResponse, error) {
	token, err := s.mint(client, claims)
	if err != nil {
		return TokenResponse{}, err
	}
	return TokenResponse{
		AccessToken: token, TokenType: claims.Confirmation.tokenType(), IssuedTokenType: TokenTypeAccess, Scope: claims.Scope,
		ExpiresIn: int64(time.Unix(claims.Expiry, 0).Sub(s.Now()) / time.Second),
	}, nil
}
