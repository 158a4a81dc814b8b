package relyingparty

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/realguardio/realguardio/gateway/session"
)

// Login is one attempt to sign in, to be remembered between the request and the provider's answer, where the browser
// can neither read nor change it.
type Login struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
}

var (
	// ErrDenied says that the provider answered with an error.
	ErrDenied = errors.New("relying party: the provider denied the login")
	// ErrForged says that an answer or a token is not what the provider issued for this login.
	ErrForged = errors.New("relying party: the answer is not the provider's to this login")
)

// Hints are the authorization parameters that whoever starts a login may choose (OpenID Connect Core, section 3.1.2.1).
// All others are ours: a caller who could add a redirect_uri or a scope would change what the login is for.
var Hints = []string{"prompt", "login_hint", "ui_locales", "max_age", "acr_values", "display"}

// AuthorizationURL is where to send the browser for login. Of hints only [Hints] count.
func (p *Party) AuthorizationURL(login Login, hints url.Values) (string, error) {
	pr, err := p.ready()
	if err != nil {
		return "", err
	}
	opts := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(login.Verifier), oidc.Nonce(login.Nonce)}
	for _, name := range Hints {
		if value := hints.Get(name); value != "" && len(value) <= 256 {
			opts = append(opts, oauth2.SetAuthURLParam(name, value))
		}
	}
	return pr.oauth.AuthCodeURL(login.State, opts...), nil
}

// Redeem exchanges the code in the provider's answer for tokens. An answer of another issuer is not redeemed (RFC 9207).
func (p *Party) Redeem(ctx context.Context, login Login, answer url.Values) (session.Tokens, error) {
	pr, err := p.ready()
	if err != nil {
		return session.Tokens{}, err
	}
	iss := answer["iss"]
	if len(iss) > 1 || len(iss) == 1 && iss[0] != p.cfg.Issuer || len(iss) == 0 && pr.metadata.IssParameter {
		return session.Tokens{}, fmt.Errorf("%w: iss", ErrForged)
	}
	if answer.Has("error") {
		return session.Tokens{}, fmt.Errorf("%w: %.64q", ErrDenied, answer.Get("error"))
	}
	if len(answer["code"]) != 1 || answer.Get("code") == "" {
		return session.Tokens{}, fmt.Errorf("%w: code", ErrForged)
	}
	token, err := pr.oauth.Exchange(p.client(ctx), answer.Get("code"), oauth2.VerifierOption(login.Verifier))
	if err != nil {
		return session.Tokens{}, fmt.Errorf("redeeming the code: %w", explain(err))
	}
	tokens, err := p.accept(ctx, pr, token, func(id *oidc.IDToken) error {
		if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(login.Nonce)) != 1 {
			return fmt.Errorf("%w: nonce", ErrForged)
		}
		return nil
	})
	if err == nil && tokens.ID == "" {
		err = fmt.Errorf("%w: no id_token", ErrForged)
	}
	return tokens, err
}

// Refresh gets new tokens (RFC 6749, section 6).
func (p *Party) Refresh(ctx context.Context, refreshToken string) (session.Tokens, error) {
	pr, err := p.ready()
	if err != nil {
		return session.Tokens{}, err
	}
	token, err := pr.oauth.TokenSource(p.client(ctx), &oauth2.Token{RefreshToken: refreshToken}).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
		return session.Tokens{}, session.ErrEnded
	}
	if err != nil {
		return session.Tokens{}, fmt.Errorf("refreshing: %w", explain(err))
	}
	return p.accept(ctx, pr, token, func(*oidc.IDToken) error { return nil })
}

// accept verifies what the token endpoint issued: the access token always, the ID token where there is one.
func (p *Party) accept(ctx context.Context, pr *provider, token *oauth2.Token, check func(*oidc.IDToken) error) (session.Tokens, error) {
	tokens := session.Tokens{Access: token.AccessToken, Refresh: token.RefreshToken}
	identity, err := p.cfg.Verifier.Verify(ctx, token.AccessToken)
	if err != nil {
		return session.Tokens{}, fmt.Errorf("verifying the access token: %w", err)
	}
	tokens.Identity = identity
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return tokens, nil
	}
	id, err := pr.verifier.Verify(p.client(ctx), raw)
	if err != nil {
		return session.Tokens{}, fmt.Errorf("verifying the ID token: %w", err)
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
		Name            string `json:"name"`
		Username        string `json:"preferred_username"`
		Email           string `json:"email"`
	}
	if err := id.Claims(&claims); err != nil {
		return session.Tokens{}, fmt.Errorf("reading the ID token: %w", err)
	}
	if len(id.Audience) > 1 && claims.AuthorizedParty == "" || claims.AuthorizedParty != "" && claims.AuthorizedParty != p.cfg.ClientID {
		return session.Tokens{}, fmt.Errorf("%w: azp", ErrForged)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return session.Tokens{}, fmt.Errorf("%w: at_hash", ErrForged)
		}
	}
	if id.Subject != identity.Subject {
		return session.Tokens{}, fmt.Errorf("%w: the tokens speak of different people", ErrForged)
	}
	if err := check(id); err != nil {
		return session.Tokens{}, err
	}
	tokens.ID = raw
	tokens.Person = session.Person{Subject: id.Subject, Email: claims.Email, Name: firstOf(claims.Name, identity.Name, claims.Username)}
	if tokens.Person.Email == "" {
		tokens.Person.Email = identity.Email
	}
	return tokens, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// explain strips an OAuth error to its code: the provider's body may repeat what was sent to it.
func explain(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return err
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	return &Refused{Code: refused.ErrorCode, Status: status}
}

// Refused is an error answer of the token endpoint (RFC 6749, section 5.2).
type Refused struct {
	// Code is the OAuth error code, empty when the answer had none.
	Code string
	// Status is the HTTP status.
	Status int
}

func (e *Refused) Error() string {
	return fmt.Sprintf("the identity provider answered %d %.64q", e.Status, e.Code)
}
