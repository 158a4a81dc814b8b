// Package stand is what the tests of the clients beside it stand on: a RealGuardIO that is running, clients registered
// with it, and people who sign in. Whoever uses one of the clients needs nothing of it.
package stand

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Stand is a running `realguardio dev`.
type Stand struct {
	// Issuer is the URL of the identity provider, the one thing that a client is told.
	Issuer string `json:"issuer"`
	// Users are the accounts of the demo.
	Users []User `json:"users"`

	readyFile string
}

// User is an account.
type User struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Subject  string `json:"sub"`
}

// Client is what registering one gives.
type Client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// Open reads the ready file of the one that is running: $REALGUARDIO_READY_FILE, or what `make run` leaves in the repository.
func Open(t testing.TB) *Stand {
	t.Helper()
	path := os.Getenv("REALGUARDIO_READY_FILE")
	if path == "" {
		path = "../../../.realguardio/demo.json"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("these tests need a running server: run examples/clients/run.sh (%v)", err)
	}
	s := &Stand{readyFile: path}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

// User is the account whose e-mail address begins with name.
func (s *Stand) User(t testing.TB, name string) User {
	t.Helper()
	for _, user := range s.Users {
		if strings.HasPrefix(user.Username, name+"@") {
			return user
		}
	}
	t.Fatalf("the demo has no %s", name)
	return User{}
}

// Register registers a client, as anybody would, by `realguardio clients create` with these flags.
func (s *Stand) Register(t testing.TB, flags ...string) Client {
	t.Helper()
	args := append([]string{"clients", "create", "--ready-file", s.readyFile, "--output", "json", "--name", t.Name()}, flags...)
	command := exec.Command("realguardio", args...)
	var out, problem bytes.Buffer
	command.Stdout, command.Stderr = &out, &problem
	if err := command.Run(); err != nil {
		t.Fatalf("realguardio %s: %v\n%s", strings.Join(args, " "), err, &problem)
	}
	var made Client
	if err := json.Unmarshal(out.Bytes(), &made); err != nil {
		t.Fatalf("realguardio clients create printed %q: %v", &out, err)
	}
	return made
}
