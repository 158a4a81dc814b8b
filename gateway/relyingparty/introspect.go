package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/realguardio/realguardio/gateway/credential"
)

// typeJWT is asked for, and answered of an active token. A provider that describes tokens only, by JSON, says with that
// that we cannot use them.
const typeJWT = "application/jwt"

// maxJWT is the longest token looked at, in bytes.
const maxJWT = 8 << 10

// JWTForm asks the provider for the JWT that says what an opaque access token means (RFC 7662, with the answer as a token to
// pass on). It returns credential.ErrRefused for one that is not active. Errors hold no token.
func (p *Party) JWTForm(ctx context.Context, token string) (string, error) {
	pr, err := p.ready()
	if err != nil {
		return "", err
	}
	if pr.metadata.IntrospectionEndpoint == "" || p.cfg.IntrospectionClientID == "" {
		return "", credential.ErrRefused
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, pr.metadata.IntrospectionEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("introspecting a token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", typeJWT)
	req.SetBasicAuth(url.QueryEscape(p.cfg.IntrospectionClientID), url.QueryEscape(p.cfg.IntrospectionClientSecret))
	client := *p.cfg.HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		if named, ok := errors.AsType[*url.Error](err); ok {
			err = named.Err // the URL is ours and says nothing new
		}
		return "", fmt.Errorf("introspecting a token: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxJWT+1))
	if err != nil {
		return "", fmt.Errorf("reading an introspection: %w", err)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // another one is none of ours
	switch {
	case res.StatusCode != http.StatusOK:
		return "", fmt.Errorf("introspecting a token: %w", &Refused{Status: res.StatusCode})
	case media != typeJWT:
		return "", credential.ErrRefused
	case len(body) > maxJWT:
		return "", errors.New("introspecting a token: the answer is too long")
	}
	return string(body), nil
}
