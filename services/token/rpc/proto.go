package rpc

import (
	"cmp"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
)

func userToProto(u account.User) *tokenv1.User {
	return &tokenv1.User{
		Id: u.ID, Email: u.Email, Name: u.Name, Roles: u.Roles, CreateTime: timestamppb.New(u.Created), EmailVerified: u.EmailVerified,
		Disabled: u.Disabled, Invited: u.PasswordHash == "", GivenName: u.GivenName, FamilyName: u.FamilyName, Locale: u.Locale,
		Zoneinfo: u.Zoneinfo, PhoneNumber: u.PhoneNumber, Address: addressToProto(u.Address),
	}
}

// told is what a caller learns of their own account: what UserInfo tells for the same scopes, and all of it for one to see the
// account. A person who let an application see their systems has not let it know their address.
func told(u account.User, caller mesh.Identity) *tokenv1.User {
	all := userToProto(u)
	if caller.HasScope("account.read") {
		return all
	}
	out := &tokenv1.User{Id: all.GetId(), Roles: all.GetRoles()} // which stand in the token
	if caller.HasScope(oauth.ScopeProfile) {
		out.Name, out.GivenName, out.FamilyName = all.GetName(), all.GetGivenName(), all.GetFamilyName()
		out.Locale, out.Zoneinfo = all.GetLocale(), all.GetZoneinfo()
	}
	if caller.HasScope(oauth.ScopeEmail) {
		out.Email, out.EmailVerified = all.GetEmail(), all.GetEmailVerified()
	}
	if caller.HasScope(oauth.ScopePhone) {
		out.PhoneNumber = all.GetPhoneNumber()
	}
	if caller.HasScope(oauth.ScopeAddress) {
		out.Address = all.GetAddress()
	}
	return out
}

// addressToProto is nil for an address that is not known.
func addressToProto(a account.Address) *tokenv1.Address {
	if a == (account.Address{}) {
		return nil
	}
	return &tokenv1.Address{Formatted: a.Formatted, StreetAddress: a.StreetAddress, Locality: a.Locality, Region: a.Region,
		PostalCode: a.PostalCode, Country: a.Country}
}

func addressFromProto(a *tokenv1.Address) account.Address {
	return account.Address{Formatted: a.GetFormatted(), StreetAddress: a.GetStreetAddress(), Locality: a.GetLocality(),
		Region: a.GetRegion(), PostalCode: a.GetPostalCode(), Country: a.GetCountry()}
}

func apiKeyToProto(c oauth.Client) *tokenv1.ApiKey {
	return &tokenv1.ApiKey{
		Id: c.ID, Name: c.Name, Scopes: c.Scopes, CreateTime: timestamppb.New(c.Created), RevokeTime: timestamp(c.Disabled),
		ExpireTime: timestamp(c.Expires), LastUseTime: timestamp(c.LastUsed), SecretPrefix: c.SecretPrefix,
	}
}

func clientToProto(c oauth.Client) *tokenv1.Client {
	told := &tokenv1.Client{
		ClientId: c.ID, Name: c.Name, GrantTypes: c.Grants, RedirectUris: c.RedirectURIs, PostLogoutRedirectUris: c.PostLogoutURIs,
		Scopes: c.Scopes, Public: c.Public, FirstParty: c.FirstParty, OpaqueAccessTokens: c.OpaqueTokens, Jwks: c.JWKS,
		IdTokenSigningAlg: string(c.IDAlg), AccessTokenSigningAlg: string(c.AccessAlg),
		AccessTokenLifetime:                durationpb.New(cmp.Or(c.AccessTokenLifetime, oauth.DefaultAccessTokenLifetime)),
		RefreshTokenLifetime:               durationpb.New(cmp.Or(c.RefreshTokenLifetime, oauth.DefaultRefreshTokenLifetime)),
		IdTokenLifetime:                    durationpb.New(cmp.Or(c.IDTokenLifetime, oauth.DefaultIDTokenLifetime)),
		PkceOptional:                       c.PKCEOptional,
		BackchannelLogoutUri:               c.BackchannelLogoutURI,
		RequirePushedAuthorizationRequests: c.RequirePushedRequests,
		Disabled:                           !c.Disabled.IsZero(), CreateTime: timestamppb.New(c.Created),
		PreviousSecretExpireTime: timestamp(c.PreviousSecretUntil), DpopBoundAccessTokens: c.DPoPBoundTokens,
		TlsClientCertificateBoundAccessTokens: c.CertificateBoundTokens,
	}
	switch by, name := c.TLSAuth.By, c.TLSAuth.Name; by {
	case oauth.BySubjectDN:
		told.TlsClientAuthSubjectDn = name
	case oauth.BySANDNS:
		told.TlsClientAuthSanDns = name
	case oauth.BySANURI:
		told.TlsClientAuthSanUri = name
	case oauth.BySANIP:
		told.TlsClientAuthSanIp = name
	case oauth.BySANEmail:
		told.TlsClientAuthSanEmail = name
	case oauth.BySelfSigned:
		told.SelfSignedTlsClientAuth = true
	}
	return told
}

// timestamp is unset for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// lastOf is the key of the last row of the page before, by the token of that page; "" before the first one.
func lastOf(list page.List, token string) (string, error) {
	parts, err := list.After(token, 1)
	if err != nil || parts == nil {
		return "", err
	}
	return parts[0], nil
}
