package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/realguardio/realguardio/gateway/credential"
)

// Revoke ends a refresh token, and with it the grant it belongs to (RFC 7009).
func (p *Party) Revoke(ctx context.Context, refreshToken string) error {
	pr, err := p.ready()
	if err != nil || refreshToken == "" || pr.metadata.RevocationEndpoint == "" {
		return err
	}
	res, err := p.post(ctx, pr, pr.metadata.RevocationEndpoint, url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}})
	if err != nil {
		return fmt.Errorf("revoking the refresh token: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("revoking the refresh token: %w", &Refused{Status: res.StatusCode})
	}
	return nil
}

// EndSession ends the login session at the provider (OpenID Connect RP-Initiated Logout), from here and not through the
// browser, so that the ID token stands in no URL. The provider has done so when it sends us on to where the browser
// would have gone. Where it has not, the returned URL is where the browser has to go, to be asked.
func (p *Party) EndSession(ctx context.Context, idToken string) (visit string, err error) {
	pr, err := p.ready()
	if err != nil || pr.metadata.EndSessionEndpoint == "" {
		return "", err
	}
	form := url.Values{"client_id": {p.cfg.ClientID}, "post_logout_redirect_uri": {p.cfg.PostLogoutURL}}
	visit = pr.metadata.EndSessionEndpoint + "?" + form.Encode()
	if idToken == "" {
		return visit, nil
	}
	form.Set("id_token_hint", idToken)
	res, err := p.post(ctx, pr, pr.metadata.EndSessionEndpoint, form)
	if err != nil {
		return visit, fmt.Errorf("ending the session at the provider: %w", err)
	}
	if to := res.Header.Get("Location"); res.StatusCode/100 == 3 && strings.HasPrefix(to, p.cfg.PostLogoutURL) || res.StatusCode == http.StatusNoContent {
		return "", nil
	}
	return visit, nil
}

// ClientCredentials gets a token for another client, who proves itself by its own secret (RFC 6749, section 4.4). The
// secret is used for this call and kept nowhere.
func (p *Party) ClientCredentials(ctx context.Context, id, secret string) (token string, expiry time.Time, err error) {
	pr, err := p.ready()
	if err != nil {
		return "", time.Time{}, err
	}
	cc := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: pr.oauth.Endpoint.TokenURL, AuthStyle: oauth2.AuthStyleInHeader}
	t, err := cc.Token(p.client(ctx))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && slices.Contains([]string{"invalid_client", "unauthorized_client", "invalid_grant"}, refused.ErrorCode) {
		return "", time.Time{}, credential.ErrRefused
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("exchanging an API key: %w", explain(err))
	}
	return t.AccessToken, t.Expiry, nil
}

// post sends a form with our client credentials, follows no redirect, and drops the body.
func (p *Party) post(ctx context.Context, pr *provider, to string, form url.Values) (*http.Response, error) {
	if pr.oauth.Endpoint.AuthStyle == oauth2.AuthStyleInParams {
		form.Set("client_id", p.cfg.ClientID)
		form.Set("client_secret", p.cfg.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if pr.oauth.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		req.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(p.cfg.ClientSecret))
	}
	client := *p.cfg.HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
			err = named.Err // the URL is ours and says nothing new
		}
		return nil, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return res, err
}
