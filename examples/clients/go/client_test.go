package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"example.org/stand"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// website is a confidential client with an address to return to.
type website struct {
	*stand.Stand
	*oidc.Provider
	oauth2.Config
	answers chan url.Values
}

// newWebsite registers one. It has what discovery told it and nothing else.
func newWebsite(t *testing.T, flags ...string) *website {
	t.Helper()
	w := &website{Stand: stand.Open(t), answers: make(chan url.Values, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			w.answers <- r.URL.Query()
		}
	}))
	t.Cleanup(server.Close)
	var err error
	if w.Provider, err = oidc.NewProvider(t.Context(), w.Issuer); err != nil {
		t.Fatal(err)
	}
	w.Config = oauth2.Config{Endpoint: w.Provider.Endpoint(), RedirectURL: server.URL + "/callback",
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}}
	made := w.Register(t, append([]string{"--grant", "authorization_code,refresh_token", "--scope", "openid,profile,email,offline_access",
		"--redirect-uri", w.RedirectURL, "--post-logout-redirect-uri", server.URL + "/"}, flags...)...)
	w.ClientID, w.ClientSecret = made.ID, made.Secret
	return w
}

// signIn has a person sign in, and consent, and returns the tokens with the ID token, verified.
func (w *website) signIn(t *testing.T, p *stand.Person, options ...oauth2.AuthCodeOption) (*oauth2.Token, *oidc.IDToken) {
	t.Helper()
	pkce := oauth2.GenerateVerifier()
	p.Open(w.AuthCodeURL("state", append(options, oidc.Nonce("nonce"), oauth2.S256ChallengeOption(pkce))...)).SignIn().Press("Allow", nil)
	answer := <-w.answers
	if answer.Get("state") != "state" || answer.Get("iss") != w.Issuer {
		t.Fatalf("returned with %v", answer)
	}
	tokens, err := w.Exchange(t.Context(), answer.Get("code"), oauth2.VerifierOption(pkce))
	if err != nil {
		t.Fatal(err)
	}
	return tokens, w.verify(t, tokens)
}

func (w *website) verify(t *testing.T, tokens *oauth2.Token) *oidc.IDToken {
	t.Helper()
	text, _ := tokens.Extra("id_token").(string)
	idToken, err := w.Verifier(&oidc.Config{ClientID: w.ClientID}).Verify(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if err := idToken.VerifyAccessToken(tokens.AccessToken); err != nil {
		t.Error(err)
	}
	return idToken
}

func TestAnIDTokenIsVerified(t *testing.T) {
	t.Parallel()
	w := newWebsite(t)
	tokens, idToken := w.signIn(t, w.Person(t, "mary"))
	if mary := w.User(t, "mary"); idToken.Subject != mary.Subject || idToken.Nonce != "nonce" {
		t.Errorf("about %s with nonce %q, want %s", idToken.Subject, idToken.Nonce, mary.Subject)
	}
	// Another application's token signs nobody in here.
	other := newWebsite(t)
	if _, err := other.Verifier(&oidc.Config{ClientID: other.ClientID}).Verify(t.Context(), tokens.Extra("id_token").(string)); err == nil {
		t.Error("another application accepts it")
	}
}

func TestAnIDTokenHasTheAlgorithmThatTheClientRegisteredFor(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{oidc.ES256, oidc.RS256, oidc.EdDSA} {
		w := newWebsite(t, "--id-token-alg", alg)
		tokens, _ := w.signIn(t, w.Person(t, "alice"))
		verifier := w.Verifier(&oidc.Config{ClientID: w.ClientID, SupportedSigningAlgs: []string{alg}})
		if _, err := verifier.Verify(t.Context(), tokens.Extra("id_token").(string)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestATokenSourceRefreshes shows it tokens that have ended, as they have after five minutes.
func TestATokenSourceRefreshes(t *testing.T) {
	t.Parallel()
	w := newWebsite(t)
	first, signedIn := w.signIn(t, w.Person(t, "mary"))
	tokens := first
	for range 3 {
		expired := *tokens
		expired.Expiry = time.Now().Add(-time.Minute)
		renewed, err := w.TokenSource(t.Context(), &expired).Token()
		if err != nil {
			t.Fatal(err)
		}
		if renewed.AccessToken == tokens.AccessToken || renewed.RefreshToken == tokens.RefreshToken {
			t.Error("not rotated")
		}
		if again := w.verify(t, renewed); again.Subject != signedIn.Subject {
			t.Errorf("renewed for %s, was %s", again.Subject, signedIn.Subject)
		}
		tokens = renewed
	}
	// The first one is long used up: it ends the whole family.
	stolen := &oauth2.Token{RefreshToken: first.RefreshToken}
	wantRefused(t, "invalid_grant", func() error { _, err := w.TokenSource(t.Context(), stolen).Token(); return err })
	wantRefused(t, "invalid_grant", func() error {
		_, err := w.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
		return err
	})
}

func wantRefused(t *testing.T, code string, call func() error) {
	t.Helper()
	err := call()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || refused.ErrorCode != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	w := newWebsite(t)
	tokens, idToken := w.signIn(t, w.Person(t, "alice"))
	info, err := w.UserInfo(t.Context(), w.TokenSource(t.Context(), tokens))
	if err != nil {
		t.Fatal(err)
	}
	if info.Subject != idToken.Subject || info.Email != w.User(t, "alice").Username || !info.EmailVerified {
		t.Errorf("UserInfo says %+v", info)
	}
}

// TestADevice is RFC 8628: the program shows a code, and the person types it where there is a browser.
func TestADevice(t *testing.T) {
	t.Parallel()
	s := stand.Open(t)
	provider, err := oidc.NewProvider(t.Context(), s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	made := s.Register(t, "--public", "--grant", "urn:ietf:params:oauth:grant-type:device_code,refresh_token", "--scope", "openid,offline_access")
	config := oauth2.Config{ClientID: made.ID, Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, oidc.ScopeOfflineAccess}}
	request, err := config.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Person(t, "mary").Open(request.VerificationURI).SignIn().
		Press("Continue", url.Values{"user_code": {request.UserCode}}).Press("Allow", nil)
	tokens, err := config.DeviceAccessToken(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	idToken, err := provider.Verifier(&oidc.Config{ClientID: made.ID}).Verify(t.Context(), tokens.Extra("id_token").(string))
	if err != nil || idToken.Subject != s.User(t, "mary").Subject {
		t.Errorf("connected as %+v, %v", idToken, err)
	}
	if renewed, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token(); err != nil {
		t.Errorf("renewed to %+v, %v", renewed, err)
	}
}

// TestSigningOut is RP-initiated logout, which these libraries leave to the application but for the endpoint's address.
func TestSigningOut(t *testing.T) {
	t.Parallel()
	w := newWebsite(t)
	mary := w.Person(t, "mary")
	tokens, _ := w.signIn(t, mary)
	var further struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := w.Claims(&further); err != nil {
		t.Fatal(err)
	}
	home := w.RedirectURL[:len(w.RedirectURL)-len("callback")]
	out := url.Values{"id_token_hint": {tokens.Extra("id_token").(string)}, "post_logout_redirect_uri": {home}, "state": {"bye"}}
	if page := mary.Open(further.EndSession + "?" + out.Encode()); page.URL.String() != home+"?state=bye" {
		t.Errorf("arrived at %s", page.URL)
	}
	if _, err := w.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens)); err == nil {
		t.Error("the access token still works")
	}
	wantRefused(t, "invalid_grant", func() error {
		_, err := w.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
		return err
	})
	mary.Open(w.AuthCodeURL("state", oauth2.SetAuthURLParam("prompt", "none"), oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	if answer := <-w.answers; answer.Get("error") != "login_required" {
		t.Errorf("still signed in: %v", answer)
	}
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	s := stand.Open(t)
	provider, err := oidc.NewProvider(t.Context(), s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	made := s.Register(t, "--grant", "client_credentials", "--scope", "customer.read")
	for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams, "found out": oauth2.AuthStyleAutoDetect} {
		config := clientcredentials.Config{ClientID: made.ID, ClientSecret: made.Secret, TokenURL: provider.Endpoint().TokenURL, AuthStyle: style}
		if tokens, err := config.Token(t.Context()); err != nil || tokens.Type() != "Bearer" || tokens.RefreshToken != "" {
			t.Errorf("%s: %+v, %v", name, tokens, err)
		}
		config.ClientSecret += "x"
		wantRefused(t, "invalid_client", func() error { _, err := config.Token(t.Context()); return err })
	}
}
