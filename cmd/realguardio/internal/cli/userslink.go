package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/token"
)

func newUsersLink(w World) *cobra.Command {
	part := partFlags{part: assembly.Token}
	var keys tokenKeys
	var email string
	c := &cobra.Command{
		Use:   "link",
		Short: "Print a link by which somebody chooses a password",
		Long: `Print a link by which the person of an account chooses a password: for an installation without a mail server, or whose
admins have lost theirs. It works on the token service's database and with its keys. Whoever has the link can sign in as
that person: hand it over by a way that nobody else reads. It can be used once, and links of before end. Of a --config file
it reads the top level and the mapping of the part token.`,
		Example: `  realguardio users link --config realguardio.yaml --email ada@example.com`,
	}
	declare := func(s *settings.Set) {
		part.migrate = false
		part.declareDatabase(s)
		s.Bool(&part.insecurePlainStores, "insecure-plaintext-stores", "allow PostgreSQL on another machine without TLS")
		s.String(&part.issuer, "issuer", "URL of the identity provider, to which the link leads", settings.Required, settings.HTTPURL)
		s.Bool(&part.insecurePlaintext, "insecure-plaintext", "allow an http issuer on another machine")
		keys.declare(s)
		s.String(&email, "email", "their e-mail address", settings.Required)
	}
	return command(w, c, assembly.Token, declare, func(c *cobra.Command, _ []string) error {
		log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		cfg := keys.config(part.environment(log, nil))
		cfg.AllowPlaintextIssuer = part.insecurePlaintext
		registry, err := assembly.OpenRegistry(c.Context(), cfg)
		if err != nil {
			return err
		}
		defer registry.Close()
		link, expires, err := registry.PasswordLink(c.Context(), email)
		if errors.Is(err, token.ErrNoAccount) {
			return fmt.Errorf("nobody has an account with the address %s", email)
		}
		if err != nil {
			return fmt.Errorf("cannot make a link for %s: %w", email, err)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s\nIt can be used once, until %s.\n", link, expires.UTC().Format(time.RFC3339))
		return err
	})
}
