package rpc

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// clientFields are the fields of a Client message that say what is registered, by name: what CreateClient takes and
// UpdateClient can change.
var clientFields = map[string]func(to *oauth.Client, from *tokenv1.Client){
	"name":                      func(to *oauth.Client, from *tokenv1.Client) { to.Name = from.GetName() },
	"grant_types":               func(to *oauth.Client, from *tokenv1.Client) { to.Grants = from.GetGrantTypes() },
	"redirect_uris":             func(to *oauth.Client, from *tokenv1.Client) { to.RedirectURIs = from.GetRedirectUris() },
	"post_logout_redirect_uris": func(to *oauth.Client, from *tokenv1.Client) { to.PostLogoutURIs = from.GetPostLogoutRedirectUris() },
	"scopes":                    func(to *oauth.Client, from *tokenv1.Client) { to.Scopes = from.GetScopes() },
	"public":                    func(to *oauth.Client, from *tokenv1.Client) { to.Public = from.GetPublic() },
	"first_party":               func(to *oauth.Client, from *tokenv1.Client) { to.FirstParty = from.GetFirstParty() },
	"access_token_lifetime": func(to *oauth.Client, from *tokenv1.Client) {
		to.AccessTokenLifetime = from.GetAccessTokenLifetime().AsDuration()
	},
	"refresh_token_lifetime": func(to *oauth.Client, from *tokenv1.Client) {
		to.RefreshTokenLifetime = from.GetRefreshTokenLifetime().AsDuration()
	},
	"id_token_lifetime": func(to *oauth.Client, from *tokenv1.Client) {
		to.IDTokenLifetime = from.GetIdTokenLifetime().AsDuration()
	},
	"opaque_access_tokens":        func(to *oauth.Client, from *tokenv1.Client) { to.OpaqueTokens = from.GetOpaqueAccessTokens() },
	"jwks":                        func(to *oauth.Client, from *tokenv1.Client) { to.JWKS = from.GetJwks() },
	"id_token_signing_alg":        func(to *oauth.Client, from *tokenv1.Client) { to.IDAlg = keys.Alg(from.GetIdTokenSigningAlg()) },
	"access_token_signing_alg":    func(to *oauth.Client, from *tokenv1.Client) { to.AccessAlg = keys.Alg(from.GetAccessTokenSigningAlg()) },
	"pkce_optional":               func(to *oauth.Client, from *tokenv1.Client) { to.PKCEOptional = from.GetPkceOptional() },
	"backchannel_logout_uri":      func(to *oauth.Client, from *tokenv1.Client) { to.BackchannelLogoutURI = from.GetBackchannelLogoutUri() },
	"tls_client_auth_subject_dn":  byCertificate(oauth.BySubjectDN, (*tokenv1.Client).GetTlsClientAuthSubjectDn),
	"tls_client_auth_san_dns":     byCertificate(oauth.BySANDNS, (*tokenv1.Client).GetTlsClientAuthSanDns),
	"tls_client_auth_san_uri":     byCertificate(oauth.BySANURI, (*tokenv1.Client).GetTlsClientAuthSanUri),
	"tls_client_auth_san_ip":      byCertificate(oauth.BySANIP, (*tokenv1.Client).GetTlsClientAuthSanIp),
	"tls_client_auth_san_email":   byCertificate(oauth.BySANEmail, (*tokenv1.Client).GetTlsClientAuthSanEmail),
	"self_signed_tls_client_auth": bySelfSigned,
	"dpop_bound_access_tokens":    func(to *oauth.Client, from *tokenv1.Client) { to.DPoPBoundTokens = from.GetDpopBoundAccessTokens() },
	"tls_client_certificate_bound_access_tokens": func(to *oauth.Client, from *tokenv1.Client) {
		to.CertificateBoundTokens = from.GetTlsClientCertificateBoundAccessTokens()
	},
	"require_pushed_authorization_requests": func(to *oauth.Client, from *tokenv1.Client) {
		to.RequirePushedRequests = from.GetRequirePushedAuthorizationRequests()
	},
}

// byCertificate sets one way to tell the certificate of a client, in the place of any other, or takes it away.
func byCertificate(by oauth.TLSAuthBy, name func(*tokenv1.Client) string) func(to *oauth.Client, from *tokenv1.Client) {
	return func(to *oauth.Client, from *tokenv1.Client) {
		switch given := name(from); {
		case given != "":
			to.TLSAuth = oauth.TLSAuth{By: by, Name: given}
		case to.TLSAuth.By == by:
			to.TLSAuth = oauth.TLSAuth{}
		}
	}
}

func bySelfSigned(to *oauth.Client, from *tokenv1.Client) {
	switch {
	case from.GetSelfSignedTlsClientAuth():
		to.TLSAuth = oauth.TLSAuth{By: oauth.BySelfSigned}
	case to.TLSAuth.By == oauth.BySelfSigned:
		to.TLSAuth = oauth.TLSAuth{}
	}
}

// oneCertificate refuses a certificate that is told in more than one way (RFC 8705, section 2.1.2).
func oneCertificate(c *tokenv1.Client) error {
	ways := 0
	for _, name := range []string{c.GetTlsClientAuthSubjectDn(), c.GetTlsClientAuthSanDns(), c.GetTlsClientAuthSanUri(),
		c.GetTlsClientAuthSanIp(), c.GetTlsClientAuthSanEmail()} {
		if name != "" {
			ways++
		}
	}
	if c.GetSelfSignedTlsClientAuth() {
		ways++
	}
	if ways > 1 {
		return mesh.InvalidField("tlsClientAuthSubjectDn", "a certificate is told in one way: by its subject, by one other name, or as one that is self-signed")
	}
	return nil
}

// registration is what a request to create a client says of it.
func registration(req *tokenv1.CreateClientRequest) *tokenv1.Client {
	return &tokenv1.Client{
		Name: req.GetName(), GrantTypes: req.GetGrantTypes(), RedirectUris: req.GetRedirectUris(),
		PostLogoutRedirectUris: req.GetPostLogoutRedirectUris(), Scopes: req.GetScopes(), Public: req.GetPublic(),
		FirstParty: req.GetFirstParty(), AccessTokenLifetime: req.GetAccessTokenLifetime(), Jwks: req.GetJwks(),
		RefreshTokenLifetime: req.GetRefreshTokenLifetime(), IdTokenLifetime: req.GetIdTokenLifetime(),
		OpaqueAccessTokens: req.GetOpaqueAccessTokens(), IdTokenSigningAlg: req.GetIdTokenSigningAlg(),
		AccessTokenSigningAlg: req.GetAccessTokenSigningAlg(), PkceOptional: req.GetPkceOptional(),
		BackchannelLogoutUri:               req.GetBackchannelLogoutUri(),
		RequirePushedAuthorizationRequests: req.GetRequirePushedAuthorizationRequests(),
		TlsClientAuthSubjectDn:             req.GetTlsClientAuthSubjectDn(),
		TlsClientAuthSanDns:                req.GetTlsClientAuthSanDns(), TlsClientAuthSanUri: req.GetTlsClientAuthSanUri(),
		TlsClientAuthSanIp: req.GetTlsClientAuthSanIp(), TlsClientAuthSanEmail: req.GetTlsClientAuthSanEmail(),
		SelfSignedTlsClientAuth: req.GetSelfSignedTlsClientAuth(), DpopBoundAccessTokens: req.GetDpopBoundAccessTokens(),
		TlsClientCertificateBoundAccessTokens: req.GetTlsClientCertificateBoundAccessTokens(),
	}
}

// UpdateClient implements AdminService. What is narrowed is narrow at once: the next request of the client is held to what
// is registered then, also under a grant that is older, and tokens that it has in its own name end. Those in somebody
// else's keep what they carry until they expire.
func (a *admin) UpdateClient(ctx context.Context, req *tokenv1.UpdateClientRequest) (*tokenv1.UpdateClientResponse, error) {
	id := req.GetClient().GetClientId()
	fields, err := changedFields(req.GetClient(), req.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	if err := oneCertificate(req.GetClient()); err != nil {
		return nil, err
	}
	entry := audit.Entry{Time: a.Now(), Action: "client.update", Details: map[string]string{"fields": strings.Join(fields, " ")}}
	c, err := a.Clients.ChangeClient(ctx, oauth.KindApplication, id, entry, func(c *oauth.Client) error {
		if !c.Disabled.IsZero() {
			return errClientDisabled()
		}
		before := *c
		for _, field := range fields {
			clientFields[field](c, req.GetClient())
		}
		if c.Narrower(&before) {
			c.Epoch++
		}
		if c.AccessTokenLifetime > 0 && c.AccessTokenLifetime < shortestAccessToken {
			return mesh.InvalidField("accessTokenLifetime", "must be at least 30 seconds")
		}
		return c.Reregister()
	})
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("client", id)
	}
	if err != nil {
		return nil, leaving(err)
	}
	a.Registered(ctx, &c)
	a.Logger.InfoContext(ctx, "client changed", "client_id", c.ID, "fields", fields, "by", mesh.Caller(ctx).Subject)
	return &tokenv1.UpdateClientResponse{Client: clientToProto(c)}, nil
}

// shortestAccessToken is the shortest lifetime that CreateClient takes too.
const shortestAccessToken = 30 * time.Second

func errClientDisabled() error {
	return mesh.FailedPrecondition("CLIENT_DISABLED", "the client is disabled, or has expired")
}

// changedFields are the fields that a request names, or if it names none those that it sets.
func changedFields(client *tokenv1.Client, mask *fieldmaskpb.FieldMask) ([]string, error) {
	paths := mask.GetPaths()
	if len(paths) == 0 {
		client.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			paths = append(paths, string(field.Name()))
			return true
		})
	}
	var fields []string
	for _, path := range paths {
		switch {
		case path == "client_id": // names the client
		case clientFields[path] == nil:
			return nil, mesh.InvalidField("updateMask", "names what is no field of a client that can be changed")
		case !slices.Contains(fields, path):
			fields = append(fields, path)
		}
	}
	if len(fields) == 0 {
		return nil, mesh.InvalidField("updateMask", "names nothing to change")
	}
	slices.Sort(fields)
	return fields, nil
}

// RotateClientSecret implements AdminService.
func (a *admin) RotateClientSecret(ctx context.Context, req *tokenv1.RotateClientSecretRequest) (*tokenv1.RotateClientSecretResponse, error) {
	c, err := a.application(ctx, req.GetClientId())
	if err != nil {
		return nil, err
	}
	if !c.HasSecret() {
		return nil, mesh.FailedPrecondition("CLIENT_WITHOUT_SECRET", "the client does not authenticate by a secret")
	}
	c, secret, err := a.rotate(ctx, c, "client.secret.rotate", req.GetOverlap().AsDuration())
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RotateClientSecretResponse{Client: clientToProto(c), ClientSecret: secret}, nil
}

// rotate gives a client a new secret in the place of the one that it has in known. Of several callers that rotate at once
// one does; the others' secrets would be dead on arrival.
func (a *admin) rotate(ctx context.Context, known oauth.Client, action string, overlap time.Duration) (c oauth.Client, secret string, err error) {
	now := a.Now()
	entry := audit.Entry{Time: now, Action: action, Details: map[string]string{"overlap": overlap.String()}}
	c, err = a.Clients.ChangeClient(ctx, known.Kind, known.ID, entry, func(c *oauth.Client) error {
		switch {
		case !c.Live(now):
			return errClientDisabled()
		case !bytes.Equal(c.SecretHash, known.SecretHash):
			return mesh.Aborted("SECRET_ROTATED", "the secret was changed by somebody else at this moment")
		case overlap > 0:
			secret = c.RotateSecret(now.Add(overlap))
		default:
			secret = c.GiveSecret()
			c.Epoch++ // nothing that the one before was exchanged for is left
		}
		return nil
	})
	if err != nil {
		return oauth.Client{}, "", err
	}
	a.Logger.InfoContext(ctx, "secret rotated", "client_id", c.ID, "kind", c.Kind, "overlap", overlap, "by", mesh.Caller(ctx).Subject)
	return c, secret, nil
}
