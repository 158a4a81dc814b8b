// Package clientcredentials gets this process its own access tokens by the client credentials grant (RFC 6749, section
// 4.4), and keeps one at hand.
//
// What the token is used for is decided where a connection is dialled, by mesh.AsService.
package clientcredentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/confidential"
)

const (
	// fetchLimit bounds one request whoever waits for it.
	fetchLimit = 10 * time.Second
	// retryPause is the least time between two failed requests, so that calls that find no token do not become requests.
	retryPause = 200 * time.Millisecond
	// minHeld is how long a token is held even when peers refuse it, so that their trouble does not become the issuer's.
	minHeld = 5 * time.Second
	// margin is how long before its expiry a token is not used any more: it has yet to travel.
	margin = 5 * time.Second
)

// Config says who asks for a token, where, and for what.
type Config struct {
	// TokenURL is the issuer's token endpoint. Required. It must be https, because the secret is sent to it; http is
	// taken for a loopback address only.
	TokenURL string
	// ClientID and Secret authenticate this process (client_secret_basic). Required.
	ClientID string
	Secret   string
	// Scopes are asked for. Default: what the issuer gives this client.
	Scopes []string
	// Audience is asked for by the resource parameter (RFC 8707). Default: none.
	Audience string
	// HTTPClient makes the requests. Default: one with a timeout of 10 seconds. Redirects are never followed.
	HTTPClient *http.Client
	// Logger is told when a token cannot be renewed. Default: nobody.
	Logger *slog.Logger
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Source keeps a token at hand. It is safe for concurrent use; one request is made at a time, however many wait.
type Source struct {
	cfg     Config
	grant   clientcredentials.Config
	client  *http.Client
	flight  singleflight.Group
	current atomic.Pointer[held]
	failed  atomic.Pointer[failure]
}

// held is a token and when to get the next one: after two thirds of its life.
type held struct {
	token                string
	asked, renew, expiry time.Time
}

type failure struct {
	err error
	at  time.Time
}

var _ mesh.TokenSource = (*Source)(nil)

// New makes a source. It makes no request.
func New(cfg Config) (*Source, error) {
	switch {
	case cfg.TokenURL == "":
		return nil, errors.New("clientcredentials: TokenURL is missing")
	case cfg.ClientID == "":
		return nil, errors.New("clientcredentials: ClientID is missing")
	case cfg.Secret == "":
		return nil, fmt.Errorf("clientcredentials: Secret of %s is missing", cfg.ClientID)
	}
	if err := confidential.Check(cfg.TokenURL); err != nil {
		return nil, fmt.Errorf("clientcredentials: TokenURL: %w", err)
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Timeout: fetchLimit}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Source{cfg: cfg, grant: clientcredentials.Config{
		ClientID: cfg.ClientID, ClientSecret: cfg.Secret, TokenURL: cfg.TokenURL, Scopes: cfg.Scopes,
		AuthStyle: oauth2.AuthStyleInHeader,
	}}
	if cfg.Audience != "" {
		s.grant.EndpointParams = url.Values{"resource": {cfg.Audience}}
	}
	client := *cfg.HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &client
	return s, nil
}

// Token returns a token that is good for at least some seconds. It waits for the issuer only where there is none: a
// token that is past two thirds of its life is renewed meanwhile. The error holds no secret.
func (s *Source) Token(ctx context.Context) (string, error) {
	now := s.cfg.Now()
	h := s.current.Load()
	switch {
	case h != nil && now.Before(h.renew):
		return h.token, nil
	case h != nil && now.Before(h.expiry.Add(-margin)):
		if !s.failedJustNow(now) {
			s.fetch(ctx)
		}
		return h.token, nil
	}
	if s.failedJustNow(now) {
		return "", s.failed.Load().err
	}
	select {
	case r := <-s.fetch(ctx):
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(*held).token, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for a token of %s: %w", s.cfg.ClientID, ctx.Err())
	}
}

// Refused drops a token that a peer has refused, so that the next call gets another.
func (s *Source) Refused(token string) {
	h := s.current.Load()
	if h != nil && h.token == token && s.cfg.Now().Sub(h.asked) >= minHeld {
		s.current.CompareAndSwap(h, nil)
	}
}

func (s *Source) failedJustNow(now time.Time) bool {
	f := s.failed.Load()
	return f != nil && now.Sub(f.at) < retryPause
}

// fetch begins a request, or joins the one that is under way. It does not end with the caller who began it, because
// others may wait for it; fetchLimit ends it.
func (s *Source) fetch(ctx context.Context) <-chan singleflight.Result {
	return s.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
		defer cancel()
		if h := s.current.Load(); h != nil && s.cfg.Now().Before(h.renew) {
			return h, nil // the request before this one has got it
		}
		h, err := s.request(ctx)
		if err != nil {
			s.failed.Store(&failure{err: err, at: s.cfg.Now()})
			s.cfg.Logger.WarnContext(ctx, "a token cannot be had", "client", s.cfg.ClientID, "error", err)
			return nil, err
		}
		s.current.Store(h)
		return h, nil
	})
}

func (s *Source) request(ctx context.Context) (*held, error) {
	asked := s.cfg.Now()
	token, err := s.grant.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client))
	if err != nil {
		return nil, fmt.Errorf("get a token for %s: %w", s.cfg.ClientID, public(err))
	}
	if token.TokenType != "" && token.Type() != "Bearer" {
		return nil, fmt.Errorf("get a token for %s: its type %q is not Bearer", s.cfg.ClientID, token.TokenType)
	}
	// Counted from when it was asked for. The library gives the end by the machine's clock, from "expires_in", so that
	// the same clock takes the life out of it. A token that does not say how long it lives is not kept.
	var life time.Duration
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	return &held{token: token.AccessToken, asked: asked, renew: asked.Add(life * 2 / 3), expiry: asked.Add(life)}, nil
}

// public leaves of an error of the issuer what may stand in a log: the body of its answer may echo anything.
func public(err error) error {
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) {
		if retrieve.ErrorCode == "invalid_client" {
			return fmt.Errorf("the issuer refuses the client or its secret (%s %s)", retrieve.Response.Status, retrieve.ErrorCode)
		}
		return fmt.Errorf("%s %s", retrieve.Response.Status, retrieve.ErrorCode)
	}
	return err
}
