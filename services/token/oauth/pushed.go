package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/account"
)

const (
	requestURIPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedLifetime is how long a browser may take to come with a pushed request.
	pushedLifetime = 90 * time.Second
	// pushesPerClient and pushesPerAddress bound what is kept within pushedLifetime: for a client that has proven itself, and
	// for everybody who names a client that cannot, from one address.
	pushesPerClient  = 5000
	pushesPerAddress = 500
)

// Pushed is a pushed authorization request (RFC 9126), checked.
type Pushed struct {
	Request Authorization
	// Expires is when no browser may come with it any more, but for the one that has.
	Expires time.Time
	// Browser is the one that is in the middle of it; empty while it is nobody's.
	Browser string
}

// PushRequest is a request to the endpoint where authorization requests are pushed (RFC 9126, section 2.1).
type PushRequest struct {
	Credentials Credentials
	Form        url.Values
	// Address is where it came from.
	Address string
	// Proof binds the code to the key that it proves (RFC 9449, section 10.1); without Proofs in it to none.
	Proof dpop.Request
}

// PushResponse is the answer to a client that pushes a request (RFC 9126, section 2.2).
type PushResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

// Push checks an authorization request as if it had come by a browser and keeps it for a moment (RFC 9126, section 2.1).
func (s *Server) Push(ctx context.Context, req PushRequest) (PushResponse, error) {
	client, err := s.Authenticate(ctx, req.Credentials)
	if err != nil {
		return PushResponse{}, err
	}
	if req.Form.Has("request_uri") {
		return PushResponse{}, refuse(CodeInvalidRequest, "request_uri must not be pushed")
	}
	if err := s.limitPushes(ctx, &client, req.Address); err != nil {
		return PushResponse{}, err
	}
	request := url.Values{}
	for name, values := range req.Form {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			request[name] = values
		}
	}
	request.Set("client_id", client.ID)
	a, _, err := s.check(ctx, request, true)
	if redirect, ok := errors.AsType[*RedirectError](err); ok {
		err = redirect.Err // there is no browser here to redirect
	}
	if err != nil {
		return PushResponse{}, err
	}
	if err := s.bindPushed(ctx, &client, &a, req); err != nil {
		return PushResponse{}, err
	}
	id := rand.Text() + rand.Text()
	a.Pushed = hashCode(id)
	if err := s.Pushes.PutPushed(ctx, a.Pushed, Pushed{Request: a, Expires: s.Now().Add(pushedLifetime)}, pushedLifetime); err != nil {
		return PushResponse{}, fmt.Errorf("storing a pushed request: %w", err)
	}
	return PushResponse{RequestURI: requestURIPrefix + id, ExpiresIn: int64(pushedLifetime / time.Second)}, nil
}

// bindPushed binds the code that will come of a pushed request to the key of its DPoP proof, as the parameter dpop_jkt does.
func (s *Server) bindPushed(ctx context.Context, client *Client, a *Authorization, req PushRequest) error {
	if len(req.Proof.Proofs) == 0 {
		return nil
	}
	if a.ResponseType != ResponseCode || client.CertificateBoundTokens {
		return refuse(CodeInvalidRequest, "no DPoP proof goes with this request: nothing that comes of it can be bound to its key")
	}
	key, err := s.provenKey(ctx, client, req.Proof, req.Address)
	if err != nil {
		return err
	}
	if a.JKT != "" && a.JKT != key {
		return refuse(CodeInvalidRequest, "dpop_jkt is another key than that of the DPoP proof")
	}
	a.JKT = key
	return nil
}

func (s *Server) limitPushes(ctx context.Context, client *Client, address string) error {
	bucket := account.Bucket{Name: "push:client:" + client.ID, Limit: pushesPerClient, Window: pushedLifetime}
	if client.Public {
		bucket = account.Bucket{Name: "push:address:" + account.Network(address), Limit: pushesPerAddress, Window: pushedLifetime}
	}
	wait, err := s.Attempts.Begin(ctx, []account.Bucket{bucket})
	if err != nil {
		return fmt.Errorf("counting pushed requests: %w", err)
	}
	if wait > 0 {
		return &Error{Code: CodeSlowDown, Description: "too many pushed requests", RetryAfter: wait}
	}
	return nil
}

func errInvalidRequestURI() error {
	return refuse(CodeInvalidRequestURI, "the request_uri is not known, has expired, or was used")
}

// pushed returns the request that a browser comes with (RFC 9126, section 4). Whatever else is in the URL counts for nothing.
// It stays where it is: a person who reloads the page is not to blame for it. It is over once it is answered.
func (s *Server) pushed(ctx context.Context, form url.Values, browser string) (Authorization, Client, error) {
	id := strings.TrimPrefix(form.Get("request_uri"), requestURIPrefix)
	if len(form["request_uri"]) != 1 || len(form["client_id"]) != 1 || form.Has("request") {
		return Authorization{}, Client{}, refuse(CodeInvalidRequest, "client_id and request_uri must be given once, and no request")
	}
	p, err := s.Pushes.Pushed(ctx, hashCode(id))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Authorization{}, Client{}, fmt.Errorf("looking up a pushed request: %w", err)
	}
	free := p.Browser == "" && s.Now().Before(p.Expires)
	held := p.Browser != "" && p.Browser == browser
	if err != nil || p.Request.ClientID != form.Get("client_id") || !free && !held {
		return Authorization{}, Client{}, errInvalidRequestURI()
	}
	client, err := s.Recheck(ctx, &p.Request)
	if errors.Is(err, ErrNotFound) {
		return Authorization{}, Client{}, errInvalidRequestURI()
	}
	if err != nil {
		return Authorization{}, Client{}, fmt.Errorf("looking up a client: %w", err)
	}
	return p.Request, client, nil
}

// Hold keeps a pushed request for a browser whose person takes a while to answer, for as long as lifetime. From then on no
// other browser can come with it. Of a request that was not pushed there is nothing to hold.
func (s *Server) Hold(ctx context.Context, a *Authorization, browser string, lifetime time.Duration) error {
	if a.Pushed == "" {
		return nil
	}
	held, err := s.Pushes.HoldPushed(ctx, a.Pushed, browser, lifetime)
	if err != nil {
		return fmt.Errorf("holding a pushed request: %w", err)
	}
	if !held {
		return errInvalidRequestURI()
	}
	return nil
}

// answerPushed ends a pushed request. Of any number of answers to one exactly one is given.
func (s *Server) answerPushed(ctx context.Context, a *Authorization) error {
	if a.Pushed == "" {
		return nil
	}
	first, err := s.Pushes.TakePushed(ctx, a.Pushed)
	if err != nil {
		return fmt.Errorf("taking a pushed request: %w", err)
	}
	if !first {
		return errInvalidRequestURI()
	}
	return nil
}
