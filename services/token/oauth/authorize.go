package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
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
	State         string
	Nonce         string
	Scopes        []string
	// Resources bound the audience of what comes of the request (RFC 8707, section 2.1); empty: the whole API.
	Resources []string
	// Challenge is the PKCE S256 challenge.
	Challenge string
	Prompts   []string
	// MaxAge is how long ago the person may have signed in; negative: any time.
	MaxAge    time.Duration
	LoginHint string
	// Subject is who must sign in, if the request had an id_token_hint.
	Subject string
}

// Prompts reports whether the request asks for one of these values of "prompt".
func (a *Authorization) Prompt(values ...string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(a.Prompts, v) })
}

// RedirectError is a refusal that goes to the client by way of the browser.
type RedirectError struct {
	// URL is the client's redirect URI with the error in it.
	URL string
	Err *Error
}

func (e *RedirectError) Error() string { return e.Err.Error() }

// maxParam bounds what a client can have us carry along.
const maxParam = 2048

// Authorize checks an authorization request. As long as client and redirect URI are not proven, its refusals are Errors,
// to be shown as a page and never redirected; after that they are RedirectErrors.
func (s *Server) Authorize(ctx context.Context, form url.Values) (Authorization, Client, error) {
	client, redirect, err := s.authorizingClient(ctx, form)
	if err != nil {
		return Authorization{}, Client{}, err
	}
	a := Authorization{
		ClientID:      client.ID,
		RedirectURI:   redirect,
		RedirectGiven: form.Has("redirect_uri"),
		MaxAge:        -1,
	}
	if states := form["state"]; len(states) == 1 && len(states[0]) <= maxParam {
		a.State = states[0] // any other is a mistake, and goes back to nobody
	}
	if err := a.read(form, &client); err != nil {
		return Authorization{}, Client{}, s.Refusal(&a, err)
	}
	if hint := form.Get("id_token_hint"); hint != "" {
		h, err := s.IDTokenHint(hint)
		if err != nil {
			return Authorization{}, Client{}, s.Refusal(&a, refuse(CodeLoginRequired, "the id_token_hint is not valid"))
		}
		a.Subject = h.Subject
	}
	return a, client, nil
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
	if err != nil || !client.Disabled.IsZero() || !client.Allows(GrantAuthorizationCode) {
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
	if !client.Disabled.IsZero() || !client.Allows(GrantAuthorizationCode) || !client.redirectAllowed(a.RedirectURI) ||
		!covers(client.Scopes, a.Scopes) {
		return Client{}, ErrNotFound
	}
	return client, nil
}

// read checks everything that is answered by a redirect.
func (a *Authorization) read(form url.Values, client *Client) error {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return refuse(CodeInvalidRequest, "a parameter is given more than once")
		}
		if len(values[0]) > maxParam && name != "id_token_hint" {
			return refuse(CodeInvalidRequest, "a parameter is too long")
		}
	}
	for parameter, code := range map[string]string{
		"request": CodeRequestNotSupported, "request_uri": CodeRequestURINotSupported, "registration": CodeRegistrationUnsupported,
	} {
		if form.Has(parameter) {
			return refuse(code, parameter+" is not supported")
		}
	}
	if err := readResponse(form); err != nil {
		return err
	}
	if err := a.readChallenge(form, client); err != nil {
		return err
	}
	var err error
	if a.Scopes, err = within(parseScopes(form.Get("scope")), client.Scopes); err != nil {
		return err
	}
	if a.Resources, err = targets(form["resource"]); err != nil {
		return err
	}
	a.Nonce, a.LoginHint = form.Get("nonce"), form.Get("login_hint")
	return a.readPrompt(form)
}

func readResponse(form url.Values) error {
	switch form.Get("response_type") {
	case "code":
	case "token", "id_token", "id_token token", "token id_token":
		return refuse(CodeUnauthorizedClient, "this client may only use the response type code")
	default:
		return refuse(CodeUnsupportedResponseType, "response_type must be code")
	}
	if mode := form.Get("response_mode"); mode != "" && mode != "query" {
		return refuse(CodeInvalidRequest, "response_mode must be query")
	}
	return nil
}

func (a *Authorization) readChallenge(form url.Values, client *Client) error {
	a.Challenge = form.Get("code_challenge")
	switch {
	case a.Challenge == "":
		return refuse(CodeInvalidRequest, "code_challenge is required (PKCE)")
	case form.Get("code_challenge_method") != "S256":
		return refuse(CodeInvalidRequest, "code_challenge_method must be S256")
	case len(a.Challenge) != 43 || strings.ContainsFunc(a.Challenge, notBase64URL):
		return refuse(CodeInvalidRequest, "code_challenge is not the S256 of anything")
	}
	return nil
}

func notBase64URL(r rune) bool { return !isIDRune(r) || r == '.' }

func (a *Authorization) readPrompt(form url.Values) error {
	a.Prompts = strings.Fields(form.Get("prompt"))
	for _, p := range a.Prompts {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) {
			return refuse(CodeInvalidRequest, "prompt is not known")
		}
	}
	if a.Prompt("none") && len(a.Prompts) > 1 {
		return refuse(CodeInvalidRequest, "prompt=none stands alone")
	}
	if form.Has("max_age") {
		seconds, err := strconv.ParseInt(form.Get("max_age"), 10, 32)
		if err != nil || seconds < 0 {
			return refuse(CodeInvalidRequest, "max_age must be a number of seconds")
		}
		a.MaxAge = time.Duration(seconds) * time.Second
	}
	return nil
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
	}
	return a.MaxAge >= 0 && now.Sub(session.AuthTime) > a.MaxAge
}

// NeedsConsent tells whether the person has to be asked before the client gets what it wants.
func (s *Server) NeedsConsent(ctx context.Context, a *Authorization, client *Client, user string) (bool, error) {
	if a.Prompt("consent") && !client.FirstParty {
		return true, nil
	}
	if client.FirstParty {
		return false, nil
	}
	given, err := s.Consents.Consent(ctx, user, client.ID)
	if err != nil {
		return false, fmt.Errorf("looking up a consent: %w", err)
	}
	return !covers(given, a.Scopes), nil
}

// Approve issues a code for a person who is signed in and has consented as needed. It returns the URL to send the
// browser to.
func (s *Server) Approve(ctx context.Context, a *Authorization, client *Client, user *account.User, session *account.Session) (string, error) {
	now := s.Now()
	grant := newGrant(client, user, a.Scopes, now)
	grant.SessionID, grant.AuthTime, grant.Methods, grant.Audience = session.ID, session.AuthTime, session.Methods, a.Resources
	code := Code{ClientID: client.ID, Challenge: a.Challenge, Nonce: a.Nonce, Grant: grant, Expires: now.Add(codeLifetime)}
	if a.RedirectGiven {
		code.RedirectURI = a.RedirectURI
	}
	raw := rand.Text() + rand.Text()
	if err := s.Codes.PutCode(ctx, hashCode(raw), code, codeLifetime); err != nil {
		return "", fmt.Errorf("storing a code: %w", err)
	}
	return s.answer(a, url.Values{"code": {raw}}), nil
}

// Refusal turns an Error into the redirect that tells the client. Any other error is returned as it is.
func (s *Server) Refusal(a *Authorization, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	return &RedirectError{URL: s.answer(a, url.Values{"error": {e.Code}, "error_description": {e.Description}}), Err: e}
}

// answer adds "state", and "iss" against mix-up (RFC 9207).
func (s *Server) answer(a *Authorization, params url.Values) string {
	params.Set("iss", s.Issuer)
	if a.State != "" {
		params.Set("state", a.State)
	}
	return withParams(a.RedirectURI, params)
}
