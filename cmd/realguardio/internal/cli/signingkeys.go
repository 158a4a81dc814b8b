package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

func newKeysList(w World) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys that the identity provider signs tokens with"}
	return onSigningKeys(w, c, nil, func([]string) (method, at string, in any) { return http.MethodGet, path("/keys"), nil })
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
	}, func([]string) (method, at string, in any) {
		return http.MethodPost, path("/keys:rotate"), object{"algs": algs}
	})
}

func newKeysRevoke(w World) *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke KEY",
		Short: "End a signing key that somebody else may have, with every token that it signed, at once",
		Args:  cobra.ExactArgs(1),
	}
	return onSigningKeys(w, c, nil, func(args []string) (method, at string, in any) {
		return http.MethodPost, path("/keys/", args[0], ":revoke"), object{}
	})
}

// onSigningKeys is a command that makes one call, as a platform admin, and prints the keys in the answer. declare adds
// settings, unless nil.
func onSigningKeys(w World, c *cobra.Command, declare func(*settings.Set), request func(args []string) (method, at string, in any)) *cobra.Command {
	columns := []string{"id", "alg", "status", "createTime", "activateTime", "retireTime"}
	return manage(w, c, demo.Admin, columns, declare, func(a *api, args []string) error {
		method, at, in := request(args)
		answer := struct {
			Keys []object `json:"keys"`
			Key  object   `json:"key"`
		}{Keys: []object{}}
		if err := a.Call(a.ctx, method, at, in, &answer); err != nil {
			return fmt.Errorf("cannot %s signing keys: %w", c.Name(), err)
		}
		if answer.Key != nil {
			answer.Keys = append(answer.Keys, answer.Key)
		}
		return a.printAll(answer.Keys)
	})
}
