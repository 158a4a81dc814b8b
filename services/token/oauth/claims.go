package oauth

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // and crypto.SHA512
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
)

// AccessClaims is the payload of an access token (RFC 9068, section 2.2).
type AccessClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  []string `json:"aud,omitempty"`
	Expiry    int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	TokenID   string   `json:"jti,omitempty"`
	ClientID  string   `json:"client_id"`
	Scope     string   `json:"scope,omitempty"`
	Caller    string   `json:"caller,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	GrantID   string   `json:"gid,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	// Name is the person's, or that of a client which acts for itself.
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	AuthTime int64  `json:"auth_time,omitempty"`
	ACR      string `json:"acr,omitempty"`
	Epoch    int64  `json:"epoch,omitempty"`
	// Act, DerivedFrom and DerivedKeys are those of a token that was got in exchange for another: who got it, the ids of the
	// tokens that it comes from, the nearest first, and the keys that signed those.
	Act         *Actor   `json:"act,omitempty"`
	DerivedFrom []string `json:"derived_from,omitempty"`
	DerivedKeys []string `json:"derived_keys,omitempty"`

	// Confirmation is the key that its sender must prove to hold; nil of a bearer token.
	Confirmation *Confirmation `json:"cnf,omitempty"`

	// keyID is the key that it was signed with.
	keyID string
}

// HasScope tells whether the token carries a scope.
func (c *AccessClaims) HasScope(scope string) bool {
	return slices.Contains(strings.Fields(c.Scope), scope)
}

// acrPassword is the authentication context of somebody who gave a password: level 1 of ISO/IEC 29115.
const acrPassword = "1"

// acr is the authentication context of a grant; none where another provider knows it and we do not.
func (g *Grant) acr() string { return acrOf(g.Methods) }

func acrOf(methods []string) string {
	if slices.Contains(methods, account.MethodPassword) {
		return acrPassword
	}
	return ""
}

func (s *Server) accessToken(client *Client, c claim, audience []string, now time.Time) (string, error) {
	claims := AccessClaims{
		Issuer:   s.Issuer,
		Subject:  client.ID,
		Audience: audience,
		Expiry:   now.Add(client.accessTokenLifetime(now)).Unix(),
		IssuedAt: now.Unix(),
		TokenID:  rand.Text(),
		ClientID: client.ID,
		Scope:    strings.Join(c.scopes, " "),
		Caller:   client.caller(),
		Epoch:    client.Epoch,

		Confirmation: c.confirmation,
	}
	switch {
	case c.user != nil:
		claims.addUser(client, c)
	case client.Kind != KindWorkload: // parts go by their id
		claims.Name = client.Name
	}
	return s.mint(client, &claims)
}

// mint makes a token of claims, in the form that client is registered for.
func (s *Server) mint(client *Client, claims *AccessClaims) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding an access token: %w", err)
	}
	if client.OpaqueTokens {
		return s.opaque.seal(payload)
	}
	return s.Keys.Sign(client.AccessAlg, keys.TypAccessToken, payload)
}

// addUser says in whose name the client acts. Our own clients carry name and e-mail along for the services; others
// learn them only by the scopes that the person agreed to.
func (claims *AccessClaims) addUser(client *Client, c claim) {
	claims.Subject, claims.Caller = c.user.ID, "user"
	claims.Roles, claims.Epoch = c.user.Roles, c.user.Epoch
	if client.FirstParty || slices.Contains(c.scopes, ScopeProfile) {
		claims.Name = c.user.Name
	}
	if client.FirstParty || slices.Contains(c.scopes, ScopeEmail) {
		claims.Email = c.user.Email
	}
	if c.grant != nil {
		claims.SessionID, claims.GrantID = c.grant.SessionID, c.grant.ID
		claims.AuthTime, claims.ACR = c.grant.AuthTime.Unix(), c.grant.acr()
	}
}

// idToken makes an ID token. access is the access token that is issued with it; empty for none.
func (s *Server) idToken(client *Client, c claim, access string, now time.Time) (string, error) {
	// What scopes ask for is told by UserInfo, when there is an access token for that (Core, section 5.4). Our own clients
	// need not ask a second time.
	var scopes []string
	if client.FirstParty || access == "" {
		scopes = c.scopes
	}
	claims := personClaims(c.user, scopes, c.grant.IDTokenClaims)
	maps.Copy(claims, PersonClaims{
		"iss":       s.Issuer,
		"aud":       client.ID,
		"exp":       now.Add(client.idTokenLifetime()).Unix(),
		"iat":       now.Unix(),
		"auth_time": c.grant.AuthTime.Unix(),
	})
	if len(c.grant.Methods) > 0 {
		claims["amr"] = c.grant.Methods
	}
	if access != "" {
		claims["at_hash"] = halfHash(client.IDAlg, access)
	}
	for name, value := range map[string]string{"nonce": c.nonce, "sid": c.grant.SessionID, "acr": c.grant.acr()} {
		if value != "" {
			claims[name] = value
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding an ID token: %w", err)
	}
	return s.Keys.Sign(client.IDAlg, keys.TypIDToken, payload)
}

// halfHash ties an access token to an ID token (Core, section 3.1.3.6): the left half of the hash that the signature
// algorithm uses.
func halfHash(alg keys.Alg, access string) string {
	hash := crypto.SHA256  // ES256, RS256
	if alg == keys.EdDSA { // Ed25519 (RFC 8032, section 5.1)
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(access))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
