package oauth

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/realguardio/realguardio/services/internal/name"
	"github.com/realguardio/realguardio/services/token/keys"
)

// MetadataError says which part of a client's registration is wrong, in words for whoever registers it.
type MetadataError struct {
	// Field is the name of the field in the Client message.
	Field       string
	Description string
}

func (e *MetadataError) Error() string { return e.Field + ": " + e.Description }

// maxName bounds what stands in every token of a client: 200 characters, of whatever script.
const maxName = 800

// Narrower tells whether the client may do less than before, or authenticates in another way.
func (c *Client) Narrower(before *Client) bool {
	authenticates := c.Public != before.Public || c.JWKS != before.JWKS || c.TLSAuth != before.TLSAuth
	bound := c.DPoPBoundTokens && !before.DPoPBoundTokens || c.CertificateBoundTokens && !before.CertificateBoundTokens
	return !covers(c.Scopes, before.Scopes) || !covers(c.Grants, before.Grants) || authenticates || bound
}

// Reregister makes a client that was changed whole: see Validate. A client that ceased to be public or to have keys of its
// own has a secret that nobody knows, until it is given another.
func (c *Client) Reregister() error {
	c.settleSecret()
	return c.Validate()
}

// Validate fills in defaults and checks what is registered.
func (c *Client) Validate() error {
	if c.AccessAlg == "" {
		c.AccessAlg = keys.ES256
	}
	if c.IDAlg == "" {
		c.IDAlg = keys.RS256 // OpenID Connect's default
		if c.FirstParty {
			c.IDAlg = keys.ES256
		}
	}
	for _, check := range []func(*Client) error{
		checkNames, checkGrants, checkScopes, checkURIs, checkLifetime, checkAmounts, checkAuthentication, checkTLSAuth, checkKeys,
		checkLogoutURI, checkRequests, checkOpaque, checkBinding,
	} {
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}

func checkNames(c *Client) error {
	switch {
	case c.ID == "" || len(c.ID) > 64 || strings.ContainsFunc(c.ID, func(r rune) bool { return !isIDRune(r) }):
		return &MetadataError{"clientId", "must be 1 to 64 letters, digits, dots, hyphens or underscores"}
	case len(c.Name) > maxName:
		return &MetadataError{"name", "must be 1 to 800 bytes of text"}
	case name.Problem(c.Name) != "":
		return &MetadataError{"name", name.Problem(c.Name)}
	case !plain(c.Owner):
		return &MetadataError{"owner", "must be text without control characters"}
	case !slices.Contains([]ClientKind{KindApplication, KindAPIKey, KindPanel, KindWorkload}, c.Kind):
		return &MetadataError{"kind", fmt.Sprintf("%q is not a kind of client", c.Kind)}
	case !slices.Contains(keys.Algs, c.AccessAlg) || !slices.Contains(keys.Algs, c.IDAlg):
		return &MetadataError{"signingAlg", "must be ES256, RS256 or EdDSA"}
	}
	return nil
}

func plain(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

func isIDRune(r rune) bool {
	return r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func checkGrants(c *Client) error {
	for _, g := range c.Grants {
		if !slices.Contains(GrantTypes, g) {
			return &MetadataError{"grantTypes", fmt.Sprintf("%q is not a grant type", g)}
		}
	}
	switch {
	case len(c.Grants) == 0:
		return &MetadataError{"grantTypes", "must have at least one"}
	case c.Public && (c.Allows(GrantClientCredentials) || c.Allows(GrantPassword) || c.Allows(GrantTokenExchange)):
		return &MetadataError{"grantTypes", "a public client cannot authenticate, and so not use this grant"}
	case (c.Allows(GrantAuthorizationCode) || c.Allows(GrantImplicit)) && len(c.RedirectURIs) == 0:
		return &MetadataError{"redirectUris", "authorization_code and implicit need at least one"}
	}
	return nil
}

func checkScopes(c *Client) error {
	for _, scope := range c.Scopes {
		if !knownScope(scope) {
			return &MetadataError{"scopes", fmt.Sprintf("%q is not a scope", scope)}
		}
	}
	return nil
}

func checkLifetime(c *Client) error {
	switch {
	case c.AccessTokenLifetime < 0 || c.AccessTokenLifetime > MaxAccessTokenLifetime:
		return &MetadataError{"accessTokenLifetime", "must be at most a day"}
	case c.IDTokenLifetime < 0 || c.IDTokenLifetime > 24*time.Hour:
		return &MetadataError{"idTokenLifetime", "must be at most a day"}
	case c.RefreshTokenLifetime < 0 || c.RefreshTokenLifetime > 365*24*time.Hour:
		return &MetadataError{"refreshTokenLifetime", "must be at most a year"}
	}
	return nil
}

// What a client may have at most, of each list and in each URI.
const (
	maxURIs      = 16
	maxURILength = 2000
	maxScopes    = 32
)

func checkAmounts(c *Client) error {
	for field, uris := range map[string][]string{"redirectUris": c.RedirectURIs, "postLogoutRedirectUris": c.PostLogoutURIs} {
		if len(uris) > maxURIs || slices.ContainsFunc(uris, func(uri string) bool { return len(uri) > maxURILength }) {
			return &MetadataError{field, "must be at most 16, of 2000 characters each"}
		}
	}
	if len(c.Scopes) > maxScopes {
		return &MetadataError{"scopes", "must be at most 32"}
	}
	return nil
}

// checkOpaque keeps opaque tokens from those that nobody would introspect: the parts verify each other's tokens themselves,
// and the edge gets those of API keys directly.
func checkOpaque(c *Client) error {
	if c.OpaqueTokens && (c.Kind == KindWorkload || c.Kind == KindAPIKey) {
		return &MetadataError{"opaqueAccessTokens", "are for applications and panels"}
	}
	return nil
}

// checkAuthentication makes sure that there is one way for a client to authenticate, or none for a public one.
func checkAuthentication(c *Client) error {
	switch secret := len(c.SecretHash) > 0; {
	case c.Public && c.JWKS != "":
		return &MetadataError{"jwks", "a public client does not authenticate, by keys neither"}
	case c.Public && c.TLSAuth.By != ByNothing:
		return &MetadataError{"public", "a public client does not authenticate, by a certificate neither"}
	case c.Public && secret:
		return &MetadataError{"public", "a public client has no secret"}
	case c.JWKS != "" && secret:
		return &MetadataError{"jwks", "a client that authenticates by keys has no secret"}
	case c.TLSAuth.By != ByNothing && secret:
		return &MetadataError{"jwks", "a client that authenticates by a certificate has no secret"}
	case c.HasSecret() && !secret:
		return &MetadataError{"public", "a client that is not public has a secret, keys, or a certificate"}
	}
	return nil
}

// checkBinding keeps tokens that have to be bound from ways on which nobody proves a key, and from being bound twice.
func checkBinding(c *Client) error {
	switch {
	case !c.DPoPBoundTokens && !c.CertificateBoundTokens:
	case c.DPoPBoundTokens && c.CertificateBoundTokens:
		return &MetadataError{"dpopBoundAccessTokens", "a token is bound to one key: by DPoP, or to a certificate"}
	case c.Allows(GrantImplicit):
		return &MetadataError{"grantTypes", "tokens of the implicit grant cannot be bound to a key"}
	case c.Kind == KindAPIKey:
		return &MetadataError{"kind", "an API key has no key of its own to bind tokens to"}
	}
	return nil
}

func checkRequests(c *Client) error {
	if c.Public && c.PKCEOptional {
		return &MetadataError{"pkceOptional", "a public client must use PKCE (RFC 7636)"}
	}
	return nil
}

func checkURIs(c *Client) error {
	for _, uri := range c.RedirectURIs {
		if why := redirectProblem(uri, c.Public); why != "" {
			return &MetadataError{"redirectUris", why}
		}
	}
	for _, uri := range c.PostLogoutURIs {
		if why := redirectProblem(uri, c.Public); why != "" {
			return &MetadataError{"postLogoutRedirectUris", why}
		}
	}
	return nil
}

// hostForm leaves out what is legal in a URI but not in any name, and would have a meaning in a header.
var hostForm = regexp.MustCompile(`^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// redirectProblem says why a browser must not be sent to uri, or "".
func redirectProblem(uri string, native bool) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs() || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }):
		return "must be an absolute URI of printable ASCII"
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return "must not have a fragment (RFC 6749, section 3.1.2)"
	case u.User != nil:
		return "must not have a user name"
	}
	if (u.Scheme == "https" || u.Scheme == "http") && !hostForm.MatchString(u.Host) {
		return "must name a host"
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !loopback(u.Hostname()) {
			return "must use https, except to this machine (127.0.0.1, [::1], localhost)"
		}
	default:
		// A scheme of one's own has the form of a domain name (RFC 8252, section 7.1), which excludes javascript, data
		// and everything else that a browser interprets itself.
		if !native || !strings.Contains(u.Scheme, ".") {
			return "must use https; a scheme of its own, such as com.example.app, is for public clients"
		}
	}
	return ""
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
