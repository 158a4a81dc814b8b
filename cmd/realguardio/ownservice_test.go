package main_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/mesh"
)

// TestAServiceOfOnesOwnJoinsTheMesh builds the example outside this module, lets it join a running installation by the
// commands that the manual gives, and sees rights end there as everywhere.
func TestAServiceOfOnesOwnJoinsTheMesh(t *testing.T) {
	data := t.TempDir()
	s := startDev(t, "--data-dir", data)
	g := startGreeter(t, s, filepath.Join(data, "tls"))
	mary, victor := s.tokenOf(t, "mary"), s.tokenOf(t, "victor")

	for name, tt := range map[string]struct {
		token string
		want  codes.Code
	}{
		"a person is greeted": {mary, codes.OK}, "nobody is refused": {"", codes.Unauthenticated}, "a made-up token is refused": {mary + "x", codes.Unauthenticated},
	} {
		greeting, err := g.greet(t.Context(), tt.token)
		if status.Code(err) != tt.want || err == nil && !strings.HasPrefix(greeting, "Hello, Mary") {
			t.Errorf("%s: %q, %v", name, greeting, err)
		}
	}
	watching, err := g.watch(t.Context(), mary)
	if err != nil {
		t.Fatal(err)
	}
	s.revoke(t, mary)
	for err == nil {
		err = watching.RecvMsg(&wrapperspb.StringValue{})
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("the stream of a token that was revoked ended with %v", err)
	}
	if _, err := g.greet(t.Context(), mary); mesh.Reason(err) != string(mesh.TokenEnded) {
		t.Errorf("a token that was revoked: %v", err)
	}
	if _, err := g.greet(t.Context(), victor); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
}

// TestWorkloadsAreManaged registers services and ends one.
func TestWorkloadsAreManaged(t *testing.T) {
	s := startDev(t, "--ephemeral")
	type workload struct {
		Name, ClientSecret string
		Disabled           bool
	}
	var made workload
	runJSON(t, &made, s.here("workloads", "register", "billing")...)
	if made.Name != "billing" || made.ClientSecret == "" {
		t.Errorf("registered %+v", made.Name)
	}
	for name, args := range map[string][]string{
		"a name that is taken":                 {"workloads", "register", "billing"},
		"the name of a part":                   {"workloads", "register", "gateway"},
		"the name of an application":           {"workloads", "register", "demo-trusted"},
		"a name that no certificate can have":  {"workloads", "register", "Billing.Service"},
		"as somebody who is not an admin":      {"workloads", "register", "billing2", "--user", s.user(t, "alice").Username},
		"the end of what is not there":         {"workloads", "disable", "nothing"},
		"the end of what is no service at all": {"workloads", "disable", "demo-trusted"},
		"a secret of what is no service":       {"workloads", "rotate-secret", "demo-trusted"},
		"a secret where there is a file":       {"workloads", "rotate-secret", "billing", "--secret-file", s.path},
	} {
		if code, out, _ := run(t, nil, s.here(args...)...); code == 0 {
			t.Errorf("%s: %s", name, out)
		}
	}
	if _, _, said := run(t, nil, s.here("workloads", "register", "Billing.Service")...); !strings.Contains(said, "lower-case letters") {
		t.Errorf("a bad name is refused with %q", said)
	}
	first := remote.Credentials{ClientID: made.Name, ClientSecret: made.ClientSecret}
	s.token(t, first)
	runJSON(t, &made, s.here("workloads", "rotate-secret", "billing")...)
	second := remote.Credentials{ClientID: made.Name, ClientSecret: made.ClientSecret}
	s.token(t, second)
	if _, err := remote.Token(t.Context(), s.http, s.Issuer, first); err == nil {
		t.Error("the secret before is good still")
	}
	runJSON(t, &made, s.here("workloads", "disable", "billing")...)
	if _, err := remote.Token(t.Context(), s.http, s.Issuer, second); err == nil {
		t.Error("a service that was disabled gets tokens")
	}
	var all []workload
	runJSON(t, &all, s.here("workloads", "list")...)
	disabled := map[string]bool{}
	for _, w := range all {
		disabled[w.Name] = w.Disabled
		if w.ClientSecret != "" {
			t.Errorf("the list tells the secret of %s", w.Name)
		}
	}
	if !made.Disabled || !disabled["billing"] || len(all) != 1+len(parts) {
		t.Errorf("after all there are %v", disabled)
	}
}

// greeter is the example, running.
type greeter struct{ conn *grpc.ClientConn }

func startGreeter(t *testing.T, s *stand, certs string) greeter {
	t.Helper()
	program, secret := filepath.Join(t.TempDir(), "greeter"), filepath.Join(t.TempDir(), "secret")
	if out, err := exec.Command("go", "build", "-C", "../../examples/greeter", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if code, _, problem := run(t, nil, "workloads", "register", "greeter", "--secret-file", secret, "--ready-file", s.path); code != 0 {
		t.Fatal(problem)
	}
	if code, _, problem := run(t, nil, "certs", "--out-dir", certs, "--part", "greeter"); code != 0 {
		t.Fatal(problem)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	_ = lis.Close()
	out := &lines{}
	command := exec.Command(program, "-issuer", s.Issuer, "-token", s.GRPC["token"], "-listen", addr, "-certs", certs, "-secret", secret)
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("greeter ended: %v\n%s", err, out)
		}
	})
	config, err := mesh.TLSFiles{CA: s.CAFile, Cert: s.ClientCertFile, Key: s.ClientKeyFile}.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file: %v, %v", info, err)
	}
	return greeter{conn}
}

// greet and watch speak to a service whose generated code is in its own module: its messages are a string each.
func (g greeter) greet(ctx context.Context, token string) (string, error) {
	ctx, cancel := context.WithTimeout(withToken(ctx, token), patience)
	defer cancel()
	var answer wrapperspb.StringValue
	err := g.conn.Invoke(ctx, "/greeter.v1.GreeterService/Greet", &emptypb.Empty{}, &answer)
	return answer.GetValue(), err
}

func (g greeter) watch(ctx context.Context, token string) (grpc.ClientStream, error) {
	stream, err := g.conn.NewStream(withToken(ctx, token), &grpc.StreamDesc{ServerStreams: true}, "/greeter.v1.GreeterService/Watch")
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&emptypb.Empty{}); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return stream, stream.RecvMsg(&wrapperspb.StringValue{})
}

// revoke ends an access token of the trusted client (RFC 7009).
func (s *stand) revoke(t *testing.T, token string) {
	t.Helper()
	trusted := s.client(t, "demo-trusted")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Issuer+"/oauth2/revoke", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(trusted.ID, trusted.Secret)
	response, err := s.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("revocation answered %d", response.StatusCode)
	}
}
