// Package settings reads what a command was told: flags before REALGUARDIO_* variables before a YAML file. It refuses
// what it does not know and reports every problem at once. What the settings mean is the command's.
package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Prefix starts the name of every environment variable that is read. `--grpc-listen` is `REALGUARDIO_GRPC_LISTEN`.
const Prefix = "REALGUARDIO_"

// ConfigFlag names the YAML file.
const ConfigFlag = "config"

// Check says what is wrong with a value, without repeating the setting's name; nil when nothing is.
// A check runs on values that were given and on defaults; it is skipped for an empty value unless it is [Required].
type Check func(value string) error

// Set is the settings of one command. It is not safe for concurrent use.
type Set struct {
	flags   *pflag.FlagSet
	section string
	fields  map[string]*field
	order   []string
	rules   []func() error
}

// New returns the settings of cmd, read also from the YAML file's mapping called section, before its top level.
// Empty: top level only.
func New(cmd *cobra.Command, section string) *Set {
	s := &Set{flags: cmd.Flags(), section: section, fields: map[string]*field{}}
	var ignored string
	s.String(&ignored, ConfigFlag, "YAML file with settings, by the names of the flags; flags and "+Prefix+"* variables come first", File)
	return s
}

// Problems is every problem found, one a line.
type Problems []string

func (p Problems) Error() string { return strings.Join(p, "\n") }

// Load reads the file and the environment ("NAME=value") for what no flag has said, and checks everything. known holds
// the settings of all commands: one file or environment may serve several, but a name that none of them has is refused.
// Its error is [Problems]. A file that cannot be understood is the last of them.
func (s *Set) Load(known map[string]bool, environ []string) error {
	var problems Problems
	problems = append(problems, s.fromEnvironment(known, environ)...)
	fromFile, err := s.fromFile(known)
	if err != nil {
		// What the file would have said is not known: more would be guessed.
		return append(problems, err.Error())
	}
	problems = append(problems, fromFile...)
	for _, name := range s.order {
		problems = append(problems, s.fields[name].problems()...)
	}
	for _, rule := range s.rules {
		if err := rule(); err != nil {
			problems = append(problems, strings.Split(err.Error(), "\n")...)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// Rule adds a check of several settings together, run after each was read. Each line of its error is one problem and
// names the settings.
func (s *Set) Rule(rule func() error) { s.rules = append(s.rules, rule) }

func (s *Set) fromEnvironment(known map[string]bool, environ []string) Problems {
	var problems Problems
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		variable, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(variable, Prefix) {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, Prefix)), "_", "-")
		if !known[name] || variable != Variable(name) {
			problems = append(problems, "unknown environment variable "+variable+serviceLinkHint(variable))
			continue
		}
		if f := s.fields[name]; f != nil {
			f.offer(fromEnvironment, variable, []string{value})
		}
	}
	return problems
}

// serviceLinkHint recognises the variables that Kubernetes makes of a Service called realguardio-something.
func serviceLinkHint(variable string) string {
	if strings.Contains(variable, "_SERVICE_") || strings.Contains(variable, "_PORT") {
		return " (if Kubernetes made it, set enableServiceLinks: false)"
	}
	return ""
}

// Variable is the environment variable of a setting.
func Variable(name string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Known returns the settings of root and of every command below it.
func Known(root *cobra.Command) map[string]bool {
	known := map[string]bool{}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, ours := f.Value.(*field); ours {
				known[f.Name] = true
			}
		})
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(root)
	return known
}

// add declares a setting. Its name may end with a comma and the letter of a short flag.
func (s *Set) add(name, usage, kind string, parse func([]string) error, text func() string, checks []Check) *field {
	if s.fields[name] != nil {
		panic(fmt.Sprintf("setting %q is declared twice", name))
	}
	if strings.Contains(usage, "`") {
		panic(fmt.Sprintf("usage of %q has backquotes: pflag would take what is in them for the type", name))
	}
	name, short, _ := strings.Cut(name, ",")
	f := &field{name: name, kind: kind, parse: parse, text: text, checks: checks}
	s.fields[name] = f
	s.order = append(s.order, name)
	s.flags.VarP(f, name, short, usage)
	return f
}
