// Package cli is the command line: which commands there are, their settings and their help. What they do is done
// elsewhere.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh/telemetry"
)

// World is what a command sees of the process it runs in.
type World struct {
	// Args starts with the program's name, as in os.Args.
	Args    []string
	Environ []string
	Stdout  io.Writer
	Stderr  io.Writer
}

// variable returns a variable of the environment, "" where there is none.
func (w World) variable(name string) string {
	for _, pair := range w.Environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// Exit codes.
const (
	exitOK = iota
	exitFailed
	// exitUsage says that nothing was tried: the command line or a setting is wrong.
	exitUsage
)

// Main runs the command that the arguments name and returns the exit code. Every problem is one line on Stderr.
func Main(ctx context.Context, w World) int {
	root := newRoot(w)
	root.SetArgs(w.Args[1:])
	root.SetOut(w.Stdout)
	root.SetErr(w.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(w.Stderr, "realguardio: "+strings.TrimSpace(line))
	}
	var problems settings.Problems
	if errors.As(err, &problems) || errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func newRoot(w World) *cobra.Command {
	root := &cobra.Command{
		Use:   "realguardio",
		Short: "Security systems of companies, behind one identity provider, one gateway and a mesh of services",
		Long: `RealGuardIO lets companies arm and disarm the security systems of their locations, from a browser, by REST and by gRPC.

  realguardio dev                 everything in one process, with demo data: the place to start
  realguardio serve PART          one part of a production installation

Settings are flags, then environment variables, then the YAML file of --config: --grpc-listen is
REALGUARDIO_GRPC_LISTEN and grpc-listen. In the file, settings of one part may stand in a mapping under its name:

  issuer: https://id.example.com
  token:
    grpc-listen: ":9100"
  customer:
    grpc-listen: ":9101"

What is unknown is refused, and all problems are reported at once. Secrets are read from files.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newDev(w), newServe(w), newSetup(w), newMigrate(w), newKeys(w), newCerts(w), newLogin(w), newLogout(w), newAccessToken(w), newDPoPProof(w), newClients(w), newWorkloads(w), newUsers(w), newAPIKeys(w),
		newSessions(w), newConsents(w), newAudit(w), newAuthz(w), newPanel(w), newVersion(),
	)
	root.Args = cobra.ArbitraryArgs // so that an unknown command gets to refuseUnknown
	refuseUnknown(root)
	return root
}

// refuseUnknown makes a command that only groups others fail on a name it does not know, where cobra would print help
// and succeed, and without one. The program itself answers no command with help.
func refuseUnknown(c *cobra.Command) {
	for _, child := range c.Commands() {
		refuseUnknown(child)
	}
	if c.RunE == nil && c.Run == nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !c.HasParent() {
				return c.Help()
			}
			if len(args) == 0 {
				c.SetOut(c.ErrOrStderr())
				return errors.Join(c.Help(), usageError{fmt.Errorf("%s needs one of its commands", c.CommandPath())})
			}
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}
		}
	}
}

// asUsage makes refused arguments a usage error that shows how the command is written.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w; it is written %s", err, c.UseLine())}
		}
		return nil
	}
}

// command adds a command whose settings are loaded and checked before run is called.
func command(w World, c *cobra.Command, section string, declare func(*settings.Set), run func(c *cobra.Command, args []string) error) *cobra.Command {
	s := settings.New(c, section)
	declare(s)
	if c.Args == nil {
		c.Args = cobra.NoArgs
	}
	c.Args = asUsage(c.Args)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := s.Load(settings.Known(c.Root()), w.Environ); err != nil {
			return err
		}
		return run(c, args)
	}
	return c
}

// logging is how a part writes its log.
type logging struct{ Level, Format string }

func (l *logging) declare(s *settings.Set) {
	if l.Level == "" {
		l.Level = "info"
	}
	if l.Format == "" {
		l.Format = "json"
	}
	s.String(&l.Level, "log-level", "debug, info, warn or error", settings.OneOf("debug", "info", "warn", "error"))
	s.String(&l.Format, "log-format", "json or text", settings.OneOf("json", "text"))
}

func (l *logging) logger(w io.Writer) (*slog.Logger, error) {
	return telemetry.NewLogger(w, l.Format, l.Level)
}
