package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

var workloadColumns = []string{"name", "createTime", "disabled"}

func newWorkloads(w World) *cobra.Command {
	workloads := &cobra.Command{
		Use:   "workloads",
		Short: "Let services of your own join the mesh",
		Long: `Let services of your own join the mesh: each has a name, which its client at the identity provider and its certificate
("realguardio certs") both carry. It verifies tokens by the issuer's keys and hears within a moment of what has ended.`,
	}
	workloads.AddCommand(newWorkloadsRegister(w), newWorkloadsList(w), newWorkloadsDisable(w))
	return workloads
}

func newWorkloadsRegister(w World) *cobra.Command {
	var secretFile string
	c := &cobra.Command{
		Use:     "register NAME",
		Short:   "Register a service, and write its secret to a file or print it, which is possible only now",
		Example: `  realguardio workloads register greeter --secret-file greeter-secret`,
		Args:    cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		s.String(&secretFile, "secret-file", "file to make for the secret (default: it is printed)")
	}
	return manage(w, c, demo.Admin, workloadColumns, declare, func(a *api, args []string) error {
		var file *os.File
		if secretFile != "" { // first: a secret that cannot be kept is lost
			var err error
			if file, err = os.OpenFile(secretFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
				return fmt.Errorf("cannot make the file of the secret: %w", err)
			}
			defer file.Close()
		}
		var made struct {
			Workload     object `json:"workload"`
			ClientSecret string `json:"clientSecret"`
		}
		if err := a.Call(a.ctx, http.MethodPost, path("/workloads"), object{"name": args[0]}, &made); err != nil {
			if file != nil {
				_ = os.Remove(secretFile)
			}
			return fmt.Errorf("cannot register the service: %w", err)
		}
		if file == nil {
			made.Workload["clientSecret"] = made.ClientSecret
			a.columns = append([]string{"clientSecret"}, a.columns...)
		} else if _, err := file.WriteString(made.ClientSecret); err != nil {
			return fmt.Errorf("%s is registered, but its secret could not be written: %w", args[0], err)
		}
		return a.print(made.Workload)
	})
}

func newWorkloadsList(w World) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the services of the mesh, the parts of RealGuardIO among them"}
	return manage(w, c, demo.Admin, workloadColumns, nil, func(a *api, _ []string) error {
		return a.list("list the services", path("/workloads"), url.Values{"pageSize": {"200"}}, "workloads", 0)
	})
}

func newWorkloadsDisable(w World) *cobra.Command {
	c := &cobra.Command{Use: "disable NAME", Short: "End a service's place in the mesh", Args: cobra.ExactArgs(1)}
	return manage(w, c, demo.Admin, workloadColumns, nil, func(a *api, args []string) error {
		return a.do("disable the service", http.MethodPost, path("/workloads/", args[0], ":disable"), struct{}{}, "workload")
	})
}
