package oauth

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxParam bounds what a client can have us carry along.
const maxParam = 2048

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
	if err := a.readResponse(form, client); err != nil {
		return err
	}
	if err := a.readChallenge(form, client); err != nil {
		return err
	}
	if err := a.readKey(form, client); err != nil {
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
	if a.Nonce == "" && a.ResponseType.idToken() {
		return refuse(CodeInvalidRequest, "nonce is required")
	}
	if err := a.readPrompt(form); err != nil {
		return err
	}
	return a.readClaims(form, client)
}

func (a *Authorization) readResponse(form url.Values, client *Client) error {
	a.ResponseType = responseType(form.Get("response_type"))
	if a.ResponseType == "" {
		return refuse(CodeUnsupportedResponseType, "response_type is missing or not supported")
	}
	if !client.Allows(a.ResponseType.grant()) {
		return refuse(CodeUnauthorizedClient, "this client may not use this response_type")
	}
	if a.ResponseType.idToken() && !slices.Contains(parseScopes(form.Get("scope")), ScopeOpenID) {
		return refuse(CodeInvalidScope, "an ID token needs the scope openid")
	}
	var err error
	a.ResponseMode, err = responseMode(form, a.RedirectURI)
	return err
}

// readChallenge reads the PKCE challenge (RFC 7636), which everybody has to send who gets a code, unless registered
// otherwise: who cannot authenticate never is.
func (a *Authorization) readChallenge(form url.Values, client *Client) error {
	if a.ResponseType != ResponseCode {
		return nil
	}
	a.Challenge = form.Get("code_challenge")
	switch {
	case a.Challenge == "" && form.Get("code_challenge_method") == "" && client.PKCEOptional && !client.Public:
	case a.Challenge == "":
		return refuse(CodeInvalidRequest, "code_challenge is required (PKCE)")
	case form.Get("code_challenge_method") != "S256":
		return refuse(CodeInvalidRequest, "code_challenge_method must be S256")
	case len(a.Challenge) != 43 || strings.ContainsFunc(a.Challenge, notBase64URL):
		return refuse(CodeInvalidRequest, "code_challenge is not the S256 of anything")
	}
	return nil
}

// readKey reads the thumbprint of the DPoP key that the code is for (RFC 9449, section 10).
func (a *Authorization) readKey(form url.Values, client *Client) error {
	a.JKT = form.Get("dpop_jkt")
	switch {
	case a.JKT == "":
	case len(a.JKT) != 43 || strings.ContainsFunc(a.JKT, notBase64URL):
		return refuse(CodeInvalidRequest, "dpop_jkt is not the thumbprint of a key")
	case a.ResponseType != ResponseCode || client.CertificateBoundTokens:
		return refuse(CodeInvalidRequest, "dpop_jkt does not go with this request: nothing that comes of it can be bound to a DPoP key")
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
