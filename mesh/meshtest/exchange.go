package meshtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// Names of RFC 8693.
const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
)

// Exchanger is a [mesh.Exchanger] that an issuer answers without HTTP. It is safe for concurrent use.
type Exchanger struct {
	issuer *Issuer
	part   string

	mu       sync.Mutex
	err      error
	life     time.Duration
	hold     chan struct{}
	requests []mesh.ExchangeRequest
}

// Exchanger exchanges tokens as part.
func (iss *Issuer) Exchanger(t testing.TB, part string) *Exchanger {
	t.Helper()
	return &Exchanger{issuer: iss, part: part, life: tokenTTL}
}

// Exchange implements [mesh.Exchanger].
func (x *Exchanger) Exchange(ctx context.Context, req mesh.ExchangeRequest) (mesh.Exchanged, error) {
	x.mu.Lock()
	x.requests = append(x.requests, req)
	failure, hold, life := x.err, x.hold, x.life
	x.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return mesh.Exchanged{}, ctx.Err()
		}
	}
	if failure != nil {
		return mesh.Exchanged{}, failure
	}
	return x.issuer.exchange(x.part, req, life)
}

// Requests are the exchanges that were asked for.
func (x *Exchanger) Requests() []mesh.ExchangeRequest {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.requests)
}

// Fail makes every exchange fail with err, until it is nil.
func (x *Exchanger) Fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = err
}

// Life is how long tokens live from now on, if what they are got for does.
func (x *Exchanger) Life(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.life = d
}

// Hold makes exchanges wait until release is called.
func (x *Exchanger) Hold() (release func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	hold := make(chan struct{})
	x.hold = hold
	return sync.OnceFunc(func() { close(hold) })
}

// exchange gives part a token for another one: no wider, no longer, with part as its actor.
func (iss *Issuer) exchange(part string, req mesh.ExchangeRequest, life time.Duration) (mesh.Exchanged, error) {
	claims, err := iss.read(req.SubjectToken)
	if err != nil {
		return mesh.Exchanged{}, fmt.Errorf("%w: %w", mesh.ErrSubjectToken, err)
	}
	if len(req.Scopes) > 0 {
		has := strings.Fields(fmt.Sprint(claims["scope"]))
		if slices.ContainsFunc(req.Scopes, func(s string) bool { return !slices.Contains(has, s) }) {
			return mesh.Exchanged{}, mesh.ErrNoScope
		}
		claims["scope"] = strings.Join(req.Scopes, " ")
	}
	if req.Audience != "" {
		claims["aud"] = []string{req.Audience}
	}
	act := map[string]any{"sub": part}
	if before := claims["act"]; before != nil {
		act["act"] = before
	}
	from, _ := claims["derived_from"].([]any)
	claims["derived_from"] = append([]any{claims["jti"]}, from...)
	now := iss.now()
	ends, _ := claims["exp"].(float64)
	expiry := time.UnixMilli(int64(ends * 1000))
	if end := now.Add(life); end.Before(expiry) {
		expiry = end
	}
	claims["act"], claims["jti"], claims["iat"], claims["exp"] = act, rand.Text(), seconds(now.Truncate(time.Millisecond)), seconds(expiry)
	delete(claims, "cnf")
	if req.Certificate != nil {
		sum := sha256.Sum256(req.Certificate.Certificate[0])
		claims["cnf"] = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	signed, err := join(iss.header(nil), claims)
	if err != nil {
		return mesh.Exchanged{}, err
	}
	token, err := signES256(iss.signer().key, signed)
	return mesh.Exchanged{Token: token, Expiry: expiry}, err
}

// read returns the claims of a token of this issuer that has not expired.
func (iss *Issuer) read(token string) (map[string]any, error) {
	end := strings.LastIndexByte(token, '.')
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("no token")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return nil, errors.New("no signature")
	}
	digest := sha256.Sum256([]byte(token[:end]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	iss.mu.Lock()
	keys := slices.Clone(iss.published)
	iss.mu.Unlock()
	if !slices.ContainsFunc(keys, func(p published) bool { return ecdsa.Verify(&p.key.PublicKey, digest[:], r, s) }) {
		return nil, errors.New("not signed here")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("no payload")
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, errors.New("no claims")
	}
	if exp, _ := claims["exp"].(float64); float64(iss.now().UnixMilli())/1000 >= exp {
		return nil, errors.New("expired")
	}
	return claims, nil
}

// serveExchange is token exchange (RFC 8693) over HTTP.
func (iss *Issuer) serveExchange(w http.ResponseWriter, r *http.Request, client string) {
	if r.PostFormValue("subject_token_type") != typeAccess {
		refuseToken(w, http.StatusBadRequest, "invalid_request")
		return
	}
	got, err := iss.exchange(client, mesh.ExchangeRequest{
		SubjectToken: r.PostFormValue("subject_token"), Audience: r.PostFormValue("audience"), Scopes: strings.Fields(r.PostFormValue("scope")),
	}, tokenTTL)
	switch {
	case errors.Is(err, mesh.ErrNoScope):
		refuseToken(w, http.StatusBadRequest, "invalid_scope")
		return
	case err != nil:
		refuseToken(w, http.StatusBadRequest, "invalid_request")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	reply(w, map[string]any{
		"access_token": got.Token, "issued_token_type": typeAccess, "token_type": "Bearer", "expires_in": int(got.Expiry.Sub(iss.now()) / time.Second),
	})
}
