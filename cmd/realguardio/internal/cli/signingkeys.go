package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

// signingKey is a key of the identity provider as REST shows it, and as -o json prints it.
type signingKey struct {
	ID           string `json:"id"`
	Alg          string `json:"alg"`
	Status       string `json:"status"`
	CreateTime   string `json:"createTime"`
	ActivateTime string `json:"activateTime,omitempty"`
	RetireTime   string `json:"retireTime,omitempty"`
}

func newKeysList(w World) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys that the identity provider signs tokens with"}
	return onSigningKeys(w, c, nil, func(c *cobra.Command, call signingKeyCall, _ []string) ([]signingKey, error) {
		return call(c, http.MethodGet, "/api/v1/keys", nil)
	})
}

func newKeysRotate(w World) *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Make the next signing keys the ones that sign; tokens that were signed before stay good",
		Long: `Make the next key of each algorithm the one that signs, and publish those that are next after them. Tokens that were
signed before stay good until they expire. A key has to be published for two minutes before it signs, so that everybody
who verifies tokens has it: a second rotation within that time is refused. Without this command keys are rotated on
schedule (realguardio serve token --signing-key-lifetime).`,
	}
	var algs []string
	return onSigningKeys(w, c, func(s *settings.Set) {
		s.Strings(&algs, "alg", "ES256, RS256 or EdDSA (default: all of them)")
	}, func(c *cobra.Command, call signingKeyCall, _ []string) ([]signingKey, error) {
		return call(c, http.MethodPost, "/api/v1/keys:rotate", map[string]any{"algs": algs})
	})
}

func newKeysRevoke(w World) *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke KEY",
		Short: "End a signing key that somebody else may have, with every token that it signed, at once",
		Args:  cobra.ExactArgs(1),
	}
	return onSigningKeys(w, c, nil, func(c *cobra.Command, call signingKeyCall, args []string) ([]signingKey, error) {
		return call(c, http.MethodPost, "/api/v1/keys/"+url.PathEscape(args[0])+":revoke", struct{}{})
	})
}

// signingKeyCall calls the gateway and returns the keys in its answer.
type signingKeyCall func(c *cobra.Command, method, path string, in any) ([]signingKey, error)

// onSigningKeys is a command that calls the gateway as a platform admin and prints the keys that it got. declare adds
// settings, unless nil.
func onSigningKeys(w World, c *cobra.Command, declare func(*settings.Set), run func(*cobra.Command, signingKeyCall, []string) ([]signingKey, error)) *cobra.Command {
	var t target
	var out output
	all := func(s *settings.Set) {
		t.declare(s)
		t.declareToken(s)
		out.declare(s)
		if declare != nil {
			declare(s)
		}
	}
	return command(w, c, "", all, func(c *cobra.Command, args []string) error {
		gateway, err := t.gateway(c.Context(), demo.TrustedClient, demo.Admin)
		if err != nil {
			return err
		}
		keys, err := run(c, func(c *cobra.Command, method, path string, in any) ([]signingKey, error) {
			var answer struct {
				Keys []signingKey `json:"keys"`
				Key  *signingKey  `json:"key"`
			}
			if err := gateway.Call(c.Context(), method, path, in, &answer); err != nil {
				return nil, fmt.Errorf("cannot %s signing keys: %w", c.Name(), err)
			}
			if answer.Key != nil {
				return []signingKey{*answer.Key}, nil
			}
			return answer.Keys, nil
		}, args)
		if err != nil {
			return err
		}
		return out.signingKeys(c.OutOrStdout(), keys)
	})
}

func (o *output) signingKeys(w io.Writer, keys []signingKey) error {
	if o.format == "json" {
		return printJSON(w, append([]signingKey{}, keys...))
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tALG\tSTATUS\tCREATED\tSIGNS SINCE\tUNTIL")
	for _, k := range keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Alg, k.Status, k.CreateTime, k.ActivateTime, k.RetireTime)
	}
	return table.Flush()
}
