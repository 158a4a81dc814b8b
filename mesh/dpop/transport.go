package dpop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Transport sends requests with an access token that is bound to Key, and the proofs for it. It is safe for concurrent use.
// Where a server asks for a nonce the request is sent once more, if it has no body or one that can be read again.
type Transport struct {
	// Key makes the proofs. Required.
	Key *Key
	// Token returns the access token. Required.
	Token func(ctx context.Context) (string, error)
	// Base sends what was prepared. Default: http.DefaultTransport.
	Base http.RoundTripper

	mu     sync.Mutex
	nonces map[string]string // the last one, by origin
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.Key == nil || t.Token == nil {
		return nil, errors.New("dpop: Transport needs Key and Token")
	}
	token, err := t.Token(r.Context())
	if err != nil {
		return nil, fmt.Errorf("dpop: get the access token: %w", err)
	}
	answer, err := t.send(r, token)
	if err != nil || answer.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(answer.Header.Get("WWW-Authenticate"), "use_dpop_nonce") {
		return answer, err
	}
	again := r.Clone(r.Context())
	switch {
	case r.Body == nil || r.Body == http.NoBody:
	case r.GetBody == nil:
		return answer, nil
	default:
		if again.Body, err = r.GetBody(); err != nil {
			return answer, nil
		}
	}
	_ = answer.Body.Close()
	return t.send(again, token)
}

// send sends r with a fresh proof, and keeps the nonce that comes back.
func (t *Transport) send(r *http.Request, token string) (*http.Response, error) {
	origin := r.URL.Scheme + "://" + r.URL.Host
	t.mu.Lock()
	nonce := t.nonces[origin]
	t.mu.Unlock()
	proof, err := t.Key.Proof(Target{Method: r.Method, URL: r.URL.String(), AccessToken: token, Nonce: nonce})
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", proof)
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	answer, err := base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if next := answer.Header.Get("DPoP-Nonce"); next != "" {
		t.mu.Lock()
		if t.nonces == nil {
			t.nonces = map[string]string{}
		}
		t.nonces[origin] = next
		t.mu.Unlock()
	}
	return answer, nil
}
