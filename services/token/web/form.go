package web

import (
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/realguardio/realguardio/services/token/oauth"
)

func invalidRequest(description string) error {
	return &oauth.Error{Code: oauth.CodeInvalidRequest, Description: description}
}

// bodyForm reads the parameters of a POST from its body, and from nowhere else. Those in the URL do not count: they would
// be in logs (RFC 6749, section 2.3.1).
//
// Of the parameters named by free the content is checked by whoever reads them.
func bodyForm(r *http.Request, free ...string) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("the body must be application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		return nil, invalidRequest("the body is malformed or too large")
	}
	return sent(r.PostForm), wellFormed(r.PostForm, free...)
}

// sent leaves out parameters without a value, which count as not sent (RFC 6749, sections 3.1 and 3.2).
func sent(form url.Values) url.Values {
	maps.DeleteFunc(form, func(_ string, values []string) bool { return len(values) == 1 && values[0] == "" })
	return form
}

// strictForm is bodyForm that refuses parameters given more than once (RFC 6749, section 3.2); "resource" (RFC 8707)
// and "audience" (RFC 8693) may be.
func strictForm(r *http.Request, free ...string) (url.Values, error) {
	form, err := bodyForm(r, free...)
	if err != nil {
		return nil, err
	}
	return form, once(form)
}

func once(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return invalidRequest("a parameter is given more than once")
		}
	}
	return nil
}

// anyForm reads the parameters of a GET from the URL, those of a POST from the body.
func anyForm(r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		return bodyForm(r)
	}
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalidRequest("the query is malformed")
	}
	return form, wellFormed(form)
}

// wellFormed refuses what is no text, before a database or a log sees it.
func wellFormed(form url.Values, free ...string) error {
	for name, values := range form {
		for _, v := range values {
			if !text(name) || !text(v) && !slices.Contains(free, name) {
				return invalidRequest("a parameter is not valid text")
			}
		}
	}
	return nil
}

func text(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// credentials reads how the client authenticates itself. Two ways at once are refused rather than ranked.
func credentials(r *http.Request, form url.Values) (oauth.Credentials, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return oauth.Credentials{}, invalidRequest("two Authorization headers")
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return asserted(form, len(headers) > 0)
	}
	if len(headers) == 0 {
		method := oauth.AuthNone
		if form.Has("client_secret") {
			method = oauth.AuthPost
		}
		return oauth.Credentials{Method: method, ClientID: form.Get("client_id"), Secret: form.Get("client_secret")}, nil
	}
	if form.Has("client_secret") {
		return oauth.Credentials{}, invalidRequest("more than one way of client authentication")
	}
	id, secret, ok := basic(r)
	if !ok {
		return oauth.Credentials{}, &oauth.Error{Code: oauth.CodeInvalidClient, Description: "client authentication failed"}
	}
	if form.Has("client_id") && form.Get("client_id") != id {
		return oauth.Credentials{}, invalidRequest("client_id is not the one that is authenticated")
	}
	return oauth.Credentials{Method: oauth.AuthBasic, ClientID: id, Secret: secret}, nil
}

// asserted reads a client assertion (RFC 7521, section 4.2). It stands alone: beside a secret, one of the two would only be
// there to look as if it had been checked.
func asserted(form url.Values, header bool) (oauth.Credentials, error) {
	if header || form.Has("client_secret") || form.Get("client_assertion_type") != oauth.AssertionType {
		return oauth.Credentials{}, &oauth.Error{Code: oauth.CodeInvalidClient, Description: "client authentication failed"}
	}
	return oauth.Credentials{Method: oauth.AuthPrivateKeyJWT, ClientID: form.Get("client_id"), Assertion: form.Get("client_assertion")}, nil
}

// basic reads HTTP Basic credentials, whose halves are form-encoded (RFC 6749, section 2.3.1).
func basic(r *http.Request) (id, secret string, ok bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	return id, secret, errID == nil && errSecret == nil && text(id) && text(secret)
}
