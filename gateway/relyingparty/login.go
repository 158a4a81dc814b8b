package relyingparty

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/mesh/claims"
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
	var opts []oauth2.AuthCodeOption
	for name, value := range p.cfg.Parameters {
		opts = append(opts, oauth2.SetAuthURLParam(name, value))
	}
	if p.cfg.Resource != "" {
		opts = append(opts, oauth2.SetAuthURLParam("resource", p.cfg.Resource))
	}
	opts = append(opts, oauth2.S256ChallengeOption(login.Verifier), oidc.Nonce(login.Nonce))
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
	opts := []oauth2.AuthCodeOption{oauth2.VerifierOption(login.Verifier)}
	if p.cfg.Resource != "" {
		opts = append(opts, oauth2.SetAuthURLParam("resource", p.cfg.Resource))
	}
	token, err := pr.oauth.Exchange(p.client(ctx), answer.Get("code"), opts...)
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
	token, err := p.refresh(ctx, pr, refreshToken)
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
		return session.Tokens{}, session.ErrEnded
	}
	if err != nil {
		return session.Tokens{}, fmt.Errorf("refreshing: %w", explain(err))
	}
	return p.accept(ctx, pr, token, func(*oidc.IDToken) error { return nil })
}

// refresh redeems a refresh token, for the resource where there is one. The library's own way has no room for that; its
// other grant takes any parameters, and the grant type among them.
func (p *Party) refresh(ctx context.Context, pr *provider, refreshToken string) (*oauth2.Token, error) {
	if p.cfg.Resource == "" {
		return pr.oauth.TokenSource(p.client(ctx), &oauth2.Token{RefreshToken: refreshToken}).Token()
	}
	grant := clientcredentials.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, TokenURL: pr.oauth.Endpoint.TokenURL, AuthStyle: pr.oauth.Endpoint.AuthStyle,
		EndpointParams: url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "resource": {p.cfg.Resource}},
	}
	return grant.Token(p.client(ctx))
}

// accept verifies what the token endpoint issued: the access token always, the ID token where there is one.
func (p *Party) accept(ctx context.Context, pr *provider, token *oauth2.Token, check func(*oidc.IDToken) error) (session.Tokens, error) {
	tokens := session.Tokens{Access: token.AccessToken, Refresh: token.RefreshToken}
	identity, err := p.cfg.Verifier.Verify(ctx, token.AccessToken)
	if err != nil {
		return session.Tokens{}, fmt.Errorf("verifying the access token: %w", err)
	}
	if identity.Issuer != p.cfg.Issuer {
		return session.Tokens{}, fmt.Errorf("%w: the access token is of another issuer", ErrForged)
	}
	tokens.Identity = identity
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return tokens, nil
	}
	id, username, err := p.idToken(ctx, pr, raw, token.AccessToken)
	if err != nil {
		return session.Tokens{}, err
	}
	person, err := p.person(id)
	if err != nil {
		return session.Tokens{}, err
	}
	if person.Subject != identity.Subject {
		return session.Tokens{}, fmt.Errorf("%w: the tokens speak of different people", ErrForged)
	}
	if err := check(id); err != nil {
		return session.Tokens{}, err
	}
	tokens.ID = raw
	tokens.Person = session.Person{Subject: person.Subject, Email: firstOf(person.Email, identity.Email), Name: firstOf(person.Name, identity.Name, username)}
	if identity.SessionID == "" { // of some providers only the ID token names it
		tokens.Identity.SessionID = person.SessionID
	}
	return tokens, nil
}

// idToken verifies one that came with an access token, for us and with that token (OpenID Connect Core, sections 3.1.3.7 and
// 3.1.3.8), and returns it with the name that its subject signs in by.
func (p *Party) idToken(ctx context.Context, pr *provider, raw, access string) (id *oidc.IDToken, username string, err error) {
	if id, err = pr.verifier.Verify(p.client(ctx), raw); err != nil {
		return nil, "", fmt.Errorf("verifying the ID token: %w", err)
	}
	var said struct {
		AuthorizedParty string `json:"azp"`
		Username        string `json:"preferred_username"`
	}
	if err := id.Claims(&said); err != nil {
		return nil, "", fmt.Errorf("reading the ID token: %w", err)
	}
	if len(id.Audience) > 1 && said.AuthorizedParty == "" || said.AuthorizedParty != "" && said.AuthorizedParty != p.cfg.ClientID {
		return nil, "", fmt.Errorf("%w: azp", ErrForged)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(access); err != nil {
			return nil, "", fmt.Errorf("%w: at_hash", ErrForged)
		}
	}
	return id, said.Username, nil
}

// person is whom a verified ID token or logout token speaks of.
func (p *Party) person(token interface{ Claims(any) error }) (claims.Person, error) {
	var raw json.RawMessage
	if err := token.Claims(&raw); err != nil {
		return claims.Person{}, fmt.Errorf("reading a token: %w", err)
	}
	person, err := p.claims.Person(raw)
	if err != nil {
		return claims.Person{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	return person, nil
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
