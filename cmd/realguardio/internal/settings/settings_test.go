package settings_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

type options struct {
	Listen  string
	TTL     time.Duration
	Verbose bool
	Names   []string
	Secret  string
}

// load runs a command called "token" with these arguments, environment and file, beside one that knows --elsewhere.
func load(t *testing.T, yaml string, environ, args []string) (options, error) {
	t.Helper()
	o := options{Listen: ":1", TTL: time.Minute}
	var elsewhere string
	cmd := &cobra.Command{Use: "token"}
	s := settings.New(cmd, "token")
	s.String(&o.Listen, "listen", "where", settings.Required, settings.Address)
	s.Duration(&o.TTL, "ttl", "how long")
	s.Bool(&o.Verbose, "verbose", "say more")
	s.Strings(&o.Names, "names", "who")
	s.String(&o.Secret, "secret-file", "secret", settings.File)
	other := &cobra.Command{Use: "other"}
	settings.New(other, "").String(&elsewhere, "elsewhere", "known to another command")
	root := &cobra.Command{Use: "root"}
	root.AddCommand(cmd, other)
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return o, s.Load(settings.Known(root), environ)
}

func TestPrecedence(t *testing.T) {
	const file = "listen: ':2'\nttl: 2m\nnames: [a, b]\ntoken:\n  ttl: 3m\ncustomer:\n  listen: ':9'\n"
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    options
	}{
		{name: "defaults hold when nothing is said", want: options{Listen: ":1", TTL: time.Minute}},
		{name: "the file comes before defaults, and the part's section before the top level", file: file, want: options{Listen: ":2", TTL: 3 * time.Minute, Names: []string{"a", "b"}}},
		{name: "the environment comes before the file", file: file, environ: []string{"REALGUARDIO_LISTEN=:3", "REALGUARDIO_NAMES=c, d", "HOME=/"}, want: options{Listen: ":3", TTL: 3 * time.Minute, Names: []string{"c", "d"}}},
		{name: "a flag comes before all", file: file, environ: []string{"REALGUARDIO_LISTEN=:3"}, args: []string{"--listen=:4", "--verbose", "--names", "x", "--names", "y"}, want: options{Listen: ":4", TTL: 3 * time.Minute, Verbose: true, Names: []string{"x", "y"}}},
		{name: "what another command knows is left to it", environ: []string{"REALGUARDIO_ELSEWHERE=1"}, want: options{Listen: ":1", TTL: time.Minute}},
		{name: "an empty file is a file", file: "# nothing\n", want: options{Listen: ":1", TTL: time.Minute}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := load(t, tt.file, tt.environ, tt.args)
			if err != nil {
				t.Fatal(err)
			}
			if got.Listen != tt.want.Listen || got.TTL != tt.want.TTL || got.Verbose != tt.want.Verbose || !slices.Equal(got.Names, tt.want.Names) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    []string // one line each
	}{
		{name: "an unknown key of the file", file: "lisen: ':2'\n", want: []string{"c.yaml:1: lisen: unknown setting"}},
		{name: "an unknown key in another part's section", file: "customer:\n  lisen: x\n", want: []string{"c.yaml:2: customer.lisen: unknown setting"}},
		{name: "an unknown variable", environ: []string{"REALGUARDIO_LISEN=:2"}, want: []string{"unknown environment variable REALGUARDIO_LISEN"}},
		{name: "a variable made by Kubernetes, with the remedy", environ: []string{"REALGUARDIO_TOKEN_SERVICE_HOST=10.0.0.1"}, want: []string{"enableServiceLinks"}},
		{name: "a mapping where a value belongs", file: "listen: {a: b}\n", want: []string{"listen: must be a plain value"}},
		{name: "a length of time below nothing", args: []string{"--ttl=-1m"}, want: []string{"--ttl: must not be negative"}},
		{name: "a file that is not YAML", file: "a: [\n", want: []string{"c.yaml: yaml:"}},
		{name: "two documents", file: "listen: ':2'\n---\nlisten: ':3'\n", want: []string{"single YAML document"}},
		{name: "a key twice", file: "listen: ':2'\nlisten: ':3'\n", want: []string{"c.yaml:2: listen: stands in line 1 already"}},
		{name: "a key twice in a section", file: "customer:\n  listen: ':2'\n  listen: ':3'\n", want: []string{"c.yaml:3: customer.listen: stands in line 2 already"}},
		{name: "a section twice", file: "token:\n  listen: ':2'\ntoken:\n  ttl: 2m\n", want: []string{"c.yaml:3: token: stands in line 1 already"}},
		{name: "a file that is not YAML, and nothing that it might have said", file: "a: [\n", args: []string{"--listen="}, want: []string{"c.yaml: yaml:"}},
		{name: "a missing file, likewise", args: []string{"--config", "/nowhere/c.yaml", "--listen="}, want: []string{"--config: cannot read file /nowhere/c.yaml: no such file"}},
		{name: "a missing file", args: []string{"--config", "/nowhere/c.yaml"}, want: []string{"--config: cannot read file /nowhere/c.yaml: no such file"}},
		{
			name:    "everything that is wrong, at once and each under the name it was given by",
			file:    "names: 1\nbogus: 1\nttl: soon\n",
			environ: []string{"REALGUARDIO_VERBOSE=perhaps", "REALGUARDIO_X=1"},
			args:    []string{"--listen", ":99999", "--secret-file", "/nowhere/secret"},
			want: []string{
				"unknown environment variable REALGUARDIO_X", "c.yaml:2: bogus: unknown setting", "c.yaml:3: ttl: must be a length of time",
				"REALGUARDIO_VERBOSE: must be true or false", `--listen: ":99999" has no port`, "--secret-file: cannot read file /nowhere/secret: no such file",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.environ, tt.args)
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Errorf("got %d problems, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no problem says %q:\n%v", want, err)
				}
			}
		})
	}
}
