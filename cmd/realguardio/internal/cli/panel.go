package cli

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

// panelScope is what a panel's credentials are good for.
const panelScope = "panel.report"

func newPanel(w World) *cobra.Command {
	panel := &cobra.Command{Use: "panel", Short: "Act as an alarm panel"}
	panel.AddCommand(newPanelAlarm(w))
	return panel
}

func newPanelAlarm(w World) *cobra.Command {
	var t target
	kind, detail, report := "intrusion", "Zone 3, back door", ""
	c := &cobra.Command{
		Use:   "alarm",
		Short: "Report an alarm of the system that the panel belongs to",
		Long: `Report an alarm with a panel's own credentials: the demo panel's at Oakland, or those of --client.
An intrusion counts only while the system is armed; panic, tamper and fire always.`,
		Example: `  realguardio panel alarm --kind fire --detail "Smoke detector, store room"`,
	}
	declare := func(s *settings.Set) {
		t.declare(s)
		t.declareToken(s)
		s.String(&kind, "kind", "intrusion, panic, tamper or fire", settings.OneOf("intrusion", "panic", "tamper", "fire"))
		s.String(&detail, "detail", "what people are told")
		s.String(&report, "report-id", "id of this report; repeating it changes nothing (default: a new one)")
	}
	return command(w, c, "", declare, func(c *cobra.Command, _ []string) error {
		if err := t.resolve(); err != nil {
			return err
		}
		if report == "" {
			report = rand.Text()
		}
		gateway, err := t.gateway(c.Context(), demoPanel(t.demo), "")
		if err != nil {
			return err
		}
		var system struct{ LocationName, State, Alarm string }
		body := map[string]string{"reportId": report, "alarm": strings.ToUpper(kind), "detail": detail}
		if err := gateway.Call(c.Context(), http.MethodPost, "/api/v1/panel:reportAlarm", body, &system); err != nil {
			return fmt.Errorf("cannot report the alarm: %w", err)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s is %s (%s), report %s\n", system.LocationName, system.State, system.Alarm, report)
		return err
	})
}

// demoPanel is the client id of the panel in the ready file, empty when there is none.
func demoPanel(f readyfile.File) string {
	i := slices.IndexFunc(f.Clients, func(c readyfile.Client) bool { return slices.Contains(c.Scopes, panelScope) })
	if i < 0 {
		return ""
	}
	return f.Clients[i].ID
}
