package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// only demands that of the answers one is a success, and all others a given error, and returns that one.
func only(t *testing.T, replies []reply, status int, code string) reply {
	t.Helper()
	var won []reply
	for _, r := range replies {
		if r.status == http.StatusOK {
			won = append(won, r)
			continue
		}
		demandError(t, "one who lost", r, status, code)
	}
	if len(won) != 1 {
		t.Fatalf("%d of %d succeeded", len(won), len(replies))
	}
	return won[0]
}

func (s *issuers) deviceOnce(t *testing.T) {
	here := s.each[0]
	begun, err := s.post(t.Context(), here, "/oauth2/device_authorization", url.Values{"scope": {"openid profile"}})
	if err != nil || begun.status != http.StatusOK {
		t.Fatalf("%d %s, %v", begun.status, begun.body, err)
	}
	browser := s.browser()
	s.code(t, browser, here) // signs in
	page := post(t, browser, here.url+"/device", url.Values{"user_code": {begun.str("user_code")}})
	form := url.Values{"decision": {"allow"}}
	for _, field := range hidden.FindAllSubmatch(page.body, -1) {
		form.Set(string(field[1]), string(field[2]))
	}
	if a := post(t, browser, s.each[1].url+"/device/answer", form); a.status != http.StatusOK {
		t.Fatalf("connecting: %d %s", a.status, a.body)
	}
	poll := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {begun.str("device_code")}}
	won := only(t, s.rush(t, 100, "/oauth2/token", poll), http.StatusBadRequest, "invalid_grant")
	s.refusedBy(t, won.str("access_token"))
	demandError(t, "its refresh token", s.refresh(t, here, won.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

func (s *issuers) pushedOnce(t *testing.T) {
	_, query, _ := strings.Cut(authorizes(), "?")
	form, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := s.post(t.Context(), s.each[0], "/oauth2/par", form)
	if err != nil || pushed.status != http.StatusCreated {
		t.Fatalf("%d %s, %v", pushed.status, pushed.body, err)
	}
	browser := s.browser()
	s.code(t, browser, s.each[1]) // signs in
	request := "/oauth2/authorize?" + url.Values{"client_id": {issuerApp}, "request_uri": {pushed.str("request_uri")}}.Encode()
	var codes atomic.Int64
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			a, err := try(t.Context(), browser, http.MethodGet, s.each[i%len(s.each)].url+request, nil)
			switch {
			case err != nil:
				t.Error(err)
			case a.status == http.StatusSeeOther && strings.Contains(a.header.Get("Location"), "code="):
				codes.Add(1)
			case a.status != http.StatusBadRequest || a.header.Get("Location") != "":
				t.Errorf("%d %s", a.status, a.header.Get("Location"))
			}
		})
	}
	all.Wait()
	if n := codes.Load(); n != 1 {
		t.Errorf("%d codes", n)
	}
}

func (s *issuers) assertedOnce(t *testing.T) {
	now := time.Now()
	claims := jwt.New()
	for name, value := range map[string]any{"iss": "keyholder", "sub": "keyholder", "aud": s.issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()} {
		if err := claims.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	assertion, err := jwt.Sign(claims, jwt.WithKey(jwa.ES256, s.key))
	if err != nil {
		t.Fatal(err)
	}
	byKey := func(r *http.Request) { r.Header.Del("Authorization") }
	only(t, s.rush(t, 100, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_assertion": {string(assertion)},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, byKey), http.StatusUnauthorized, "invalid_client")
}

// makeKey makes the key of the client keyholder and returns what the service is told of it.
func (s *issuers) makeKey() (jwks string) {
	s.t.Helper()
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		s.t.Fatal(err)
	}
	public, err := jwk.FromRaw(s.key.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	set := jwk.NewSet()
	_ = set.AddKey(public) // fails for one that is there already
	encoded, err := json.Marshal(set)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(encoded)
}
