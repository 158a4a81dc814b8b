package upstream

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/realguardio/realguardio/services/token/account"
)

// leeway is the clock difference tolerated in what a provider says.
const leeway = 30 * time.Second

var (
	// ErrUnknown says that there is no such provider.
	ErrUnknown = errors.New("upstream: no such provider")
	// ErrUnavailable says that the provider cannot be asked at this moment.
	ErrUnavailable = errors.New("upstream: the provider is not available")
	// ErrDenied says that the provider did not sign the person in.
	ErrDenied = errors.New("upstream: the provider denied the sign-in")
	// ErrForged says that an answer is not what the provider issued for this sign-in.
	ErrForged = errors.New("upstream: the answer is not the provider's to this sign-in")
	// ErrStale says that the person had to sign in there anew, and the provider does not say that they did.
	ErrStale = errors.New("upstream: the provider does not show a fresh sign-in")
)

// Config says which providers there are.
type Config struct {
	Providers []Provider
	// Issuer is our own, below which redirect URIs are.
	Issuer string
	// Plaintext admits providers on other machines without TLS.
	Plaintext bool
	Now       func() time.Time
	Logger    *slog.Logger
}

// Parties is us at every provider. It is safe for concurrent use.
type Parties struct {
	cfg  Config
	byID map[string]*party
	http *http.Client
}

// New checks the providers and asks none of them.
func New(cfg Config) (*Parties, error) {
	ps := &Parties{cfg: cfg, byID: map[string]*party{}, http: newClient()}
	issuers := map[string]string{cfg.Issuer: "ourselves"}
	var problems []error
	for _, p := range cfg.Providers {
		if err := p.Validate(cfg.Plaintext); err != nil {
			problems = append(problems, fmt.Errorf("upstream provider %s: %w", p.ID, err))
		}
		if ps.byID[p.ID] != nil {
			problems = append(problems, fmt.Errorf("upstream provider %s: is there twice", p.ID))
		}
		// Who somebody is is told by issuer: two with one would be one, with two kinds of trust.
		if other := issuers[p.Issuer]; other != "" {
			problems = append(problems, fmt.Errorf("upstream provider %s: has the issuer of %s", p.ID, other))
		}
		if len(p.Scopes) == 0 {
			p.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
		}
		issuers[p.Issuer] = p.ID
		ps.byID[p.ID] = &party{Provider: p, in: ps, turn: make(chan struct{}, 1)}
	}
	return ps, errors.Join(problems...)
}

// CallbackPath is where provider id sends browsers back to.
func CallbackPath(id string) string { return "/login/" + id + "/callback" }

// RedirectURI is what is registered at provider id.
func (ps *Parties) RedirectURI(id string) string { return ps.cfg.Issuer + CallbackPath(id) }

// Providers returns all, as configured.
func (ps *Parties) Providers() []Provider { return ps.cfg.Providers }

// Provider returns one, or ErrUnknown.
func (ps *Parties) Provider(id string) (Provider, error) {
	p := ps.byID[id]
	if p == nil {
		return Provider{}, ErrUnknown
	}
	return p.Provider, nil
}

// Pending is a sign-in that a provider has not answered yet, to be kept where the browser can neither read nor change it.
type Pending struct {
	Provider        string
	Nonce, Verifier string
	// Since is when the person must have signed in there at the earliest; zero for any time. Unproven is as in Wish.
	Since    time.Time
	Unproven bool
}

// Wish is what a sign-in has to be like.
type Wish struct {
	// Fresh wants the person to sign in there anew, unless they did less than MaxAge ago.
	Fresh  bool
	MaxAge time.Duration
	// Unproven takes it that they did where the provider does not say when: that they came back from there is enough.
	Unproven bool
	// Choose lets the person choose between accounts there.
	Choose bool
}

// Begin starts a sign-in at a provider. It returns where to send the browser; the provider answers with state.
func (ps *Parties) Begin(ctx context.Context, id, state string, wish Wish) (to string, pending Pending, err error) {
	p := ps.byID[id]
	if p == nil {
		return "", Pending{}, ErrUnknown
	}
	k, err := p.ready(ctx)
	if err != nil {
		return "", Pending{}, err
	}
	pending = Pending{Provider: id, Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	opts := []oauth2.AuthCodeOption{oidc.Nonce(pending.Nonce), oauth2.S256ChallengeOption(pending.Verifier)}
	switch {
	case wish.Fresh:
		pending.Since, pending.Unproven = ps.cfg.Now().Add(-wish.MaxAge), wish.Unproven
		opts = append(opts, oauth2.SetAuthURLParam("max_age", strconv.FormatInt(int64(wish.MaxAge/time.Second), 10)))
		if wish.MaxAge == 0 {
			opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"))
		}
	case wish.Choose:
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "select_account"))
	}
	return k.oauth.AuthCodeURL(state, opts...), pending, nil
}

// Finish redeems the provider's answer, whose state is that of this sign-in, and returns who has signed in, and when:
// zero if the provider does not say.
func (ps *Parties) Finish(ctx context.Context, pending Pending, answer url.Values) (id account.Identity, at time.Time, err error) {
	p := ps.byID[pending.Provider]
	if p == nil {
		return account.Identity{}, time.Time{}, ErrUnknown
	}
	k, err := p.ready(ctx)
	if err != nil {
		return account.Identity{}, time.Time{}, err
	}
	iss := answer["iss"]
	switch {
	case len(iss) > 1, len(iss) == 1 && iss[0] != p.Issuer, len(iss) == 0 && k.metadata.IssParameter:
		return account.Identity{}, time.Time{}, fmt.Errorf("%w: iss", ErrForged)
	case answer.Has("error"):
		return account.Identity{}, time.Time{}, fmt.Errorf("%w: %.64q", ErrDenied, answer.Get("error"))
	case len(answer["code"]) != 1 || answer.Get("code") == "" || len(answer.Get("code")) > 4096:
		return account.Identity{}, time.Time{}, fmt.Errorf("%w: code", ErrForged)
	}
	token, err := k.oauth.Exchange(p.client(ctx), answer.Get("code"), oauth2.VerifierOption(pending.Verifier))
	if err != nil {
		return account.Identity{}, time.Time{}, explain(err)
	}
	claims, err := p.verify(ctx, k, token, pending)
	if err != nil {
		return account.Identity{}, time.Time{}, err
	}
	if claims.Email == "" {
		if err := p.userInfo(ctx, k, token, &claims); err != nil {
			return account.Identity{}, time.Time{}, err
		}
	}
	if claims.AuthTime != 0 {
		at = time.Unix(claims.AuthTime, 0)
	}
	if at.Before(pending.Since.Add(-leeway)) && !(at.IsZero() && pending.Unproven) {
		return account.Identity{}, time.Time{}, ErrStale
	}
	id = account.Identity{Issuer: p.Issuer, Subject: claims.Subject, Email: claims.Email, EmailVerified: bool(claims.EmailVerified), Name: claims.Name}
	return id, at, nil
}

// claims are what we read of an ID token and of UserInfo.
type claims struct {
	Subject         string `json:"sub"`
	AuthorizedParty string `json:"azp"`
	AuthTime        int64  `json:"auth_time"`
	Email           string `json:"email"`
	EmailVerified   truth  `json:"email_verified"`
	Name            string `json:"name"`
}

// truth is true, or "true" as some providers write it; whatever else it is, it is not.
type truth bool

func (t *truth) UnmarshalJSON(text []byte) error {
	*t = string(text) == `true` || string(text) == `"true"`
	return nil
}

// verify returns what the ID token says, if the provider has issued it for us and this sign-in.
func (p *party) verify(ctx context.Context, k *known, token *oauth2.Token, pending Pending) (c claims, err error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return c, fmt.Errorf("%w: no ID token", ErrForged)
	}
	id, err := k.verifier.Verify(p.client(ctx), raw)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrForged, err)
	}
	if err := id.Claims(&c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrForged, err)
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(pending.Nonce)) != 1:
		return c, fmt.Errorf("%w: nonce", ErrForged)
	case len(id.Audience) > 1 && c.AuthorizedParty == "", c.AuthorizedParty != "" && c.AuthorizedParty != p.ClientID:
		return c, fmt.Errorf("%w: azp", ErrForged)
	case c.Subject == "" || len(c.Subject) > 255: // Core, section 2
		return c, fmt.Errorf("%w: sub", ErrForged)
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return c, fmt.Errorf("%w: at_hash", ErrForged)
	}
	return c, nil
}

// userInfo adds what the provider says at its UserInfo endpoint only (Core, section 5.4). One that says nothing there is
// none the worse; one that speaks of somebody else is.
func (p *party) userInfo(ctx context.Context, k *known, token *oauth2.Token, c *claims) error {
	if k.metadata.UserInfoEndpoint == "" {
		return nil
	}
	info, err := k.provider.UserInfo(p.client(ctx), oauth2.StaticTokenSource(token))
	if err != nil {
		p.in.cfg.Logger.WarnContext(ctx, "an upstream provider does not tell who has signed in", "provider", p.ID, "error", withoutURL(err))
		return nil
	}
	var said claims
	if err := info.Claims(&said); err != nil || said.Subject != c.Subject {
		return fmt.Errorf("%w: UserInfo is of somebody else", ErrForged)
	}
	c.Email, c.EmailVerified = said.Email, said.EmailVerified
	if c.Name == "" {
		c.Name = said.Name
	}
	return nil
}

// explain tells a code that the provider refuses from a provider that does not work. The provider's body may repeat what
// was sent to it, and goes nowhere.
func explain(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("%w: %w", ErrUnavailable, withoutURL(err))
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	kind := ErrUnavailable
	if refused.ErrorCode == "invalid_grant" {
		kind = ErrForged
	}
	return fmt.Errorf("%w: the token endpoint answered %d %.64q", kind, status, refused.ErrorCode)
}

// withoutURL is an error without the address, which may hold what was asked.
func withoutURL(err error) error {
	if named, ok := errors.AsType[*url.Error](err); ok {
		return named.Err
	}
	return err
}
