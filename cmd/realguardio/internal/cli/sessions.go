package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

var (
	sessionColumns = []string{"id", "authTime", "expireTime", "address", "userAgent", "current", "clientIds"}
	consentColumns = []string{"clientId", "clientName", "scopes", "updateTime"}
)

// ofSomebody is whose sessions or consents a command is about.
type ofSomebody struct{ account string }

func (o *ofSomebody) declare(s *settings.Set) {
	s.String(&o.account, "account", "id of the account, for a platform admin (default: the caller's own)")
}

// path is where they are.
func (o *ofSomebody) path(parts ...string) string {
	if o.account == "" {
		parts[0] = "/me" + parts[0]
		return path(parts...)
	}
	return path(append([]string{"/users/", o.account}, parts...)...)
}

func newSessions(w World) *cobra.Command {
	sessions := &cobra.Command{Use: "sessions", Short: "Show and end login sessions: one's own, or as a platform admin somebody's"}
	sessions.AddCommand(newSessionsList(w), newSessionsEnd(w))
	return sessions
}

func newSessionsList(w World) *cobra.Command {
	var of ofSomebody
	c := &cobra.Command{Use: "list", Short: "List live sessions, the newest first"}
	return manage(w, c, demo.Admin, sessionColumns, of.declare, func(a *api, _ []string) error {
		return a.list("list the sessions", of.path("/sessions"), url.Values{}, "sessions", 0)
	})
}

func newSessionsEnd(w World) *cobra.Command {
	var of ofSomebody
	c := &cobra.Command{Use: "end SESSION", Short: "End a session with every grant and token that came of it", Args: cobra.ExactArgs(1)}
	return manage(w, c, demo.Admin, []string{"id"}, of.declare, func(a *api, args []string) error {
		if err := a.call("end the session", http.MethodDelete, of.path("/sessions/", args[0]), nil); err != nil {
			return err
		}
		return a.print(object{"id": args[0]})
	})
}

func newConsents(w World) *cobra.Command {
	consents := &cobra.Command{Use: "consents", Short: "Show and take back what applications were allowed: by oneself, or as a platform admin by somebody"}
	consents.AddCommand(newConsentsList(w), newConsentsRevoke(w))
	return consents
}

func newConsentsList(w World) *cobra.Command {
	var of ofSomebody
	c := &cobra.Command{Use: "list", Short: "List what applications were allowed"}
	return manage(w, c, demo.Admin, consentColumns, of.declare, func(a *api, _ []string) error {
		return a.list("list the consents", of.path("/consents"), url.Values{}, "consents", 0)
	})
}

func newConsentsRevoke(w World) *cobra.Command {
	var of ofSomebody
	c := &cobra.Command{Use: "revoke CLIENT", Short: "Take back what an application was allowed, with every grant and token that it has of it", Args: cobra.ExactArgs(1)}
	return manage(w, c, demo.Admin, []string{"clientId"}, of.declare, func(a *api, args []string) error {
		if err := a.call("revoke the consent", http.MethodDelete, of.path("/consents/", args[0]), nil); err != nil {
			return err
		}
		return a.print(object{"clientId": args[0]})
	})
}
