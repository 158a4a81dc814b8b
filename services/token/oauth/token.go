package oauth

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/account"
)

// TokenRequest is a request to the token endpoint (RFC 6749, section 3.2).
type TokenRequest struct {
	Credentials Credentials
	// Form has the parameters, each at most once but "resource".
	Form url.Values
	// Address is where it came from.
	Address string

	// Proof is what is to be proven by DPoP; without Proofs in it nothing is.
	Proof dpop.Request

	// sender is the key that Proof, or the certificate among the credentials, has proven: the one that the access token is to be
	// bound to. Nil for a bearer token.
	sender *Confirmation
	// resources are the values of "resource", all of them known.
	resources []string
}

// TokenResponse is the answer (RFC 6749, section 5.1; OpenID Connect Core, section 3.1.3.3).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	// IssuedTokenType is for a token that was got in exchange (RFC 8693, section 2.2.1).
	IssuedTokenType string `json:"issued_token_type,omitempty"`
}

// claim is what a grant hands to the pipeline once it has proven it: in whose name tokens are to be issued, and which
// rights they may carry.
type claim struct {
	// user is nil when the client acts for itself.
	user *account.User
	// scopes are what the access token carries.
	scopes []string
	// grant is what the user gave; nil without one.
	grant *Grant
	// refreshToken is handed out with the tokens, unless empty.
	refreshToken string
	// nonce goes into the ID token.
	nonce string
	// confirmation is the key that the access token is bound to; nil for none.
	confirmation *Confirmation
	// exchanged is what the token will say that is given for another; nil for all other grants, which say less.
	exchanged *AccessClaims
}

// prover is the step that a grant supplies. scopes are those asked for, all of them registered for the client; none if
// the client did not ask for any in particular.
type prover func(ctx context.Context, client *Client, scopes []string, req TokenRequest) (claim, error)

// Token is the pipeline behind the token endpoint, the same for every grant. Its refusals are Errors.
func (s *Server) Token(ctx context.Context, req TokenRequest) (TokenResponse, error) {
	client, err := s.Authenticate(ctx, req.Credentials)
	if err != nil {
		return TokenResponse{}, err
	}
	grantType := req.Form.Get("grant_type")
	prove, err := s.prover(&client, grantType)
	if err != nil {
		return TokenResponse{}, err
	}
	if req.resources, err = targets(req.Form["resource"]); err != nil {
		return TokenResponse{}, err
	}
	scopes := parseScopes(req.Form.Get("scope"))
	// A token that is exchanged bounds the scopes by itself: who exchanges it need not have any.
	if _, err := within(scopes, client.Scopes); err != nil && grantType != GrantTokenExchange {
		return TokenResponse{}, err
	}
	if req.sender, err = s.sender(ctx, &client, &req); err != nil {
		return TokenResponse{}, err
	}
	proven, err := prove(ctx, &client, scopes, req)
	if err != nil {
		return TokenResponse{}, err
	}
	proven.confirmation = req.sender
	if proven.exchanged != nil {
		return s.issueExchanged(&client, proven.exchanged)
	}
	if proven.scopes, err = stillRegistered(proven.scopes, client.Scopes); err != nil {
		return TokenResponse{}, err
	}
	audience, err := proven.grant.narrowed(req.resources)
	if err != nil {
		return TokenResponse{}, err
	}
	response, err := s.issue(&client, proven, audience)
	if err == nil && client.Kind == KindAPIKey {
		s.KeyUsed(client.ID)
	}
	return response, err
}

// prover is the step of a grant that the client may use.
func (s *Server) prover(client *Client, grantType string) (prover, error) {
	prove, ok := s.grants[grantType]
	switch {
	case grantType == "":
		return nil, refuse(CodeInvalidRequest, "grant_type is missing")
	case !ok:
		return nil, refuse(CodeUnsupportedGrantType, "this grant type is not supported")
	case !client.Allows(grantType):
		return nil, refuse(CodeUnauthorizedClient, "this client is not registered for this grant type")
	}
	return prove, nil
}

func (s *Server) issue(client *Client, c claim, audience []string) (TokenResponse, error) {
	now := s.Now()
	access, err := s.accessToken(client, c, audience, now)
	if err != nil {
		return TokenResponse{}, err
	}
	response := TokenResponse{
		AccessToken:  access,
		TokenType:    c.confirmation.tokenType(),
		ExpiresIn:    int64(client.accessTokenLifetime(now) / time.Second),
		RefreshToken: c.refreshToken,
		Scope:        strings.Join(c.scopes, " "),
	}
	if c.user != nil && slices.Contains(c.scopes, ScopeOpenID) {
		if response.IDToken, err = s.idToken(client, c, access, now); err != nil {
			return TokenResponse{}, err
		}
	}
	return response, nil
}
