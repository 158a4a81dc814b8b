package cli

import (
	"errors"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

func newAudit(w World) *cobra.Command {
	audit := &cobra.Command{Use: "audit", Short: "Look at what was recorded of who did what"}
	audit.AddCommand(newAuditList(w), newAuditVerify(w))
	return audit
}

// recordingParts are those that keep an audit log.
var recordingParts = []string{assembly.Token, assembly.Customer, assembly.SecuritySystem, assembly.Notification}

func newAuditList(w World) *cobra.Command {
	part, actor, subject, action, limit := "token", "", "", "", "50"
	c := &cobra.Command{
		Use:   "list",
		Short: "List entries, the newest first",
		Example: `  realguardio audit list --action user.
  realguardio audit list --part securitysystem --action system.
  realguardio audit list --target usr_06h03td30m2a8mycerj5kpyt3r --limit 500 -o json`,
	}
	declare := func(s *settings.Set) {
		s.String(&part, "part", "whose log", settings.OneOf(recordingParts...))
		s.String(&actor, "actor", "only what this subject did")
		s.String(&subject, "target", "only what was done to this")
		s.String(&action, "action", "only this action; with a dot at the end all that begin so")
		s.String(&limit, "limit", "how many entries at most")
	}
	columns := []string{"number", "time", "actor", "clientId", "action", "target", "result", "address"}
	return manage(w, c, demo.Admin, columns, declare, func(a *api, _ []string) error {
		most, err := strconv.Atoi(limit)
		if err != nil || most < 1 {
			return usageError{errors.New("--limit must be a number from 1 on")}
		}
		query := url.Values{"pageSize": {strconv.Itoa(min(most, 200))}}
		for name, value := range map[string]string{"actor": actor, "target": subject, "action": action} {
			if value != "" {
				query.Set(name, value)
			}
		}
		return a.list("list the entries", path("/audit/", part), query, "entries", most)
	})
}
