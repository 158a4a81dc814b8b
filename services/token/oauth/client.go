package oauth

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"time"

	"github.com/realguardio/realguardio/services/token/keys"
)

// ClientKind tells what a client is. It decides where a client is listed and what its own tokens say about the caller.
type ClientKind string

// Kinds of client.
const (
	KindApplication ClientKind = "application"
	KindAPIKey      ClientKind = "api_key"
	KindPanel       ClientKind = "panel"
	KindWorkload    ClientKind = "workload"
)

// Grant types (the "grant_type" parameter).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
	GrantPassword          = "password"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
	// GrantImplicit is not asked for at the token endpoint: it lets the authorization endpoint answer with tokens.
	GrantImplicit = "implicit"
)

// GrantTypes is the list of them.
var GrantTypes = []string{
	GrantAuthorizationCode, GrantClientCredentials, GrantRefreshToken, GrantPassword, GrantDeviceCode, GrantTokenExchange,
	GrantImplicit,
}

// DefaultAccessTokenLifetime is that of a client which has not been given another.
const DefaultAccessTokenLifetime = 5 * time.Minute

// DefaultRefreshTokenLifetime and DefaultIDTokenLifetime are the same for the other two.
const (
	DefaultRefreshTokenLifetime = grantLifetime
	DefaultIDTokenLifetime      = idTokenLifetime
)

// MaxAccessTokenLifetime bounds what a client can be given, and so how long a revocation must be remembered.
const MaxAccessTokenLifetime = 24 * time.Hour

// Client is a registered client (RFC 6749, section 2).
type Client struct {
	ID   string
	Name string
	Kind ClientKind
	// Owner is whose an API key is, in the words of the service that made it.
	Owner string
	// SecretHash is the SHA-256 of the secret; empty for a public client. A plain hash is enough, as secrets are random
	// numbers of 256 bits, never words.
	SecretHash []byte
	// PreviousSecretHash is that of the secret before the last rotation, which is good until PreviousSecretUntil.
	PreviousSecretHash  []byte
	PreviousSecretUntil time.Time
	// SecretPrefix is what may be shown of the secret: its first characters.
	SecretPrefix string
	// JWKS is a JWK Set of public keys. A client that has one authenticates by private_key_jwt (OpenID Connect Core,
	// section 9), or by a certificate in it if TLSAuth says so, and has no secret.
	JWKS string
	// TLSAuth is how a client authenticates by mutual TLS. One that does has no secret.
	TLSAuth TLSAuth
	// DPoPBoundTokens refuses token requests without a DPoP proof (RFC 9449, section 5.2).
	DPoPBoundTokens bool
	// CertificateBoundTokens binds access tokens to the certificate of the connection on which they were asked for, and
	// refuses requests without one (RFC 8705, section 3.4).
	CertificateBoundTokens bool
	// Public clients have no secret and must use PKCE.
	Public       bool
	Grants       []string
	RedirectURIs []string
	// PostLogoutURIs are where a browser may be sent after signing out.
	PostLogoutURIs []string
	Scopes         []string
	// FirstParty clients are our own: people are not asked whether they consent.
	FirstParty bool
	// AccessTokenLifetime of 0 means DefaultAccessTokenLifetime, and so on for the other two.
	AccessTokenLifetime  time.Duration
	RefreshTokenLifetime time.Duration
	IDTokenLifetime      time.Duration
	// OpaqueTokens says that its access tokens tell nothing to who does not introspect them.
	OpaqueTokens bool
	// PKCEOptional lets a confidential client do without PKCE.
	PKCEOptional bool
	// RequirePushedRequests refuses authorization requests that were not pushed (RFC 9126, section 6).
	RequirePushedRequests bool
	// BackchannelLogoutURI is told of every sign-out of a session that the client was opened in; empty for none.
	BackchannelLogoutURI string
	// AccessAlg and IDAlg sign its tokens.
	AccessAlg, IDAlg keys.Alg
	// Epoch is raised to end every token that the client got in its own name before.
	Epoch   int64
	Created time.Time
	// Expires is zero for a client that does not end by itself.
	Expires time.Time
	// LastUsed is when it last got a token, to the minute; zero: never.
	LastUsed time.Time
	// Disabled is zero while the client may be used.
	Disabled time.Time
}

// Live tells whether the client may be used: it is neither disabled nor has it expired.
func (c *Client) Live(now time.Time) bool {
	return c.Disabled.IsZero() && (c.Expires.IsZero() || now.Before(c.Expires))
}

// Allows tells whether the client is registered for a grant type.
func (c *Client) Allows(grant string) bool { return slices.Contains(c.Grants, grant) }

// HasSecret tells whether the client is one that authenticates by a secret.
func (c *Client) HasSecret() bool { return !c.Public && c.JWKS == "" && c.TLSAuth.By == ByNothing }

// bindsTokens tells whether the client is registered to get no access token that is not bound to a key.
func (c *Client) bindsTokens() bool { return c.DPoPBoundTokens || c.CertificateBoundTokens }

// keepsRefreshTokens tells whether a refresh token of the client stays as it is when it is used (FAPI 2.0 Security Profile,
// section 5.3.2.1). Without the client's own key it is worth nothing, and rotating one whose successor gets lost on its way
// would end what a person has allowed. A secret can be copied with the token: who authenticates by one gets another each time.
func (c *Client) keepsRefreshTokens() bool { return c.bindsTokens() && !c.Public && !c.HasSecret() }

// accessTokenLifetime is how long an access token that is issued now may live: not longer than the client.
func (c *Client) accessTokenLifetime(now time.Time) time.Duration {
	lifetime := cmp.Or(c.AccessTokenLifetime, DefaultAccessTokenLifetime)
	if c.Expires.IsZero() {
		return lifetime
	}
	return min(lifetime, c.Expires.Sub(now))
}

func (c *Client) idTokenLifetime() time.Duration {
	if c.IDTokenLifetime > 0 {
		return c.IDTokenLifetime
	}
	return DefaultIDTokenLifetime
}

func (c *Client) refreshTokenLifetime() time.Duration {
	if c.RefreshTokenLifetime > 0 {
		return c.RefreshTokenLifetime
	}
	return DefaultRefreshTokenLifetime
}

// caller is the "caller" claim of a token in the client's own name.
func (c *Client) caller() string {
	if c.Kind == KindWorkload {
		return "workload"
	}
	return "client"
}

// newSecret returns a new client secret: 256 random bits, with a prefix by which scanners find a leaked one.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return "rgs_" + base64.RawURLEncoding.EncodeToString(b)
}

// shownOfSecret is how many characters of a secret may be shown: what all secrets begin with, and 24 bits.
const shownOfSecret = 8

// GiveSecret gives the client a new secret and returns it: it is kept nowhere. The one before is over.
func (c *Client) GiveSecret() string {
	secret := newSecret()
	c.SecretHash, c.SecretPrefix = HashSecret(secret), secret[:shownOfSecret]
	c.PreviousSecretHash, c.PreviousSecretUntil = nil, time.Time{}
	return secret
}

// RotateSecret is GiveSecret, and keeps the secret before good until a time.
func (c *Client) RotateSecret(until time.Time) string {
	before := c.SecretHash
	secret := c.GiveSecret()
	c.PreviousSecretHash, c.PreviousSecretUntil = before, until
	return secret
}

// settleSecret takes the secret from a client that does not authenticate by one. A client that does, and has none, gets
// one that nobody knows: it is closed until it is given another.
func (c *Client) settleSecret() {
	if !c.HasSecret() {
		c.SecretHash, c.SecretPrefix = nil, ""
		c.PreviousSecretHash, c.PreviousSecretUntil = nil, time.Time{}
		return
	}
	if len(c.SecretHash) == 0 {
		c.GiveSecret()
		c.SecretPrefix = ""
	}
}

// HashSecret is how a secret is kept.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// hasSecret tells whether a secret is the client's now: the last one, or the one before while that is still good.
func (c *Client) hasSecret(secret string, now time.Time) bool {
	hash := HashSecret(secret)
	last := len(c.SecretHash) == sha256.Size && subtle.ConstantTimeCompare(hash, c.SecretHash) == 1
	before := len(c.PreviousSecretHash) == sha256.Size && subtle.ConstantTimeCompare(hash, c.PreviousSecretHash) == 1
	return last || before && now.Before(c.PreviousSecretUntil)
}
