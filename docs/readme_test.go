package docs_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEveryCommandOfTheReadme runs what the README tells a newcomer to paste, in its order and in one shell. `make run` is
// run as written, with flags that keep it away from a developer's own ports and data; `make test` is what runs this test.
func TestEveryCommandOfTheReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the UI and compiles grpcurl; runs without -short")
	}
	data := filepath.Join(t.TempDir(), "data")
	addresses := makeRun(t, data)
	var script strings.Builder
	script.WriteString("set -euo pipefail\nset -m\n") // jobs, as in a person's shell
	for _, block := range shellBlocks(t) {
		if block != "make run\n" && block != "make test\n" {
			script.WriteString(block)
		}
	}
	text := strings.NewReplacer(append(addresses, "./.realguardio/", data+"/", ".realguardio/", data+"/",
		"realguardio panel alarm", "realguardio panel alarm --ready-file "+data+"/demo.json",
		"workloads register", "workloads register --ready-file "+data+"/demo.json", "access-token", "access-token --ready-file "+data+"/demo.json")...).Replace(script.String())
	out := shell(t, text)
	for _, want := range []string{`"locationName": ?"Oakland"`, `"mode": ?"NIGHT"`, `ALARM: Oakland \(intrusion\)`, `"greeting": ?"Hello, Mary`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the README's commands do not print %s", want)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s", out)
	}
}

// shellBlocks returns the README's blocks marked sh.
func shellBlocks(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) < 6 {
		t.Fatalf("only %d blocks of commands found", len(blocks))
	}
	return blocks
}

// makeRun starts `make run` until the test ends, and returns the README's addresses with those it has, in pairs.
func makeRun(t *testing.T, data string) []string {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	command := exec.Command("make", "-C", "..", "run", "ARGS=--random-ports --data-dir "+data+" --ready-file "+ready)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = command.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			<-exited
			t.Error("make run did not stop")
		}
	})
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for patience := time.After(5 * time.Minute); ; {
		select {
		case <-exited:
			t.Fatalf("make run ended:\n%s", &out)
		case <-patience:
			t.Fatalf("make run is not ready after 5 minutes")
		case <-poll.C:
		}
		if text, err := os.ReadFile(ready); err == nil {
			return replacements(t, text)
		}
	}
}

func replacements(t *testing.T, ready []byte) []string {
	t.Helper()
	var f struct {
		Gateway, Issuer string
		GRPC            map[string]string
	}
	if err := json.Unmarshal(ready, &f); err != nil {
		t.Fatal(err)
	}
	host := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Host
	}
	return []string{"localhost:8080", host(f.Gateway), "localhost:9000", host(f.Issuer), "localhost:8090", f.GRPC["gateway"], "localhost:9100", f.GRPC["token"]}
}

func shell(t *testing.T, script string) string {
	t.Helper()
	command := exec.Command("bash", "-c", script)
	command.Dir = ".."
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("the README's commands fail: %v\n%s", err, out)
	}
	return string(out)
}
