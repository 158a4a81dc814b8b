package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/account"
)

func newSetup(w World) *cobra.Command {
	f := &setupFlags{part: partFlags{part: assembly.Token}}
	c := &cobra.Command{
		Use:   "setup",
		Short: "Prepare a production installation: clients of the parts, the first platform admin",
		Long: `Prepare a production installation, on the token service's database and with its keys. It registers a client for each part
and the one by which people sign in to the gateway, writes their secrets into files of --out-dir (mode 0600) for
--client-secret-file and --web-client-secret-file, and makes the first platform admin, whose password is printed once.

Run again, it changes nothing that is there: it adds what is missing, and refuses to go on where a client is registered
whose secret is not in --out-dir, or for another --public-url. --rotate-secrets gives every client a new secret, with
which the parts must then be restarted; --update-public-url lets people sign in at another URL, and no longer at the
one before. Where there is a platform admin, no further one is made. Of a --config file it reads the top level and the mapping of the part token.`,
		Example: `  realguardio keys generate key-encryption-key token-mac-key session-key
  realguardio setup --database-url 'postgres://token@db/realguardio?schema=token&sslmode=verify-full' \
    --key-encryption-key-file key-encryption-key --token-mac-key-file token-mac-key \
    --public-url https://example.com --admin-email ada@example.com --admin-name 'Ada Quinn' --out-dir secrets`,
	}
	return command(w, c, assembly.Token, f.declare, f.run)
}

// setupFlags are the settings of setup.
type setupFlags struct {
	part           partFlags
	keys           tokenKeys
	publicURL, out string
	rotate, move   bool
	admin          firstAdmin
}

func (f *setupFlags) declare(s *settings.Set) {
	f.part.migrate = true
	f.part.declareDatabase(s)
	s.Bool(&f.part.insecurePlainStores, "insecure-plaintext-stores", "allow PostgreSQL on another machine without TLS")
	f.keys.declare(s)
	s.String(&f.publicURL, "public-url", "where browsers reach the gateway", settings.Required, settings.HTTPURL, origin)
	s.String(&f.out, "out-dir", "folder for the secrets of the parts' clients", settings.Required)
	s.Bool(&f.rotate, "rotate-secrets", "give every client a new secret; running parts lose theirs until they are restarted")
	s.Bool(&f.move, "update-public-url", "let people sign in at --public-url instead of where they did")
	f.admin.declare(s)
}

func (f *setupFlags) run(c *cobra.Command, _ []string) error {
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	registry, err := assembly.OpenRegistry(c.Context(), f.keys.config(f.part.environment(log, nil)))
	if err != nil {
		return err
	}
	defer registry.Close()
	if err := f.check(c.Context(), registry); err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o700); err != nil {
		return fmt.Errorf("cannot make --out-dir: %w", err)
	}
	if f.rotate {
		if err := assembly.ForgetSecrets(f.out); err != nil {
			return err
		}
	}
	secrets, err := registry.EnsureClients(c.Context(), f.out, f.publicURL)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(secrets)) {
		fmt.Fprintf(c.OutOrStdout(), "client %s: secret in %s\n", id, assembly.SecretFile(f.out, id))
	}
	return f.admin.make(c, registry)
}

// check refuses to change clients that running parts rely on, unless told to.
func (f *setupFlags) check(ctx context.Context, registry *assembly.Registry) error {
	differences, err := registry.CheckClients(ctx, f.out, f.publicURL)
	if err != nil {
		return err
	}
	var refused error
	if !f.rotate {
		for _, difference := range differences.Secrets {
			refused = errors.Join(refused, fmt.Errorf("%w: give the --out-dir of before, or --rotate-secrets for new ones", difference))
		}
	}
	if differences.PublicURL != nil && !f.move {
		refused = errors.Join(refused, fmt.Errorf("%w, which --public-url %s would end: give the URL of before, or --update-public-url", differences.PublicURL, f.publicURL))
	}
	return refused
}

// firstAdmin is the account that can make everything else.
type firstAdmin struct{ email, name, passwordFile string }

func (a *firstAdmin) declare(s *settings.Set) {
	s.String(&a.email, "admin-email", "e-mail address of the first platform admin", settings.Required)
	s.String(&a.name, "admin-name", "their name", settings.Required)
	s.String(&a.passwordFile, "admin-password-file", "file with their password (default: a random one, printed once)", settings.File)
	s.Rule(func() error {
		if a.email != "" && !strings.Contains(a.email, "@") {
			return errors.New("--admin-email: must be an e-mail address")
		}
		return nil
	})
}

func (a *firstAdmin) make(c *cobra.Command, registry *assembly.Registry) error {
	password := rand.Text()
	if a.passwordFile != "" {
		var err error
		if password, err = settings.Secret(a.passwordFile); err != nil {
			return err
		}
		if err := registry.CheckPassword(password, a.email, a.name); err != nil {
			return fmt.Errorf("--admin-password-file: %w", err)
		}
	}
	admin, err := registry.EnsureFirstAdmin(c.Context(), token.UserSpec{Email: a.email, Name: a.name, Password: password})
	if errors.Is(err, account.ErrNotFound) {
		return fmt.Errorf("cannot make the platform admin: %s has an account that is disabled", a.email)
	}
	switch who := fmt.Sprintf("platform admin %s (%s)", admin.Email, admin.ID); {
	case err != nil:
		return fmt.Errorf("cannot make the platform admin: %w", err)
	case !admin.Made && !admin.Promoted:
		fmt.Fprintf(c.OutOrStdout(), "%s: was there already, nothing was changed\n", who)
	case admin.Promoted:
		fmt.Fprintf(c.OutOrStdout(), "%s: had an account, which is now an admin's; the password is unchanged (realguardio users link gives another)\n", who)
	case a.passwordFile != "":
		fmt.Fprintf(c.OutOrStdout(), "%s: password as in %s\n", who, a.passwordFile)
	default:
		fmt.Fprintf(c.OutOrStdout(), "%s: password %s, shown only now\n", who, password)
	}
	return nil
}

func newMigrate(w World) *cobra.Command {
	p := &partFlags{}
	c := &cobra.Command{
		Use:   "migrate PART",
		Short: "Bring the database of one part up to date",
		Long: `Bring the database of one part up to date and exit. ` + "`realguardio serve`" + ` does the same at its start unless it is told
--migrate=false, for operators who give the running parts fewer rights than this takes.`,
		Example:   `  realguardio migrate customer --database-url 'postgres://owner@db/realguardio?schema=customer&sslmode=verify-full'`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: assembly.Migratable(),
	}
	declare := func(s *settings.Set) {
		p.declareDatabase(s)
		s.Bool(&p.insecurePlainStores, "insecure-plaintext-stores", "allow PostgreSQL on another machine without TLS")
	}
	return command(w, c, "", declare, func(c *cobra.Command, args []string) error {
		p.part = args[0]
		if err := assembly.Migrate(c.Context(), args[0], p.database.url); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "the database of %s is up to date at %s\n", args[0], time.Now().Format(time.RFC3339))
		return err
	})
}
