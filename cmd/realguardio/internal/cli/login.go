package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/signin"
)

func newLogin(w World) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "login",
		Short: "Sign in on the command line, in a browser of any machine",
		Long: `Sign in on the command line. It prints an address and a code: open the one in a browser on any machine, sign in there, and
type the other. From then on the commands that call a running installation act as you, until ` + "`realguardio logout`" + `, or
until the sign-in has not been used for 30 days.

The tokens are kept in a file of yours (mode 0600), one sign-in for each issuer.`,
		Example: `  realguardio login --issuer https://id.example.com --gateway https://example.com
  realguardio login --ready-file .realguardio/demo.json`,
	}
	return command(w, c, "", t.declare, func(c *cobra.Command, _ []string) error {
		if err := t.resolve(); err != nil {
			return err
		}
		if t.Issuer == "" {
			return usageError{errors.New("--issuer or --ready-file is required")}
		}
		if t.ClientID == "" {
			t.ClientID = assembly.CLIClient
		}
		login, err := t.signIn(c)
		if err != nil {
			return err
		}
		if err := t.logins.Put(login); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Signed in as %s at %s\n", login.Username, login.Issuer)
		return err
	})
}

func (t *target) signIn(c *cobra.Command) (signin.Login, error) {
	login := signin.Login{Issuer: t.Issuer, Gateway: t.Gateway, CAFile: t.CAFile, ClientID: t.ClientID}
	if t.CAFile != "" { // the next command may be given in another folder
		var err error
		if login.CAFile, err = filepath.Abs(t.CAFile); err != nil {
			return signin.Login{}, fmt.Errorf("cannot keep the sign-in: %w", err)
		}
	}
	person, err := t.person(c.Context(), login)
	if err != nil {
		return signin.Login{}, err
	}
	tokens, err := person.SignIn(c.Context(), t.Scopes, func(p remote.Prompt) error {
		_, err := fmt.Fprintf(c.OutOrStdout(), "Open %s and type the code %s\nWaiting for you to sign in there ...\n", p.URL, p.Code)
		return err
	})
	if err != nil {
		return signin.Login{}, err
	}
	login.AccessToken, login.RefreshToken, login.Expires = tokens.Access, tokens.Refresh, tokens.Expires
	login.Username, err = person.Name(c.Context(), tokens.Access)
	return login, err
}

func newLogout(w World) *cobra.Command {
	var t target
	var forget bool
	c := &cobra.Command{
		Use:   "logout",
		Short: "End the sign-in of `realguardio login`, at the identity provider too",
		Long: `End the sign-in of ` + "`realguardio login`" + `, and with it every token that came of it. --forget removes it from this machine alone,
where the identity provider cannot be reached.`,
	}
	declare := func(s *settings.Set) {
		t.declare(s)
		s.Bool(&forget, "forget", "do not tell the identity provider")
	}
	return command(w, c, "", declare, func(c *cobra.Command, _ []string) error {
		if err := t.resolve(); err != nil {
			return err
		}
		login, found, err := t.logins.Find(t.Issuer)
		if err != nil {
			return err
		}
		if !found {
			_, err := fmt.Fprintln(c.OutOrStdout(), "Nobody is signed in")
			return err
		}
		if !forget {
			if err := t.revoke(c.Context(), login); err != nil {
				return fmt.Errorf("%w (--forget removes it from this machine alone)", err)
			}
		}
		if err := t.logins.Remove(login.Issuer); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Signed out %s at %s\n", login.Username, login.Issuer)
		return err
	})
}

func (t *target) revoke(ctx context.Context, login signin.Login) error {
	person, err := t.person(ctx, login)
	if err != nil {
		return err
	}
	return person.Revoke(ctx, login.RefreshToken)
}

// person is whose login this is, at their identity provider.
func (t *target) person(ctx context.Context, login signin.Login) (remote.Person, error) {
	issuer, err := remote.Discover(ctx, t.http, login.Issuer)
	return remote.Person{HTTP: t.http, Issuer: issuer, ClientID: login.ClientID}, err
}

// renewBefore is how long an access token has to be good for yet, to be used.
const renewBefore = 30 * time.Second

// loginToken returns an access token of a login, a new one if the last is about to end.
func (t *target) loginToken(ctx context.Context, login signin.Login, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if time.Until(login.Expires) > renewBefore {
		return login.AccessToken, nil
	}
	person, err := t.person(ctx, login)
	if err != nil {
		return "", err
	}
	tokens, err := person.Refresh(ctx, login.RefreshToken)
	if refused, ok := errors.AsType[*remote.Problem](err); ok && refused.Code == "invalid_grant" {
		return "", fmt.Errorf("the sign-in of %s has ended: realguardio login starts another", login.Username)
	}
	if err != nil {
		return "", err
	}
	renewed := login
	renewed.AccessToken, renewed.Expires = tokens.Access, tokens.Expires
	if tokens.Refresh != "" {
		renewed.RefreshToken = tokens.Refresh
	}
	return renewed.AccessToken, t.logins.Renew(login, renewed)
}
