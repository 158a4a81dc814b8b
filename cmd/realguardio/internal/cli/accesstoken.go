package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
)

func newAccessToken(w World) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "access-token",
		Short: "Print an access token, for curl and grpcurl",
		Long: `Print an access token: that of whoever has signed in by ` + "`realguardio login`" + `. With --user it is that person's, by the password grant; the client must be registered for it.
With --client alone it is the client's own, by client credentials.`,
		Example: `  realguardio access-token --user mary@acme.example
  curl -H "Authorization: Bearer $(realguardio access-token --client demo-service)" http://localhost:8080/api/securitysystems
  realguardio access-token --issuer https://id.example.com --client reports --client-secret-file secret`,
	}
	return command(w, c, "", t.declare, func(c *cobra.Command, _ []string) error {
		if err := t.resolve(); err != nil {
			return err
		}
		client := ""
		if t.User != "" {
			client = demo.TrustedClient
		}
		token, err := t.token(c.Context(), client, t.User)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), token)
		return err
	})
}
