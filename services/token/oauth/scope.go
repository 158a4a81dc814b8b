package oauth

import (
	"slices"
	"strings"
)

// Scopes about the person, which make no sense for a client on its own behalf.
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeAddress       = "address"
	ScopePhone         = "phone"
	ScopeOfflineAccess = "offline_access"
)

// Scope is one scope, with the words a consent page has for it.
type Scope struct {
	Name string
	// Meaning completes "the application will be able to ...".
	Meaning string
	// Personal scopes are granted by people only.
	Personal bool
}

// Scopes lists all of them, in the order in which people are asked.
var Scopes = []Scope{
	{ScopeOpenID, "know that it is you", true},
	{ScopeProfile, "see your name and roles", true},
	{ScopeEmail, "see your e-mail address", true},
	{ScopeAddress, "see your postal address", true},
	{ScopePhone, "see your phone number", true},
	{ScopeOfflineAccess, "keep this access while you are away", true},
	{"securitysystem.read", "see your security systems and their state", false},
	{"securitysystem.arm", "arm your security systems", false},
	{"securitysystem.disarm", "disarm your security systems", false},
	{"securitysystem.write", "set up security systems", false},
	{"customer.read", "see your company, its locations and people", false},
	{"customer.write", "change your company, its locations and people", false},
	{"notification.read", "see your notifications", false},
	{"notification.write", "change how you are notified", false},
	{"account.read", "see your account", false},
	{"account.write", "change your account", false},
	{"audit.read", "see who did what", false},
	{"admin", "administer the platform", false},
	{"panel.report", "report as an alarm panel", false},
}

// knownScope tells whether there is a scope of this name.
func knownScope(name string) bool {
	return slices.ContainsFunc(Scopes, func(s Scope) bool { return s.Name == name })
}

// Describe returns the scopes named, in the order of Scopes.
func Describe(names []string) []Scope {
	var out []Scope
	for _, s := range Scopes {
		if slices.Contains(names, s.Name) {
			out = append(out, s)
		}
	}
	return out
}

func personal(name string) bool {
	return slices.ContainsFunc(Scopes, func(s Scope) bool { return s.Name == name && s.Personal })
}

// parseScopes splits a "scope" parameter (RFC 6749, section 3.3), without repetitions.
func parseScopes(parameter string) []string {
	var out []string
	seen := map[string]bool{} // a body holds tens of thousands
	for s := range strings.FieldsSeq(parameter) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// within returns the scopes asked for if all of them are allowed; all allowed ones if none is asked for.
func within(requested, allowed []string) ([]string, error) {
	if len(requested) == 0 {
		return allowed, nil
	}
	for _, s := range requested {
		if !slices.Contains(allowed, s) {
			return nil, refuse(CodeInvalidScope, "a scope is unknown or not allowed to this client")
		}
	}
	return requested, nil
}

// stillRegistered returns those of the granted scopes that the client still has: a grant may be older than its client's
// registration. One of which nothing is left is over.
func stillRegistered(granted, registered []string) ([]string, error) {
	if covers(registered, granted) {
		return granted, nil
	}
	left := slices.DeleteFunc(slices.Clone(granted), func(s string) bool { return !slices.Contains(registered, s) })
	if len(left) == 0 {
		return nil, errInvalidGrant()
	}
	return left, nil
}

// covers tells whether every one of wanted is among had.
func covers(had, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(s string) bool { return !slices.Contains(had, s) })
}

// renews tells whether what came of a grant can be renewed. A third party has to have asked the person in front of the
// browser whether it may go on while they are away (OpenID Connect Core, section 11).
func (c *Client) renews(g *Grant) bool {
	return c.Allows(GrantRefreshToken) && (c.FirstParty || g.SessionID == "" || slices.Contains(g.Scopes, ScopeOfflineAccess))
}
