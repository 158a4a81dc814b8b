package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

// client is a registered application as REST shows it.
type client struct {
	ClientID               string   `json:"clientId,omitempty"`
	Name                   string   `json:"name"`
	GrantTypes             []string `json:"grantTypes"`
	RedirectURIs           []string `json:"redirectUris"`
	PostLogoutRedirectURIs []string `json:"postLogoutRedirectUris"`
	Scopes                 []string `json:"scopes"`
	Public                 bool     `json:"public"`
	FirstParty             bool     `json:"firstParty"`
	AccessTokenLifetime    string   `json:"accessTokenLifetime,omitempty"`
	RefreshTokenLifetime   string   `json:"refreshTokenLifetime,omitempty"`
	IDTokenLifetime        string   `json:"idTokenLifetime,omitempty"`
	OpaqueAccessTokens     bool     `json:"opaqueAccessTokens,omitempty"`
	JWKS                   string   `json:"jwks,omitempty"`
	IDTokenSigningAlg      string   `json:"idTokenSigningAlg,omitempty"`
	AccessTokenSigningAlg  string   `json:"accessTokenSigningAlg,omitempty"`
	PKCEOptional           bool     `json:"pkceOptional,omitempty"`
	RequirePushedRequests  bool     `json:"requirePushedAuthorizationRequests,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannelLogoutUri,omitempty"`
	Disabled               bool     `json:"disabled,omitempty"`
	TLSSubjectDN           string   `json:"tlsClientAuthSubjectDn,omitempty"`
	TLSSanDNS              string   `json:"tlsClientAuthSanDns,omitempty"`
	TLSSanURI              string   `json:"tlsClientAuthSanUri,omitempty"`
	TLSSanIP               string   `json:"tlsClientAuthSanIp,omitempty"`
	TLSSanEmail            string   `json:"tlsClientAuthSanEmail,omitempty"`
	SelfSignedTLS          bool     `json:"selfSignedTlsClientAuth,omitempty"`
	DPoPBound              bool     `json:"dpopBoundAccessTokens,omitempty"`
	CertificateBound       bool     `json:"tlsClientCertificateBoundAccessTokens,omitempty"`
}

// lifetimes are the durations of a client in the form that flags have them.
type lifetimes struct{ access, refresh, id time.Duration }

// into writes those that were given in the form that REST takes them.
func (l lifetimes) into(c *client) {
	for to, given := range map[*string]time.Duration{
		&c.AccessTokenLifetime: l.access, &c.RefreshTokenLifetime: l.refresh, &c.IDTokenLifetime: l.id,
	} {
		if given != 0 {
			*to = seconds(given)
		}
	}
}

// printedClient is what -o json prints: the names of RFC 7591.
type printedClient struct {
	ClientID               string   `json:"client_id"`
	ClientSecret           string   `json:"client_secret,omitempty"`
	Name                   string   `json:"client_name"`
	GrantTypes             []string `json:"grant_types"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	Scopes                 []string `json:"scopes"`
	Public                 bool     `json:"public"`
	FirstParty             bool     `json:"first_party"`
	Disabled               bool     `json:"disabled"`
}

func (c client) printed(secret string) printedClient {
	some := func(list []string) []string { return append([]string{}, list...) }
	return printedClient{
		ClientID: c.ClientID, ClientSecret: secret, Name: c.Name, GrantTypes: some(c.GrantTypes), RedirectURIs: some(c.RedirectURIs),
		PostLogoutRedirectURIs: some(c.PostLogoutRedirectURIs), Scopes: some(c.Scopes), Public: c.Public, FirstParty: c.FirstParty, Disabled: c.Disabled,
	}
}

func newClients(w World) *cobra.Command {
	clients := &cobra.Command{
		Use:   "clients",
		Short: "Register applications with the identity provider",
		Long: `Register applications with the identity provider, through the gateway and as a platform admin: the demo's, or whoever
the token of --token-file or the password of --user and --password-file belongs to.`,
	}
	clients.AddCommand(newClientsCreate(w), newClientsList(w), newClientsGet(w), newClientsUpdate(w), newClientsRotateSecret(w), newClientsDisable(w))
	return clients
}

// output is how a command prints what it got.
type output struct{ format string }

func (o *output) declare(s *settings.Set) {
	o.format = "table"
	s.String(&o.format, "output,o", "json or table", settings.OneOf("json", "table"))
}

// registration is a client as the flags of create say it.
type registration struct {
	client
	lives    lifetimes
	jwksFile string
}

func (r *registration) declare(s *settings.Set, needed ...settings.Check) {
	s.String(&r.Name, "name", "what people see of it", needed...)
	s.Strings(&r.GrantTypes, "grant", "authorization_code, client_credentials, refresh_token, password, implicit, or the long names of the "+
		"grants for devices (RFC 8628) and for token exchange (RFC 8693)", needed...)
	s.Strings(&r.Scopes, "scope", "what it may be allowed, such as openid or securitysystem.read")
	s.Strings(&r.RedirectURIs, "redirect-uri", "where an authorization may return to, exactly")
	s.Strings(&r.PostLogoutRedirectURIs, "post-logout-redirect-uri", "where a sign-out may return to, exactly")
	s.Bool(&r.Public, "public", "no secret; PKCE instead")
	s.Bool(&r.FirstParty, "first-party", "never asks for consent")
	s.Bool(&r.OpaqueAccessTokens, "opaque", "access tokens tell nothing to who does not introspect them")
	s.String(&r.jwksFile, "jwks-file", "JWK Set of its public keys: it authenticates by private_key_jwt and has no secret", settings.File)
	s.String(&r.IDTokenSigningAlg, "id-token-alg", "ES256, RS256 or EdDSA (default RS256, with --first-party ES256)")
	s.String(&r.AccessTokenSigningAlg, "access-token-alg", "ES256, RS256 or EdDSA (default ES256)")
	s.String(&r.TLSSubjectDN, "tls-subject-dn", "subject of its certificate: it authenticates by mutual TLS and has no secret (RFC 8705)")
	s.String(&r.TLSSanDNS, "tls-san-dns", "the same, by a DNS name in the certificate")
	s.String(&r.TLSSanURI, "tls-san-uri", "the same, by a URI in it")
	s.String(&r.TLSSanIP, "tls-san-ip", "the same, by an IP address in it")
	s.String(&r.TLSSanEmail, "tls-san-email", "the same, by an e-mail address in it")
	s.Bool(&r.SelfSignedTLS, "tls-self-signed", "the same, by a certificate of its own that stands in --jwks-file as x5c")
	s.Bool(&r.DPoPBound, "dpop-bound", "must prove a key by DPoP, to which its tokens are bound (RFC 9449)")
	s.Bool(&r.CertificateBound, "certificate-bound", "must come over mutual TLS, to whose certificate its tokens are bound (RFC 8705)")
	s.Bool(&r.PKCEOptional, "pkce-optional", "may do without PKCE, for a client with a secret that does not know it")
	s.Bool(&r.RequirePushedRequests, "require-pushed-requests", "must push its authorization requests (RFC 9126)")
	s.String(&r.BackchannelLogoutURI, "backchannel-logout-uri", "told when a session ends that it was opened in")
	s.Duration(&r.lives.access, "access-token-lifetime", "how long its access tokens live (default: the issuer's)")
	s.Duration(&r.lives.refresh, "refresh-token-lifetime", "how long it may renew them (default: the issuer's)")
	s.Duration(&r.lives.id, "id-token-lifetime", "how long its ID tokens live (default: the issuer's)")
}

// complete is the client in the form that REST takes it.
func (r *registration) complete() (client, error) {
	made := r.client
	r.lives.into(&made)
	if r.jwksFile == "" {
		return made, nil
	}
	set, err := os.ReadFile(r.jwksFile)
	if err != nil {
		return client{}, fmt.Errorf("cannot read the client's keys: %w", err)
	}
	made.JWKS = string(set)
	return made, nil
}

func newClientsCreate(w World) *cobra.Command {
	var t target
	var r registration
	var out output
	c := &cobra.Command{
		Use:   "create",
		Short: "Register an application and print its secret, which is shown only now",
		Example: `  realguardio clients create --name Reports --grant client_credentials --scope securitysystem.read -o json
  realguardio clients create --name Website --grant authorization_code,refresh_token --scope openid,email,offline_access \
    --redirect-uri https://www.example.com/callback --post-logout-redirect-uri https://www.example.com/`,
	}
	declare := func(s *settings.Set) {
		t.declareCaller(s)
		t.declareToken(s)
		out.declare(s)
		r.declare(s, settings.Required)
	}
	return command(w, c, "", declare, func(c *cobra.Command, _ []string) error {
		in, err := r.complete()
		if err != nil {
			return err
		}
		gateway, err := t.gateway(c.Context(), demo.TrustedClient, demo.Admin)
		if err != nil {
			return err
		}
		var made struct {
			Client       client `json:"client"`
			ClientSecret string `json:"clientSecret"`
		}
		if err := gateway.Call(c.Context(), http.MethodPost, path("/clients"), in, &made); err != nil {
			return fmt.Errorf("cannot register the client: %w", err)
		}
		return out.clients(c.OutOrStdout(), made.Client.printed(made.ClientSecret))
	})
}

func newClientsList(w World) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the registered applications"}
	return manage(w, c, demo.Admin, nil, nil, func(a *api, _ []string) error {
		all := []printedClient{}
		for token := ""; ; {
			var page struct {
				Clients       []client `json:"clients"`
				NextPageToken string   `json:"nextPageToken"`
			}
			query := url.Values{"pageSize": {"200"}, "pageToken": {token}}
			if err := a.Call(a.ctx, http.MethodGet, path("/clients")+"?"+query.Encode(), nil, &page); err != nil {
				return fmt.Errorf("cannot list the clients: %w", err)
			}
			for _, one := range page.Clients {
				all = append(all, one.printed(""))
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
		if a.format == "json" {
			return printJSON(a.to, all)
		}
		return output{a.format}.clients(a.to, all...)
	})
}

func newClientsDisable(w World) *cobra.Command {
	c := &cobra.Command{Use: "disable CLIENT", Short: "End a client and every token it holds", Args: cobra.ExactArgs(1)}
	return manage(w, c, demo.Admin, nil, nil, func(a *api, args []string) error {
		var answer struct{ Client client }
		if err := a.Call(a.ctx, http.MethodPost, path("/clients/", args[0], ":disable"), struct{}{}, &answer); err != nil {
			return fmt.Errorf("cannot disable the client: %w", err)
		}
		return output{a.format}.clients(a.to, answer.Client.printed(""))
	})
}

// clients prints one client as an object, or several as rows.
func (o output) clients(w io.Writer, clients ...printedClient) error {
	if o.format == "json" {
		return printJSON(w, clients[0])
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tNAME\tGRANTS\tSCOPES\tSTATE\tSECRET")
	for _, c := range clients {
		state := "active"
		if c.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", c.ClientID, c.Name, strings.Join(c.GrantTypes, " "), strings.Join(c.Scopes, " "), state, c.ClientSecret)
	}
	return table.Flush()
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
