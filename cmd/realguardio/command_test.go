package main_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/cli"
)

// run runs a command in this process.
func run(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	out, problems := &lines{}, &lines{}
	code = cli.Main(t.Context(), cli.World{Args: append([]string{"realguardio"}, args...), Environ: environ, Stdout: out, Stderr: problems})
	return code, out.String(), problems.String()
}

func runJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	code, stdout, stderr := run(t, nil, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stdout)
	}
}

// folder has what a part needs to start: certificates, keys and a secret.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"certs", "--out-dir", dir},
		{"keys", "generate", filepath.Join(dir, "kek"), filepath.Join(dir, "mac"), filepath.Join(dir, "session")},
	} {
		if code, _, stderr := run(t, nil, args...); code != 0 {
			t.Fatalf("%v: %s", args, stderr)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAServerThatCannotStartSaysWhyInOneLineEach(t *testing.T) {
	dir, other := folder(t), t.TempDir()
	if code, _, stderr := run(t, nil, "certs", "--out-dir", other); code != 0 {
		t.Fatal(stderr)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	// good starts the customer service, but for what a test changes.
	good := map[string]string{
		"grpc-listen": "127.0.0.1:0", "ops-listen": "127.0.0.1:0", "issuer": "http://127.0.0.1:1", "insecure-plaintext": "true",
		"mesh-ca-file": dir + "/ca.pem", "mesh-cert-file": dir + "/customer.pem", "mesh-key-file": dir + "/customer-key.pem",
		"client-secret-file": dir + "/secret", "database-url": "sqlite://" + dir + "/customer.db", "insecure-embedded-store": "true",
		"redis-url": "redis://127.0.0.1:1",
	}
	token := map[string]string{
		"http-listen": "127.0.0.1:0", "mesh-cert-file": dir + "/token.pem", "mesh-key-file": dir + "/token-key.pem",
		"key-encryption-key-file": dir + "/kek", "token-mac-key-file": dir + "/mac",
	}
	tests := []struct {
		name   string
		part   string
		change map[string]string
		code   int
		want   []string
	}{
		{"an address that is taken", "customer", map[string]string{"grpc-listen": taken.Addr().String()}, 1,
			[]string{"cannot listen on " + taken.Addr().String() + ": address already in use"}},
		{"two addresses that are taken", "customer", map[string]string{"grpc-listen": taken.Addr().String(), "ops-listen": taken.Addr().String()}, 1,
			[]string{"cannot listen on " + taken.Addr().String(), "cannot listen on " + taken.Addr().String()}},
		{"a port that is none", "customer", map[string]string{"grpc-listen": ":port"}, 2, []string{`--grpc-listen: ":port" has no port`}},
		{"a database that cannot be reached", "customer", map[string]string{"database-url": "postgres://me:hunter2@" + closed.Addr().String() + "/db?sslmode=disable"}, 1,
			[]string{"cannot reach the database of customer: open PostgreSQL database db at 127.0.0.1:"}},
		{"a key file that is not there", "token", map[string]string{"key-encryption-key-file": "/nowhere/kek"}, 2,
			[]string{"--key-encryption-key-file: cannot read key file /nowhere/kek: no such file or directory"}},
		{"a key file that holds no key", "token", map[string]string{"token-mac-key-file": broken}, 2,
			[]string{"--token-mac-key-file: cannot read key file " + broken + ": it must hold 32 bytes"}},
		{"a certificate that is none", "customer", map[string]string{"mesh-cert-file": broken}, 2, []string{"--mesh-cert-file: " + broken + " holds no certificate"}},
		{"a key that is none", "customer", map[string]string{"mesh-key-file": broken}, 2, []string{"--mesh-key-file: " + broken + " holds no private key"}},
		{"the key of another certificate", "customer", map[string]string{"mesh-key-file": dir + "/token-key.pem"}, 2,
			[]string{"--mesh-key-file: " + dir + "/token-key.pem does not fit the certificate " + dir + "/customer.pem"}},
		{"the certificate of another part", "customer", map[string]string{"mesh-cert-file": dir + "/token.pem", "mesh-key-file": dir + "/token-key.pem"}, 2,
			[]string{"--mesh-cert-file: " + dir + "/token.pem is not the certificate of this part: its URI is spiffe://realguardio/token, want spiffe://realguardio/customer"}},
		{"a certificate of another authority", "customer", map[string]string{"mesh-ca-file": other + "/ca.pem"}, 2,
			[]string{"--mesh-cert-file: " + dir + "/customer.pem is not good by --mesh-ca-file " + other + "/ca.pem: x509: certificate signed by unknown authority"}},
		{"authorities that are none", "customer", map[string]string{"mesh-ca-file": broken, "issuer-ca-file": broken}, 2,
			[]string{"--mesh-ca-file: " + broken + " holds no certificate", "--issuer-ca-file: " + broken + " holds no certificate"}},
		{"no certificate", "customer", map[string]string{"mesh-ca-file": "", "mesh-cert-file": "", "mesh-key-file": ""}, 2,
			[]string{"--mesh-ca-file is required", "--mesh-cert-file is required", "--mesh-key-file is required"}},
		{"certificates from two places", "customer", map[string]string{"spiffe-socket": "unix:///run/agent.sock"}, 2,
			[]string{"--spiffe-socket and --mesh-ca-file, --mesh-cert-file, --mesh-key-file exclude each other"}},
		{"a Workload API that is none", "customer", map[string]string{"mesh-ca-file": "", "mesh-cert-file": "", "mesh-key-file": "", "spiffe-socket": "/run/agent.sock"}, 2,
			[]string{"--spiffe-socket: spiffe: address of the Workload API"}},
		{"ids of no form", "customer", map[string]string{"workload-id": "spiffe://realguardio/customer"}, 2, []string{"--workload-id: mesh: workload ids"}},
		{"ids of another form", "customer", map[string]string{"workload-id": "spiffe://realguardio/ns/{part}"}, 2,
			[]string{"its URI is spiffe://realguardio/customer, want spiffe://realguardio/ns/customer"}},
		{"a public key that is none", "token", map[string]string{"public-cert-file": dir + "/token.pem", "public-key-file": broken}, 2,
			[]string{"--public-key-file: " + broken + " holds no private key"}},
		{"certificates of clients that nothing asks for", "token", map[string]string{"client-ca-file": dir + "/ca.pem", "mtls-origin": "https://mtls.example.com"}, 2,
			[]string{"--mtls-origin needs --mtls-listen, or --client-cert-proxy"}},
		{"certificates of clients at no origin", "token", map[string]string{"client-cert-proxy": "10.0.0.0/8", "client-ca-file": dir + "/ca.pem", "dpop-nonce": "perhaps"}, 2,
			[]string{"--client-cert-proxy need --mtls-origin", "--client-ca-file needs --mtls-origin", "--dpop-nonce"}},
		{"a configuration file that is not there", "customer", map[string]string{"config": "/nowhere/c.yaml", "grpc-listen": "", "issuer": ""}, 2,
			[]string{"--config: cannot read file /nowhere/c.yaml"}},
		{"SQLite without the word for it", "customer", map[string]string{"insecure-embedded-store": "false"}, 2, []string{"--insecure-embedded-store"}},
		{"an issuer in plaintext without the word for it", "customer", map[string]string{"insecure-plaintext": "false"}, 2, []string{"--issuer is not https"}},
		{"passwords in plaintext without the word for it", "token", map[string]string{"insecure-plaintext": "false"}, 2,
			[]string{"--issuer is not https", "--public-cert-file and --public-key-file are required"}},
		{"stores elsewhere in plaintext without the word for it", "customer",
			map[string]string{"database-url": "postgres://me:hunter2@db.example/db", "redis-url": "redis://:hunter2@cache.example"}, 2,
			[]string{"--database-url: the URL has no sslmode", "--redis-url: the URL is not rediss://"}},
		{"limits of nothing", "customer", map[string]string{"max-calls": "0", "max-streams": "many", "max-wait": "0s"}, 2,
			[]string{"--max-calls: must be a whole number from 1 on", "--max-streams: must be a whole number from 1 on", "--max-wait: must be longer than nothing"}},
		{"more handshakes than connections", "customer", map[string]string{"max-connections": "100"}, 2, []string{"--max-handshakes 500 are more than --max-connections 100"}},
		{"everything at once", "customer", map[string]string{"grpc-listen": "", "issuer": "ftp://x", "client-secret-file": "/nowhere/s", "database-url": "mysql://x"}, 2,
			[]string{"--grpc-listen: is required", "--issuer: must be an absolute http or https URL", "cannot read secret file /nowhere/s", "--database-url: the URL must start with postgres://"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"serve", tt.part}
			for name, value := range good {
				if other, changed := token[name]; tt.part == "token" && changed {
					value = other
				}
				if other, changed := tt.change[name]; changed {
					value = other
				}
				args = append(args, "--"+name+"="+value)
			}
			for name, value := range map[string]string{"spiffe-socket": tt.change["spiffe-socket"], "workload-id": tt.change["workload-id"]} {
				if value != "" {
					args = append(args, "--"+name+"="+value)
				}
			}
			for name, value := range token {
				if _, common := good[name]; tt.part == "token" && !common {
					if other, changed := tt.change[name]; changed {
						value = other
					}
					args = append(args, "--"+name+"="+value)
				}
			}
			for name, value := range tt.change {
				if _, said := good[name]; !said && token[name] == "" {
					args = append(args, "--"+name+"="+value)
				}
			}
			code, _, stderr := run(t, nil, args...)
			reported := strings.Split(strings.TrimSpace(stderr), "\n")
			if code != tt.code || len(reported) != len(tt.want) {
				t.Errorf("exit code %d and %d lines, want %d and %d:\n%s", code, len(reported), tt.code, len(tt.want), stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("no line says %q:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "hunter2") {
				t.Errorf("a password was printed:\n%s", stderr)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		args    []string
		code    int
		want    string
	}{
		{"help is the manual", nil, []string{"serve", "token", "--help"}, 0, "--key-encryption-key-file"},
		{"an unknown command", nil, []string{"sevre"}, 2, `unknown command "sevre"`},
		{"an unknown part", nil, []string{"serve", "tokne"}, 2, `unknown command "tokne"`},
		{"an unknown flag", nil, []string{"dev", "--no-demos"}, 2, "unknown flag: --no-demos"},
		{"an unknown variable", []string{"REALGUARDIO_NODEMO=1"}, []string{"dev"}, 2, "unknown environment variable REALGUARDIO_NODEMO"},
		{"an argument too many", nil, []string{"version", "now"}, 2, "it is written realguardio version"},
		{"a command that needs another", nil, []string{"serve"}, 2, "realguardio serve needs one of its commands"},
		{"and its help", nil, []string{"serve"}, 2, "The identity provider: accounts, clients, tokens"},
		{"no command at all", nil, nil, 0, "the place to start"},
		{"the type of a setting", nil, []string{"serve", "token", "--help"}, 0, "--client-secret-file string"},
		{"a limit, with its default", nil, []string{"serve", "customer", "--help"}, 0, "that are no streams may be in progress (default 1000)"},
		{"a limit of each caller, with its default", nil, []string{"serve", "gateway", "--help"}, 0, "by all of their sessions and applications (default 16)"},
		{"a schema of each part's own", nil, []string{"migrate", "--help"}, 0, "schema=PART&"},
		{"a public URL with a path", nil, []string{"setup", "--public-url", "https://example.com/alarms"}, 2, "--public-url: must be a scheme and a host, without a path"},
		{"a public URL in plaintext", nil, []string{"serve", "gateway", "--public-url", "http://example.com"}, 2, "--public-url: must be https, except on a loopback address"},
		{"the version", nil, []string{"version"}, 0, "realguardio "},
		{"completion", nil, []string{"completion", "bash"}, 0, "__start_realguardio"},
		{"a part without a database", nil, []string{"migrate", "gateway", "--database-url", "postgres://localhost/x"}, 2, "invalid argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(t, tt.environ, tt.args...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, tt.code, tt.want, stdout, stderr)
			}
		})
	}
}
