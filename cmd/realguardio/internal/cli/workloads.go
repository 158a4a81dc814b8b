package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

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
	workloads.AddCommand(newWorkloadsRegister(w), newWorkloadsList(w), newWorkloadsRotateSecret(w), newWorkloadsDisable(w))
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
		return a.keepSecret("register the service", secretFile, path("/workloads"), object{"name": args[0]})
	})
}

func newWorkloadsRotateSecret(w World) *cobra.Command {
	var secretFile string
	var overlap time.Duration
	c := &cobra.Command{
		Use:     "rotate-secret NAME",
		Short:   "Give a service a new secret, and write it to a file or print it, which is possible only now",
		Example: `  realguardio workloads rotate-secret greeter --secret-file greeter-secret-2 --overlap 1h`,
		Args:    cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		s.String(&secretFile, "secret-file", "file to make for the secret (default: it is printed)")
		s.Duration(&overlap, "overlap", "how long the secret before stays good (default: not at all)")
	}
	return manage(w, c, demo.Admin, workloadColumns, declare, func(a *api, args []string) error {
		return a.keepSecret("rotate the secret", secretFile, path("/workloads/", args[0], ":rotateSecret"), object{"overlap": seconds(overlap)})
	})
}

// keepSecret calls what answers with a workload and its secret, and puts that into a new file, or prints it where there is
// to be none.
func (a *api) keepSecret(doing, name, at string, in any) error {
	var file *os.File
	if name != "" { // first: a secret that cannot be kept is lost
		var err error
		if file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return fmt.Errorf("cannot make the file of the secret: %w", err)
		}
		defer file.Close()
	}
	var answer struct {
		Workload     object `json:"workload"`
		ClientSecret string `json:"clientSecret"`
	}
	if err := a.Call(a.ctx, http.MethodPost, at, in, &answer); err != nil {
		if file != nil {
			_ = os.Remove(name)
		}
		return fmt.Errorf("cannot %s: %w", doing, err)
	}
	if file == nil {
		answer.Workload["clientSecret"] = answer.ClientSecret
		a.columns = append([]string{"clientSecret"}, a.columns...)
	} else if _, err := file.WriteString(answer.ClientSecret); err != nil {
		return fmt.Errorf("the secret of %s could not be written, and has to be rotated: %w", answer.Workload["name"], err)
	}
	return a.print(answer.Workload)
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
