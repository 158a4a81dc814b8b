package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// TokenTypeAccess is the one type of token that is exchanged, and exchanged for (RFC 8693, section 3).
const TokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"

// maxActors bounds how often a token can be exchanged for another one.
const maxActors = 4

// Actor is who acts for the subject of a token, and who did before (RFC 8693, section 4.1).
type Actor struct {
	Subject string `json:"sub"`
	Act     *Actor `json:"act,omitempty"`
}

func (a *Actor) length() int {
	n := 0
	for ; a != nil; a = a.Act {
		n++
	}
	return n
}

// ErrSubjectToken is wrapped by the refusal of a token that is to be exchanged, whatever is wrong with it.
var ErrSubjectToken = errors.New("oauth: not a token that this client can exchange")

// errSubjectToken does not say what was wrong with a token that is to be exchanged (RFC 8693, section 2.2.2).
func errSubjectToken() error {
	return fmt.Errorf("%w: %w", ErrSubjectToken,
		refuse(CodeInvalidRequest, "the subject_token is invalid, expired, revoked, or not for this client"))
}

// exchange is what somebody asks for in exchange for a token.
type exchange struct {
	token string
	// scopes are all asked for: one that the token has not is refused. None: those of the token.
	scopes []string
	// audience has values that there are. None: that of the token.
	audience []string
	// confirmation is the key that the client has proven to hold; nil for none.
	confirmation *Confirmation
	// part says that the client is a part of the mesh, which its certificate proves as well as its own token does, and that
	// asks for the sake of a call that it answers. Its guard has seen the proof for a token that is bound to a key; of
	// scopes it asks for those that the token has; and it may call on for others (see onward).
	part bool
	// certificate is the part's. The new token is bound to it if bind says so, or if the old one is bound to a key: or
	// exchanging it would be a way to be rid of that.
	certificate *Confirmation
	bind        bool
}

// proveByExchange gives a token for another one (RFC 8693).
func (s *Server) proveByExchange(ctx context.Context, client *Client, scopes []string, req TokenRequest) (claim, error) {
	if err := checkExchange(req); err != nil {
		return claim{}, err
	}
	audience, err := targets(slices.Concat(req.resources, req.Form["audience"]))
	if err != nil {
		return claim{}, err
	}
	derived, err := s.exchanged(ctx, client, exchange{
		token: req.Form.Get("subject_token"), scopes: scopes, audience: audience, confirmation: req.sender,
	})
	return claim{exchanged: &derived}, err
}

// exchanged returns the claims of the token that is given for another: it may do no more, for no longer, and ends with it.
//
// It stays the token of the client that the person allowed, and of their session and grant: whatever ends one of those
// ends it, too. Who exchanges is the actor.
func (s *Server) exchanged(ctx context.Context, client *Client, x exchange) (AccessClaims, error) {
	subject, err := s.AccessToken(ctx, x.token)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeInvalidToken {
		return AccessClaims{}, errSubjectToken()
	}
	if err != nil {
		return AccessClaims{}, err
	}
	if x.part && (x.bind || subject.Confirmation != nil) {
		x.confirmation = x.certificate
	}
	if !subject.exchangeableBy(client, x) {
		return AccessClaims{}, errSubjectToken()
	}
	holder, err := s.holder(ctx, &subject)
	if err != nil {
		return AccessClaims{}, err
	}
	if subject.Act.length() >= maxActors {
		return AccessClaims{}, refuse(CodeInvalidRequest, "the subject_token was exchanged too often")
	}
	derived, err := subject.narrowed(client, &holder, x)
	if err != nil {
		return AccessClaims{}, err
	}
	now := s.Now()
	derived.TokenID, derived.IssuedAt = rand.Text(), now.Unix()
	derived.Expiry = min(subject.Expiry, now.Add(client.accessTokenLifetime(now)).Unix())
	derived.Act = &Actor{Subject: client.ID, Act: subject.Act}
	derived.DerivedFrom = append([]string{subject.TokenID}, subject.DerivedFrom...)
	if subject.keyID != "" && !slices.Contains(subject.DerivedKeys, subject.keyID) { // an opaque token is signed by none
		derived.DerivedKeys = append([]string{subject.keyID}, subject.DerivedKeys...)
	}
	derived.Confirmation = x.confirmation
	return derived, nil
}

// exchangeableBy tells whether a client may have another token for c: it got c, or is a part that c is for, and c is either
// a bearer token or proven to come from who holds its key. A part's own token is tied to its certificate, and is of no use
// to others.
func (c *AccessClaims) exchangeableBy(client *Client, x exchange) bool {
	if c.Caller == "workload" || !c.issuedTo(client) && !c.isFor(client) {
		return false
	}
	if c.Confirmation == nil {
		return true
	}
	proven := x.confirmation != nil && *x.confirmation == *c.Confirmation
	return proven || x.part && c.isFor(client)
}

func checkExchange(req TokenRequest) error {
	switch requested := req.Form.Get("requested_token_type"); {
	case req.Form.Get("subject_token") == "":
		return refuse(CodeInvalidRequest, "subject_token is missing")
	case req.Form.Get("subject_token_type") != TokenTypeAccess:
		return refuse(CodeInvalidRequest, "subject_token_type must be that of an access token")
	case requested != "" && requested != TokenTypeAccess:
		return refuse(CodeInvalidRequest, "requested_token_type must be that of an access token")
	case req.Form.Has("actor_token") || req.Form.Has("actor_token_type"):
		// Nobody is registered to act for somebody else than themselves.
		return refuse(CodeInvalidRequest, "actor_token is not supported: the client that exchanges is the actor")
	}
	return nil
}

// holder returns the client that a token was issued to, if that and the person are still there as the token knew them.
func (s *Server) holder(ctx context.Context, c *AccessClaims) (Client, error) {
	client, err := s.Clients.Client(ctx, c.ClientID)
	if errors.Is(err, ErrNotFound) || err == nil && !client.Live(s.Now()) {
		return Client{}, errSubjectToken()
	}
	if err != nil {
		return Client{}, fmt.Errorf("looking up the client of a token: %w", err)
	}
	if c.Caller != "user" {
		return client, nil
	}
	user, err := s.Accounts.User(ctx, c.Subject)
	if errors.Is(err, account.ErrNotFound) || err == nil && (user.Disabled || user.Epoch > c.Epoch) {
		return Client{}, errSubjectToken()
	}
	if err != nil {
		return Client{}, fmt.Errorf("looking up the subject of a token: %w", err)
	}
	return client, nil
}

// narrowed returns the claims with the scopes and the audience that are asked for, which must be parts of what is there.
func (c *AccessClaims) narrowed(client, holder *Client, x exchange) (AccessClaims, error) {
	has := parseScopes(c.Scope)
	if x.part && len(x.scopes) > 0 {
		// Which may leave none: then the token carries none.
		has = slices.DeleteFunc(has, func(s string) bool { return !slices.Contains(x.scopes, s) })
		x.scopes = nil
	}
	scopes, err := within(x.scopes, has)
	if err != nil {
		return AccessClaims{}, refuse(CodeInvalidScope, "a scope is not one of the subject_token")
	}
	if scopes, err = stillRegistered(scopes, holder.Scopes); err != nil {
		return AccessClaims{}, refuse(CodeInvalidScope, "nothing is left of the scopes of the subject_token")
	}
	derived := *c
	derived.Scope = strings.Join(scopes, " ")
	reach := c.Audience
	if x.part && len(x.audience) > 0 {
		reach = slices.Concat(reach, onward[client.ID])
	}
	if derived.Audience, err = (&Grant{Audience: reach}).narrowed(x.audience); err != nil {
		return AccessClaims{}, err
	}
	if c.Caller == "user" && !holder.FirstParty {
		if !slices.Contains(scopes, ScopeProfile) {
			derived.Name = ""
		}
		if !slices.Contains(scopes, ScopeEmail) {
			derived.Email = ""
		}
	}
	return derived, nil
}

// PartExchange is what a part of the mesh asks for on behalf of whom it answers.
type PartExchange struct {
	// Part is the id of its client. It has proven itself by its own token and its certificate.
	Part         string
	SubjectToken string
	// Audience is whom the new token is for; empty for whom the old one is.
	Audience string
	// Scopes are what the new token carries as far as the old one has them; none for all of those.
	Scopes []string
	// Certificate is the key that the part has proven to hold. The new token is bound to it where Bind says so, or where the
	// old one is bound to a key.
	Certificate Confirmation
	Bind        bool
}

// Exchanged is what it gets.
type Exchanged struct {
	Token   string
	Expires time.Time
	Scopes  []string
}

// ExchangeForPart is the same exchange as by HTTP, for a part of the mesh. Its refusals are Errors.
func (s *Server) ExchangeForPart(ctx context.Context, req PartExchange) (Exchanged, error) {
	client, err := s.Clients.Client(ctx, req.Part)
	if errors.Is(err, ErrNotFound) || err == nil && (client.Kind != KindWorkload || !client.Live(s.Now())) {
		return Exchanged{}, errInvalidClient()
	}
	if err != nil {
		return Exchanged{}, fmt.Errorf("looking up a client: %w", err)
	}
	x := exchange{token: req.SubjectToken, scopes: req.Scopes, part: true, certificate: &req.Certificate, bind: req.Bind}
	if req.Audience != "" {
		if x.audience, err = targets([]string{req.Audience}); err != nil {
			return Exchanged{}, err
		}
	}
	claims, err := s.exchanged(ctx, &client, x)
	if err != nil {
		return Exchanged{}, err
	}
	token, err := s.mint(&client, &claims)
	return Exchanged{Token: token, Expires: time.Unix(claims.Expiry, 0), Scopes: strings.Fields(claims.Scope)}, err
}

func (s *Server) issueExchanged(client *Client, claims *AccessClaims) (TokenResponse, error) {
	token, err := s.mint(client, claims)
	if err != nil {
		return TokenResponse{}, err
	}
	return TokenResponse{
		AccessToken: token, TokenType: claims.Confirmation.tokenType(), IssuedTokenType: TokenTypeAccess, Scope: claims.Scope,
		ExpiresIn: int64(time.Unix(claims.Expiry, 0).Sub(s.Now()) / time.Second),
	}, nil
}
