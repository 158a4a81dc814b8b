// Package remote calls a running RealGuardIO as the command line does: tokens from the issuer's token endpoint, JSON from
// the gateway's REST interface. It uses nothing that any other client could not.
package remote

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
)

const (
	timeout = 30 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 8 << 20
)

// NewHTTPClient returns a client that trusts the system's authorities and those in caFile, if that is not empty. It does
// not follow redirects: a credential goes only where it was sent.
func NewHTTPClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificate authority: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: noRedirects}, nil
}

// Credentials are what is shown to the token endpoint.
type Credentials struct {
	ClientID string
	// ClientSecret is empty for a public client.
	ClientSecret string
	// Username and Password choose the password grant; without them it is client credentials.
	Username, Password string
	// Scopes asked for. Empty: what the client has by default.
	Scopes []string
	// Key is what the token shall be bound to (RFC 9449). Nil: nothing, it is a bearer token.
	Key *dpop.Key
}

// Issuer is what is read of an issuer's discovery document (RFC 8414).
type Issuer struct {
	Issuer             string `json:"issuer"`
	TokenEndpoint      string `json:"token_endpoint"`
	DeviceEndpoint     string `json:"device_authorization_endpoint"`
	RevocationEndpoint string `json:"revocation_endpoint"`
	UserInfoEndpoint   string `json:"userinfo_endpoint"`
}

// Discover asks an issuer for it.
func Discover(ctx context.Context, client *http.Client, issuer string) (Issuer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return Issuer{}, fmt.Errorf("ask the issuer: %w", err)
	}
	var found Issuer
	if err := exchange(client, request, &found); err != nil {
		return Issuer{}, fmt.Errorf("cannot discover the issuer: %w", err)
	}
	if found.Issuer != issuer || found.TokenEndpoint == "" {
		return Issuer{}, fmt.Errorf("the issuer calls itself %q, not %q", found.Issuer, issuer)
	}
	return found, nil
}

// Token gets an access token from the token endpoint that the issuer's discovery document names (RFC 8414, RFC 6749).
func Token(ctx context.Context, client *http.Client, issuer string, c Credentials) (string, error) {
	discovery, err := Discover(ctx, client, issuer)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.Username != "" {
		form = url.Values{"grant_type": {"password"}, "username": {c.Username}, "password": {c.Password}}
	}
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	if c.ClientSecret == "" {
		form.Set("client_id", c.ClientID)
	}
	token, err := c.ask(ctx, client, discovery.TokenEndpoint, form, "")
	var refused *Problem
	if errors.As(err, &refused) && refused.Code == "use_dpop_nonce" && c.Key != nil { // RFC 9449, section 8
		token, err = c.ask(ctx, client, discovery.TokenEndpoint, form, refused.nonce)
	}
	if err != nil {
		return "", fmt.Errorf("cannot get a token: %w", err)
	}
	return token, nil
}

// ask posts a form to the token endpoint. nonce is what its last refusal named, if it did.
func (c Credentials) ask(ctx context.Context, client *http.Client, endpoint string, form url.Values, nonce string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.ClientSecret != "" { // RFC 6749, section 2.3.1: both are form-encoded first
		request.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	}
	if c.Key != nil {
		proof, err := c.Key.Proof(dpop.Target{Method: http.MethodPost, URL: endpoint, Nonce: nonce})
		if err != nil {
			return "", err
		}
		request.Header.Set("DPoP", proof)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	if err := exchange(client, request, &answer); err != nil {
		return "", err
	}
	if c.Key != nil && !strings.EqualFold(answer.TokenType, "DPoP") { // RFC 9449, section 5
		return "", errors.New("the issuer has not bound the token to the key")
	}
	return answer.AccessToken, nil
}

// Gateway is the REST interface, called with one token.
type Gateway struct {
	URL   string
	Token string
	HTTP  *http.Client
}

// Call sends in (nil: no body) and reads the answer into out. An error is a [Problem] when the gateway answered one.
func (g Gateway) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(g.URL, "/")+path, body)
	if err != nil {
		return fmt.Errorf("call the gateway: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+g.Token)
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return exchange(g.HTTP, request, out)
}

// Problem is an answer that is not a success: RFC 9457 from the gateway, RFC 6749 section 5.2 from the token endpoint.
type Problem struct {
	Status      int
	Title       string `json:"title"`
	Detail      string `json:"detail"`
	Reason      string `json:"reason"`
	RequestID   string `json:"requestId"`
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Errors      []struct {
		Field       string `json:"field"`
		Description string `json:"description"`
	} `json:"errors"`
	// RetryAfter is how long to wait before the next try; 0 where nothing is said of that.
	RetryAfter time.Duration `json:"-"`
	// nonce is what a DPoP proof has to name the next time.
	nonce string
}

func (p *Problem) Error() string {
	text := cmp.Or(p.Detail, p.Description, p.Title, p.Code, http.StatusText(p.Status))
	for _, e := range p.Errors {
		if problem := e.Field + ": " + e.Description; problem != text { // the detail is the first of them already
			text += "; " + problem
		}
	}
	if p.Reason == "INSUFFICIENT_USER_AUTHENTICATION" {
		text += ": sign out in the browser, then run realguardio login again"
	}
	if p.RequestID != "" {
		text += " (request " + p.RequestID + ")"
	}
	return text
}

func exchange(client *http.Client, request *http.Request, out any) error {
	response, err := client.Do(request)
	if err != nil {
		var urlError *url.Error
		if errors.As(err, &urlError) {
			err = urlError.Err
		}
		return fmt.Errorf("%s cannot be reached: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", request.URL.Host, err)
	}
	if response.StatusCode/100 != 2 {
		problem := &Problem{}
		_ = json.Unmarshal(body, problem) // whatever it is, the status is known
		problem.Status, problem.nonce = response.StatusCode, response.Header.Get("DPoP-Nonce")
		if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16); err == nil {
			problem.RetryAfter = time.Duration(seconds) * time.Second
		}
		return problem
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s answered something that is not what was asked for", request.URL.Host)
	}
	return nil
}
