package oauth

import (
	"slices"

	"github.com/realguardio/realguardio/services/token/account"
)

// PersonClaims is what OpenID Connect tells about a person (Core, section 5.1), "sub" included.
type PersonClaims map[string]any

// TokenClaims are those of an ID token that are about the token itself.
var TokenClaims = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"}

// personClaim is one claim about a person.
type personClaim struct {
	name string
	// scope is the one that asks for it (Core, section 5.4), and that a client must be registered for.
	scope string
	// of returns the value, and whether there is one.
	of func(*account.User) (any, bool)
}

// claimsOfPersons are all of them.
var claimsOfPersons = []personClaim{
	{"name", ScopeProfile, func(u *account.User) (any, bool) { return known(u.Name) }},
	{"given_name", ScopeProfile, func(u *account.User) (any, bool) { return known(u.GivenName) }},
	{"family_name", ScopeProfile, func(u *account.User) (any, bool) { return known(u.FamilyName) }},
	{"locale", ScopeProfile, func(u *account.User) (any, bool) { return known(u.Locale) }},
	{"zoneinfo", ScopeProfile, func(u *account.User) (any, bool) { return known(u.Zoneinfo) }},
	{"roles", ScopeProfile, func(u *account.User) (any, bool) { return u.Roles, len(u.Roles) > 0 }},
	{"updated_at", ScopeProfile, func(u *account.User) (any, bool) { return u.Updated.Unix(), true }},
	{"email", ScopeEmail, func(u *account.User) (any, bool) { return known(u.Email) }},
	{"email_verified", ScopeEmail, func(u *account.User) (any, bool) { return u.EmailVerified, u.Email != "" }},
	// What people sign in with is their address, so that "profile" alone must not tell it.
	{"preferred_username", ScopeEmail, func(u *account.User) (any, bool) { return known(u.Email) }},
	{"phone_number", ScopePhone, func(u *account.User) (any, bool) { return known(u.PhoneNumber) }},
	{"phone_number_verified", ScopePhone, func(u *account.User) (any, bool) { return u.PhoneNumberVerified, u.PhoneNumber != "" }},
	{"address", ScopeAddress, func(u *account.User) (any, bool) { return u.Address, u.Address != account.Address{} }},
}

func known(value string) (any, bool) { return value, value != "" }

// ClaimNames are the names of the claims about persons.
func ClaimNames() []string {
	names := make([]string, len(claimsOfPersons))
	for i, c := range claimsOfPersons {
		names[i] = c.name
	}
	return names
}

// personClaims tells what the scopes ask for, and what was asked for by name besides.
func personClaims(user *account.User, scopes, names []string) PersonClaims {
	told := PersonClaims{"sub": user.ID}
	for _, c := range claimsOfPersons {
		if !slices.Contains(scopes, c.scope) && !slices.Contains(names, c.name) {
			continue
		}
		if value, ok := c.of(user); ok {
			told[c.name] = value
		}
	}
	return told
}
