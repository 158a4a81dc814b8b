package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

func newAccessToken(w World) *cobra.Command {
	var t target
	var keyFile string
	c := &cobra.Command{
		Use:   "access-token",
		Short: "Print an access token, for curl and grpcurl",
		Long: `Print an access token: that of whoever has signed in by ` + "`realguardio login`" + `. With --user it is that person's, by the password
grant, which the client must be registered for. With --client alone it is the client's own, by client credentials.

With --dpop-key the token is bound to a key, and good only with a proof for each request, which realguardio dpop-proof makes.`,
		Example: `  realguardio access-token --user mary@acme.example
  curl -H "Authorization: Bearer $(realguardio access-token --client demo-service)" http://localhost:8080/api/securitysystems
  realguardio access-token --issuer https://id.example.com --client reports --client-secret-file secret`,
	}
	declare := func(s *settings.Set) {
		t.declare(s)
		s.String(&keyFile, "dpop-key", "file of a P-256 key in PEM that the token is bound to; made where it is not there. With --client or --user")
	}
	return command(w, c, "", declare, func(c *cobra.Command, _ []string) error {
		if err := t.resolve(); err != nil {
			return err
		}
		if keyFile != "" {
			if t.ClientID == "" && t.User == "" {
				return usageError{errors.New("--dpop-key takes --client or --user: the tokens of realguardio login are not bound to a key")}
			}
			var err error
			if t.key, err = ensureDPoPKey(keyFile); err != nil {
				return err
			}
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
