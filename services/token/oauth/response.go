package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/services/token/account"
)

// ResponseType is what an authorization request asks for, its words in alphabetical order.
type ResponseType string

// The response types that there are (RFC 6749, sections 4.1.1 and 4.2.1; OpenID Connect Core, section 3). The last three are
// the implicit grant, which RFC 9700, section 2.1.2, advises against.
const (
	ResponseCode         ResponseType = "code"
	ResponseToken        ResponseType = "token"
	ResponseIDToken      ResponseType = "id_token"
	ResponseIDTokenToken ResponseType = "id_token token"
)

// ImplicitResponseTypes are those of the implicit grant.
var ImplicitResponseTypes = []ResponseType{ResponseIDToken, ResponseIDTokenToken, ResponseToken}

// responseType reads the parameter; "" for one that there is not.
func responseType(parameter string) ResponseType {
	words := strings.Fields(parameter)
	slices.Sort(words)
	t := ResponseType(strings.Join(words, " "))
	if t != ResponseCode && !slices.Contains(ImplicitResponseTypes, t) {
		return ""
	}
	return t
}

// grant is the grant type that a client must be registered for to ask for t.
func (t ResponseType) grant() string {
	if t == ResponseCode {
		return GrantAuthorizationCode
	}
	return GrantImplicit
}

func (t ResponseType) idToken() bool { return t == ResponseIDToken || t == ResponseIDTokenToken }

// ResponseMode is how an answer travels.
type ResponseMode string

// The response modes that there are (OAuth 2.0 Multiple Response Types, section 2.1; OAuth 2.0 Form Post Response Mode).
const (
	ModeQuery    ResponseMode = "query"
	ModeFragment ResponseMode = "fragment"
	ModeFormPost ResponseMode = "form_post"
)

// ResponseModes is the list of them.
var ResponseModes = []ResponseMode{ModeQuery, ModeFragment, ModeFormPost}

// defaultMode is how the answer to a request travels, even to one that is wrong. What has a token in it is kept out of the
// query, from where it would get into logs.
func defaultMode(form url.Values) ResponseMode {
	words := strings.Fields(form.Get("response_type"))
	if slices.Contains(words, "token") || slices.Contains(words, "id_token") {
		return ModeFragment
	}
	return ModeQuery
}

// responseMode reads the parameter. With an error it returns the mode in which to tell it.
func responseMode(form url.Values, redirect string) (ResponseMode, error) {
	usual := defaultMode(form)
	switch mode := ResponseMode(form.Get("response_mode")); mode {
	case "", usual, ModeFragment:
		if mode == "" {
			mode = usual
		}
		return mode, nil
	case ModeFormPost:
		if !strings.HasPrefix(redirect, "https://") && !strings.HasPrefix(redirect, "http://") {
			return usual, refuse(CodeInvalidRequest, "nothing can be posted to this redirect_uri")
		}
		return mode, nil
	}
	return usual, refuse(CodeInvalidRequest, "this response_mode is unknown, or not allowed with this response_type")
}

// Answer is what a client is told by way of the browser.
type Answer struct {
	// RedirectURI is where it goes: one that the client registered.
	RedirectURI string
	Mode        ResponseMode
	Params      url.Values
}

// URL is where to send the browser, unless it has to post a form.
func (a Answer) URL() string {
	if a.Mode == ModeFragment {
		return a.RedirectURI + "#" + a.Params.Encode()
	}
	return withParams(a.RedirectURI, a.Params)
}

// RedirectError is a refusal that goes to the client by way of the browser.
type RedirectError struct {
	Answer Answer
	Err    *Error
}

func (e *RedirectError) Error() string { return e.Err.Error() }

// Approve answers the request of a person who is signed in and has consented as needed.
func (s *Server) Approve(ctx context.Context, a *Authorization, client *Client, user *account.User, session *account.Session) (Answer, error) {
	if a.NeedsACR && acrOf(session.Methods) == "" {
		return Answer{}, errUnmetAuthentication()
	}
	if err := s.visit(ctx, session, client); err != nil {
		return Answer{}, err
	}
	if err := s.answerPushed(ctx, a); err != nil {
		return Answer{}, err
	}
	now := s.Now()
	grant := newGrant(client, user, a.Scopes, now)
	grant.SessionID, grant.AuthTime, grant.Methods, grant.Audience = session.ID, session.AuthTime, session.Methods, a.Resources
	grant.UserInfoClaims, grant.IDTokenClaims = a.UserInfoClaims, a.IDTokenClaims
	if a.ResponseType != ResponseCode {
		return s.implicit(ctx, a, client, user, grant)
	}
	code := Code{ClientID: client.ID, Challenge: a.Challenge, JKT: a.JKT, Nonce: a.Nonce, Grant: grant, Expires: now.Add(codeLifetime)}
	if a.RedirectGiven {
		code.RedirectURI = a.RedirectURI
	}
	raw := rand.Text() + rand.Text()
	if err := s.Codes.PutCode(ctx, hashCode(raw), code, codeLifetime); err != nil {
		return Answer{}, fmt.Errorf("storing a code: %w", err)
	}
	return s.answer(a, url.Values{"code": {raw}}), nil
}

// Refusal turns an Error into the answer that tells the client. Any other error is returned as it is.
func (s *Server) Refusal(ctx context.Context, a *Authorization, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code == CodeInvalidRequestURI {
		return err
	}
	if err := s.answerPushed(ctx, a); err != nil {
		return err
	}
	return &RedirectError{Answer: s.answer(a, url.Values{"error": {e.Code}, "error_description": {e.Description}}), Err: e}
}

// answer adds "state", and "iss" against mix-up (RFC 9207).
func (s *Server) answer(a *Authorization, params url.Values) Answer {
	params.Set("iss", s.Issuer)
	if a.State != "" {
		params.Set("state", a.State)
	}
	return Answer{RedirectURI: a.RedirectURI, Mode: a.ResponseMode, Params: params}
}
