package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// Authorization is a checked authorization request (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).
type Authorization struct {
	ClientID string
	// RedirectURI is where the answer goes. RedirectGiven is false when the request left it to the registration.
	RedirectURI   string
	RedirectGiven bool
	ResponseType  ResponseType
	ResponseMode  ResponseMode
	State         string
	Nonce         string
	Scopes        []string
	// UserInfoClaims and IDTokenClaims are asked for one by one, besides what the scopes say.
	UserInfoClaims, IDTokenClaims []string
	// Resources bound the audience of what comes of the request (RFC 8707, section 2.1); empty: the whole API.
	Resources []string
	// Challenge is the PKCE S256 challenge; empty only where the client may do without.
	Challenge string
	// JKT is the thumbprint of the DPoP key that the code is for (RFC 9449, section 10); empty for any.
	JKT     string
	Prompts []string
	// MaxAge is how long ago the person may have signed in; negative: any time.
	MaxAge    time.Duration
	LoginHint string
	// NeedsACR says that the answer must tell an authentication context (OpenID Connect Core, section 5.5.1.1).
	NeedsACR bool
	// Subject is who must sign in, if the request had an id_token_hint or asked for a particular "sub".
	Subject string
	// Pushed is what the request is kept under if it was pushed; empty otherwise.
	Pushed string
}

// Prompt reports whether the request asks for one of these values of "prompt".
func (a *Authorization) Prompt(values ...string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(a.Prompts, v) })
}

// Asked are the scopes that a person has to allow.
func (a *Authorization) Asked() []string { return ToAllow(a.reach()) }

// ToAllow are the scopes that a person has to allow for some to be given: whoever is given none learns who they are.
func ToAllow(scopes []string) []string {
	if len(scopes) == 0 {
		return []string{ScopeOpenID}
	}
	return scopes
}

// reach are the scopes of the request, and those that its single claims belong to.
func (a *Authorization) reach() []string {
	asked := slices.Clone(a.Scopes)
	for _, c := range claimsOfPersons {
		one := slices.Contains(a.UserInfoClaims, c.name) || slices.Contains(a.IDTokenClaims, c.name)
		if one && !slices.Contains(asked, c.scope) {
			asked = append(asked, c.scope)
		}
	}
	return asked
}

// Authorize checks an authorization request. As long as client and redirect URI are not proven, its refusals are Errors,
// to be shown as a page and never redirected; after that they are RedirectErrors. browser is the hash of what the browser
// is known by; empty for one that is not known yet.
func (s *Server) Authorize(ctx context.Context, form url.Values, browser string) (Authorization, Client, error) {
	if strings.HasPrefix(form.Get("request_uri"), requestURIPrefix) {
		return s.pushed(ctx, form, browser)
	}
	return s.check(ctx, form, false)
}

// check is what a request has to pass, pushed or not.
func (s *Server) check(ctx context.Context, form url.Values, pushed bool) (Authorization, Client, error) {
	client, redirect, err := s.authorizingClient(ctx, form)
	if err != nil {
		return Authorization{}, Client{}, err
	}
	a := Authorization{
		ClientID:      client.ID,
		RedirectURI:   redirect,
		RedirectGiven: form.Has("redirect_uri"),
		ResponseMode:  defaultMode(form),
		MaxAge:        -1,
	}
	if states := form["state"]; len(states) == 1 && len(states[0]) <= maxParam {
		a.State = states[0] // any other is a mistake, and goes back to nobody
	}
	err = a.read(form, &client)
	if err == nil && client.RequirePushedRequests && !pushed {
		err = refuse(CodeInvalidRequest, "this client must push its requests (RFC 9126)")
	}
	if err == nil {
		err = s.readHint(form, &a)
	}
	if err != nil {
		return Authorization{}, Client{}, s.Refusal(ctx, &a, err)
	}
	return a, client, nil
}

// readHint reads the id_token_hint, which must be of the person that the request asks for otherwise too.
func (s *Server) readHint(form url.Values, a *Authorization) error {
	hint := form.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	h, err := s.IDTokenHint(hint)
	if err != nil {
		return refuse(CodeLoginRequired, "the id_token_hint is not valid")
	}
	if a.Subject != "" && a.Subject != h.Subject {
		return refuse(CodeLoginRequired, "the id_token_hint is of another person than the one asked for")
	}
	a.Subject = h.Subject
	return nil
}

// authorizingClient proves that the answer may be sent to the redirect URI.
func (s *Server) authorizingClient(ctx context.Context, form url.Values) (client Client, redirect string, err error) {
	if len(form["client_id"]) != 1 || len(form["redirect_uri"]) > 1 {
		return client, "", refuse(CodeInvalidRequest, "client_id must be given once, redirect_uri at most once")
	}
	if id := form.Get("client_id"); len(id) <= 64 {
		client, err = s.Clients.Client(ctx, id)
	} else {
		err = ErrNotFound
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return client, "", fmt.Errorf("looking up a client: %w", err)
	}
	if err != nil || !client.Disabled.IsZero() || !client.Allows(GrantAuthorizationCode) && !client.Allows(GrantImplicit) {
		return client, "", refuse(CodeInvalidRequest, "this application is not registered here")
	}
	redirect = form.Get("redirect_uri")
	if !form.Has("redirect_uri") && len(client.RedirectURIs) == 1 && !slices.Contains(parseScopes(form.Get("scope")), ScopeOpenID) {
		return client, client.RedirectURIs[0], nil
	}
	if !client.redirectAllowed(redirect) {
		return client, "", refuse(CodeInvalidRequest, "the redirect_uri is not one that this application registered")
	}
	return client, redirect, nil
}

// Recheck returns the client of a request that has waited for a person, as it is registered now: ErrNotFound if it is
// disabled meanwhile, or could not make this request any more.
func (s *Server) Recheck(ctx context.Context, a *Authorization) (Client, error) {
	client, err := s.Clients.Client(ctx, a.ClientID)
	if err != nil {
		return Client{}, err
	}
	if !client.Disabled.IsZero() || !client.Allows(a.ResponseType.grant()) || !client.redirectAllowed(a.RedirectURI) ||
		!covers(client.Scopes, a.reach()) {
		return Client{}, ErrNotFound
	}
	return client, nil
}

// NeedsLogin tells whether the person has to sign in before this request can be answered. session is nil without a login
// session; fresh says that it was made to answer this request.
func (a *Authorization) NeedsLogin(session *account.Session, fresh bool, now time.Time) bool {
	switch {
	case session == nil || !session.Live(now):
		return true
	case a.Subject != "" && session.UserID != a.Subject:
		return true
	case fresh:
		return false
	case a.Prompt("login", "select_account"):
		return true
	case a.NeedsACR && acrOf(session.Methods) == "":
		return true
	}
	return a.MaxAge >= 0 && now.Sub(session.AuthTime) > a.MaxAge
}

// NeedsConsent tells whether the person has to be asked before the client gets what it wants.
func (s *Server) NeedsConsent(ctx context.Context, a *Authorization, client *Client, user string) (bool, error) {
	switch {
	case a.Prompt("consent"):
		return true, nil
	case client.FirstParty:
		return false, nil
	case client.impersonable(a.RedirectURI):
		return true, nil
	}
	given, err := s.Consents.Consent(ctx, user, client.ID)
	if err != nil {
		return false, fmt.Errorf("looking up a consent: %w", err)
	}
	return !covers(given, a.Asked()), nil
}

// Consented remembers that a person has allowed a client what it wants.
func (s *Server) Consented(ctx context.Context, a *Authorization, client *Client, user string) error {
	if err := s.Consents.RememberConsent(ctx, user, client.ID, a.Asked(), s.Now()); err != nil {
		return fmt.Errorf("remembering a consent: %w", err)
	}
	return nil
}
