// Package discovery asks an issuer over HTTP for what it publishes: where its endpoints are, and what is there.
//
// What the answers are worth is for its users to decide.
package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxDocument is the longest answer read, in bytes.
const maxDocument = 1 << 20

// Client asks. It is safe for concurrent use.
type Client struct{ http *http.Client }

// New makes a client that follows no redirect: an issuer that sends us elsewhere is one that somebody else speaks for.
func New(by *http.Client) *Client {
	own := *by
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &own}
}

// Endpoint returns the URL that the member called name of the issuer's discovery document has (OpenID Connect Discovery,
// section 4). It must be https, as the issuer itself is.
func (c *Client) Endpoint(ctx context.Context, issuer, name string) (string, error) {
	raw, err := c.Get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var metadata map[string]any
	if err := json.Unmarshal(raw, &metadata); err != nil {
		return "", fmt.Errorf("read discovery document of %s: %w", issuer, err)
	}
	if metadata["issuer"] != issuer { // section 4.3
		return "", fmt.Errorf("discovery document of %s is of another issuer", issuer)
	}
	endpoint, _ := metadata[name].(string)
	where, err := url.Parse(endpoint)
	if err != nil || where.Scheme != "https" && !strings.HasPrefix(issuer, "http://") || where.Host == "" {
		return "", fmt.Errorf("discovery document of %s: %s is not an https URL", issuer, name)
	}
	return endpoint, nil
}

// Get returns a JSON document.
func (c *Client) Get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", from, err)
	}
	req.Header.Set("Accept", "application/json")
	return c.Do(req, maxDocument)
}

// ErrBadRequest is what the error of an answer of 400 wraps: something about this request was wrong, not about whoever
// answered.
var ErrBadRequest = errors.New(http.StatusText(http.StatusBadRequest))

// Do returns the body of an answer that is 200 and no longer than limit bytes.
func (c *Client) Do(req *http.Request, limit int64) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest:
		return nil, fmt.Errorf("fetch %s: %w", req.URL, ErrBadRequest)
	default:
		return nil, fmt.Errorf("fetch %s: %s", req.URL, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", req.URL, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("fetch %s: the answer is too large", req.URL)
	}
	return body, nil
}
