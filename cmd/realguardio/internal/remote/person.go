package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Person is somebody at the command line, by way of a client without a secret.
type Person struct {
	HTTP     *http.Client
	Issuer   Issuer
	ClientID string
}

// Tokens are what a person's client has got.
type Tokens struct {
	Access, Refresh string
	Expires         time.Time
}

// Prompt is what a person has to do to sign in.
type Prompt struct{ URL, Code, Complete string }

// SignIn has a person sign in in a browser, on whatever machine (RFC 8628), and waits for it. show tells them where.
func (p Person) SignIn(ctx context.Context, scopes []string, show func(Prompt) error) (Tokens, error) {
	if p.Issuer.DeviceEndpoint == "" {
		return Tokens{}, errors.New("the issuer does not let devices sign in")
	}
	config := p.config(scopes)
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.HTTP)
	begun, err := config.DeviceAuth(ctx)
	if err != nil {
		return Tokens{}, fmt.Errorf("cannot begin the sign-in: %w", asProblem(err))
	}
	prompt := Prompt{URL: begun.VerificationURI, Code: begun.UserCode, Complete: begun.VerificationURIComplete}
	if !prompt.printable() {
		return Tokens{}, errors.New("the issuer's answer cannot be shown")
	}
	if err := show(prompt); err != nil {
		return Tokens{}, err
	}
	token, err := config.DeviceAccessToken(ctx, begun)
	if err != nil {
		return Tokens{}, fmt.Errorf("cannot sign in: %w", asProblem(err))
	}
	return tokensOf(token), nil
}

// printable tells whether a terminal would take none of it for a command.
func (p Prompt) printable() bool {
	u, err := url.Parse(p.URL)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") &&
		!strings.ContainsFunc(p.URL+p.Code+p.Complete, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Refresh gets new tokens. Its error is a [Problem] with the code invalid_grant when the sign-in has ended.
func (p Person) Refresh(ctx context.Context, refresh string) (Tokens, error) {
	token, err := p.config(nil).TokenSource(context.WithValue(ctx, oauth2.HTTPClient, p.HTTP), &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		return Tokens{}, fmt.Errorf("cannot renew the sign-in: %w", asProblem(err))
	}
	return tokensOf(token), nil
}

// Revoke ends a refresh token with everything that came of the sign-in (RFC 7009).
func (p Person) Revoke(ctx context.Context, refresh string) error {
	form := url.Values{"token": {refresh}, "token_type_hint": {"refresh_token"}, "client_id": {p.ClientID}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Issuer.RevocationEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("revoke the sign-in: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := exchange(p.HTTP, request, nil); err != nil {
		return fmt.Errorf("cannot revoke the sign-in: %w", err)
	}
	return nil
}

// Name asks who has signed in (OpenID Connect Core, section 5.3).
func (p Person) Name(ctx context.Context, access string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Issuer.UserInfoEndpoint, nil)
	if err != nil {
		return "", fmt.Errorf("ask who has signed in: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+access)
	var who struct{ Sub, Email string }
	if err := exchange(p.HTTP, request, &who); err != nil {
		return "", fmt.Errorf("cannot ask who has signed in: %w", err)
	}
	if who.Email != "" {
		return who.Email, nil
	}
	return who.Sub, nil
}

func (p Person) config(scopes []string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, Scopes: scopes, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: p.Issuer.DeviceEndpoint, TokenURL: p.Issuer.TokenEndpoint, AuthStyle: oauth2.AuthStyleInParams,
	}}
}

func tokensOf(t *oauth2.Token) Tokens {
	return Tokens{Access: t.AccessToken, Refresh: t.RefreshToken, Expires: t.Expiry}
}

// asProblem is an OAuth error without the body of the answer, which may repeat what was sent.
func asProblem(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if named, ok := errors.AsType[*url.Error](err); ok {
			return named.Err
		}
		return err
	}
	problem := &Problem{Code: refused.ErrorCode, Description: refused.ErrorDescription}
	if refused.Response != nil {
		problem.Status = refused.Response.StatusCode
	}
	return problem
}
