package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

func newClientsGet(w World) *cobra.Command {
	c := &cobra.Command{Use: "get CLIENT", Short: "Show all that is registered of an application; a table shows the most important", Args: cobra.ExactArgs(1)}
	columns := []string{"clientId", "name", "grantTypes", "redirectUris", "scopes", "public", "firstParty", "disabled"}
	return manage(w, c, demo.Admin, columns, nil, func(a *api, args []string) error {
		return a.do("show the client", http.MethodGet, path("/clients/", args[0]), nil, "client")
	})
}

// memberOf says which member of a client a flag of clients update changes.
var memberOf = map[string]string{
	"name": "name", "grant": "grantTypes", "redirect-uri": "redirectUris", "post-logout-redirect-uri": "postLogoutRedirectUris",
	"scope": "scopes", "public": "public", "first-party": "firstParty", "opaque": "opaqueAccessTokens", "jwks-file": "jwks",
	"id-token-alg": "idTokenSigningAlg", "access-token-alg": "accessTokenSigningAlg", "pkce-optional": "pkceOptional",
	"require-pushed-requests": "requirePushedAuthorizationRequests", "backchannel-logout-uri": "backchannelLogoutUri",
	"access-token-lifetime": "accessTokenLifetime", "refresh-token-lifetime": "refreshTokenLifetime", "id-token-lifetime": "idTokenLifetime",
	"tls-subject-dn": "tlsClientAuthSubjectDn", "tls-san-dns": "tlsClientAuthSanDns", "tls-san-uri": "tlsClientAuthSanUri",
	"tls-san-ip": "tlsClientAuthSanIp", "tls-san-email": "tlsClientAuthSanEmail", "tls-self-signed": "selfSignedTlsClientAuth",
	"dpop-bound": "dpopBoundAccessTokens", "certificate-bound": "tlsClientCertificateBoundAccessTokens",
}

func newClientsUpdate(w World) *cobra.Command {
	var t target
	var out output
	var r registration
	c := &cobra.Command{
		Use:   "update CLIENT",
		Short: "Change what is registered of an application: what flags are given for, and nothing else",
		Long: `Change what is registered of an application: what flags are given for, and nothing else. A list takes the place of the
one before. What is taken away is gone at once. An application that is no longer public, or no longer has keys of its own,
cannot do anything until clients rotate-secret gives it a secret.`,
		Example: `  realguardio clients update app_06h03td30m2a8mycerj5kpyt3r --redirect-uri https://www.example.com/callback --first-party=false`,
		Args:    cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		t.declareCaller(s)
		t.declareToken(s)
		out.declare(s)
		r.declare(s)
	}
	return command(w, c, "", declare, func(c *cobra.Command, args []string) error {
		changes, err := r.changes(c.Flags().Changed)
		if err != nil {
			return err
		}
		gateway, err := t.gateway(c.Context(), demo.TrustedClient, demo.Admin)
		if err != nil {
			return err
		}
		var changed client
		if err := gateway.Call(c.Context(), http.MethodPatch, path("/clients/", args[0]), changes, &changed); err != nil {
			return fmt.Errorf("cannot change the client: %w", err)
		}
		return out.clients(c.OutOrStdout(), changed.printed(""))
	})
}

// changes are the members that flags were given for.
func (r *registration) changes(given func(flag string) bool) (object, error) {
	whole, err := r.complete()
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("encode the client: %w", err)
	}
	var members object
	if err := json.Unmarshal(encoded, &members); err != nil {
		return nil, fmt.Errorf("encode the client: %w", err)
	}
	changes := object{}
	for flag, member := range memberOf {
		if !given(flag) {
			continue
		}
		value, ok := members[member]
		if !ok { // it is left out where it is empty
			value = emptied[member]
		}
		changes[member] = value
	}
	if len(changes) == 0 {
		return nil, usageError{errors.New("nothing to change: give a flag")}
	}
	return changes, nil
}

// emptied is what members are set to that a client is written without where they are empty; any other is unset.
var emptied = object{
	"opaqueAccessTokens": false, "pkceOptional": false, "requirePushedAuthorizationRequests": false,
	"jwks": "", "idTokenSigningAlg": "", "accessTokenSigningAlg": "", "backchannelLogoutUri": "",
	"tlsClientAuthSubjectDn": "", "tlsClientAuthSanDns": "", "tlsClientAuthSanUri": "", "tlsClientAuthSanIp": "", "tlsClientAuthSanEmail": "",
	"selfSignedTlsClientAuth": false, "dpopBoundAccessTokens": false, "tlsClientCertificateBoundAccessTokens": false,
}

func newClientsRotateSecret(w World) *cobra.Command {
	var overlap time.Duration
	c := &cobra.Command{
		Use:     "rotate-secret CLIENT",
		Short:   "Give an application a new secret and print it; it is shown only now",
		Example: `  realguardio clients rotate-secret app_06h03td30m2a8mycerj5kpyt3r --overlap 24h`,
		Args:    cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		s.Duration(&overlap, "overlap", "how long the secret before stays good (default: not at all)")
	}
	return manage(w, c, demo.Admin, []string{"client_id", "client_secret"}, declare, func(a *api, args []string) error {
		var answer struct{ ClientSecret string }
		if err := a.Call(a.ctx, http.MethodPost, path("/clients/", args[0], ":rotateSecret"), object{"overlap": seconds(overlap)}, &answer); err != nil {
			return fmt.Errorf("cannot rotate the secret: %w", err)
		}
		return a.print(object{"client_id": args[0], "client_secret": answer.ClientSecret})
	})
}
