package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

var userColumns = []string{"id", "email", "name", "roles", "invited", "disabled"}

func newUsers(w World) *cobra.Command {
	users := &cobra.Command{
		Use:   "users",
		Short: "Manage people's accounts",
		Long: `Manage people's accounts, as a platform admin. USER is an account's id, which users list shows; it never changes, and is
the subject of the account's tokens. link needs no admin: it works on the token service's database.`,
	}
	users.AddCommand(
		newUsersList(w), newUsersGet(w), newUsersInvite(w), newUsersResend(w), newUsersUpdate(w), newUsersSetRoles(w),
		newUsersDeed(w, "disable", "End an account with its sessions and tokens, everywhere", "disable", "disable the account"),
		newUsersDeed(w, "enable", "Let the person of a disabled account sign in again; what was ended stays ended", "enable", "enable the account"),
		newUsersSignOut(w), newUsersSessions(w), newUsersLink(w),
	)
	return users
}

// accountID wants USER, and says how to come by it: an address may be another person's tomorrow.
func accountID(c *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(c, args); err != nil {
		return err
	}
	if strings.Contains(args[0], "@") {
		return fmt.Errorf("USER is an account's id: realguardio users list --query %s shows it", plainText(args[0]))
	}
	return nil
}

func newUsersList(w World) *cobra.Command {
	query := ""
	c := &cobra.Command{Use: "list", Short: "List the accounts by e-mail address", Example: `  realguardio users list --query acme.example`}
	declare := func(s *settings.Set) { s.String(&query, "query", "only accounts whose address or name contains this") }
	return manage(w, c, demo.Admin, userColumns, declare, func(a *api, _ []string) error {
		q := url.Values{"pageSize": {"200"}}
		if query != "" {
			q.Set("query", query)
		}
		return a.list("list the accounts", path("/users"), q, "users", 0)
	})
}

func newUsersGet(w World) *cobra.Command {
	c := &cobra.Command{Use: "get USER", Short: "Show an account", Args: accountID}
	return manage(w, c, demo.Admin, userColumns, nil, func(a *api, args []string) error {
		return a.do("show the account", http.MethodGet, path("/users/", args[0]), nil, "user")
	})
}

func newUsersInvite(w World) *cobra.Command {
	var in struct {
		Email string   `json:"email"`
		Name  string   `json:"name"`
		Roles []string `json:"roles,omitempty"`
	}
	c := &cobra.Command{
		Use:     "invite",
		Short:   "Make an account, and send its person a link by which they choose a password",
		Example: `  realguardio users invite --email dana@acme.example --name "Dana Reed" --role REALGUARDIO_CUSTOMER_EMPLOYEE`,
	}
	declare := func(s *settings.Set) {
		s.String(&in.Email, "email", "the person's address", settings.Required)
		s.String(&in.Name, "name", "the person's name", settings.Required)
		s.Strings(&in.Roles, "role", "REALGUARDIO_ADMIN or REALGUARDIO_CUSTOMER_EMPLOYEE")
	}
	return manage(w, c, demo.Admin, userColumns, declare, func(a *api, _ []string) error {
		return a.do("invite the person", http.MethodPost, path("/users"), in, "user")
	})
}

func newUsersResend(w World) *cobra.Command {
	c := &cobra.Command{
		Use:   "resend USER",
		Short: "Send somebody who was invited another link; those before end",
		Args:  accountID,
	}
	return manage(w, c, demo.Admin, []string{"id"}, nil, func(a *api, args []string) error {
		if err := a.call("send the link", http.MethodPost, path("/users/", args[0], ":resendInvitation"), struct{}{}); err != nil {
			return err
		}
		return a.print(object{"id": args[0]})
	})
}

func newUsersUpdate(w World) *cobra.Command {
	var in struct {
		Name  string `json:"name,omitempty"`
		Email string `json:"email,omitempty"`
	}
	c := &cobra.Command{
		Use:     "update USER",
		Short:   "Change an account's name or address; a link goes to a new address, to confirm it",
		Example: `  realguardio users update usr_06h03td30m2a8mycerj5kpyt3r --email dana.reed@acme.example`,
		Args:    accountID,
	}
	declare := func(s *settings.Set) {
		s.String(&in.Name, "name", "the person's name (default: as before)")
		s.String(&in.Email, "email", "the person's address (default: as before)")
	}
	return manage(w, c, demo.Admin, userColumns, declare, func(a *api, args []string) error {
		if in.Name == "" && in.Email == "" {
			return usageError{errors.New("nothing to change: give --name or --email")}
		}
		return a.do("change the account", http.MethodPatch, path("/users/", args[0]), in, "user")
	})
}

func newUsersSetRoles(w World) *cobra.Command {
	in := struct {
		Roles []string `json:"roles"`
	}{Roles: []string{}}
	c := &cobra.Command{
		Use:     "set-roles USER",
		Short:   "Say which roles an account has; tokens that carry one that was taken away end at once",
		Example: `  realguardio users set-roles usr_06h03td30m2a8mycerj5kpyt3r --role REALGUARDIO_CUSTOMER_EMPLOYEE`,
		Args:    accountID,
	}
	declare := func(s *settings.Set) {
		s.Strings(&in.Roles, "role", "a role that it has from then on (default: none)")
	}
	return manage(w, c, demo.Admin, userColumns, declare, func(a *api, args []string) error {
		return a.do("change the roles", http.MethodPost, path("/users/", args[0], ":setRoles"), in, "user")
	})
}

// newUsersDeed is a command that does something to an account and shows it then.
func newUsersDeed(w World, name, short, verb, doing string) *cobra.Command {
	c := &cobra.Command{Use: name + " USER", Short: short, Args: accountID}
	return manage(w, c, demo.Admin, userColumns, nil, func(a *api, args []string) error {
		return a.do(doing, http.MethodPost, path("/users/", args[0], ":"+verb), struct{}{}, "user")
	})
}

func newUsersSignOut(w World) *cobra.Command {
	c := &cobra.Command{Use: "sign-out USER", Short: "End all sessions and tokens of an account; its person can sign in again", Args: accountID}
	return manage(w, c, demo.Admin, []string{"id"}, nil, func(a *api, args []string) error {
		if err := a.call("sign the person out", http.MethodPost, path("/users/", args[0], ":signOut"), struct{}{}); err != nil {
			return err
		}
		return a.print(object{"id": args[0]})
	})
}

func newUsersSessions(w World) *cobra.Command {
	c := &cobra.Command{Use: "sessions USER", Short: "List the live sessions of an account, the newest first", Args: accountID}
	return manage(w, c, demo.Admin, sessionColumns, nil, func(a *api, args []string) error {
		return a.list("list the sessions", path("/users/", args[0], "/sessions"), url.Values{}, "sessions", 0)
	})
}
