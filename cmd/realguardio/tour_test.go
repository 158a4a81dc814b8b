package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startBinary runs the program as a person would, and returns it with how long it took to be ready.
func startBinary(t *testing.T, args ...string) (*stand, *process, time.Duration) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready.json")
	p := newProcess(t, "realguardio dev", func() *exec.Cmd {
		return exec.Command(path, append([]string{"dev", "--random-ports", "--ephemeral", "--ready-file", ready}, args...)...)
	})
	begun := time.Now()
	p.start(t)
	eventually(t, "realguardio dev is ready", func() error {
		_, err := os.Stat(ready)
		return err
	})
	return loadStand(t, ready), p, time.Since(begun)
}

// TestTour does with the program what a newcomer does, and holds it to what is promised of it: how fast it is ready, what
// memory it takes, and what its log tells of each call.
func TestTour(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	s, p, took := startBinary(t, "--log-level", "info", "--log-format", "json")
	for range 4 { // one slow start on a busy machine proves nothing; no fast one among five does
		if took < 2*time.Second {
			break
		}
		p.stop(t, syscall.SIGTERM)
		s, p, took = startBinary(t, "--log-level", "info", "--log-format", "json")
	}
	t.Logf("ready after %v", took)
	if took > 2*time.Second {
		t.Errorf("ready only after %v", took)
	}
	var all sync.WaitGroup
	for _, r := range rights { // everybody signs in, twice: hashing a password takes memory
		token := s.tokenOf(t, r.name)
		browser := s.signIn(t, r.name)
		all.Go(func() {
			for range 50 {
				call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil, bearer(token))
				call(t, browser, http.MethodGet, s.Gateway+"/api/securitysystems", nil)
			}
		})
	}
	all.Wait()
	t.Run("a call carries the caller through every part, and its request id", func(t *testing.T) { checkHops(t, s, p.output) })
	t.Run("it takes less than 150 MB", func(t *testing.T) { checkMemory(t, p) })
	t.Run("no credential stands in the log", func(t *testing.T) {
		if found := regexp.MustCompile(`eyJ[\w-]+\.|Bearer \S|Basic \S`).FindString(loggedBy(p.output)); found != "" {
			t.Errorf("the log has %s...", found)
		}
		for _, u := range s.Users {
			if u.Password != "" && strings.Contains(loggedBy(p.output), u.Password) {
				t.Errorf("the log has the password of %s", u.Username)
			}
		}
	})
	p.stop(t, syscall.SIGTERM)
}

// loggedBy is the lines of the output that are the log, without the banner, which shows the demo's secrets.
func loggedBy(output *lines) string {
	var log strings.Builder
	for line := range strings.Lines(output.String()) {
		if strings.HasPrefix(line, "{") {
			log.WriteString(line)
		}
	}
	return log.String()
}

// checkHops follows one request from the gateway to the security system service and on to the customer service.
func checkHops(t *testing.T, s *stand, output *lines) {
	mary, id := s.user(t, "mary"), "one-request-followed"
	s.api(t, http.StatusOK, http.MethodGet, "/api/v1/securitysystems", nil, bearer(s.tokenOf(t, "mary")), func(r *http.Request) { r.Header.Set("X-Request-Id", id) })
	eventually(t, "every part has logged the call", func() error {
		seen := map[string]string{}
		for line := range strings.Lines(loggedBy(output)) {
			var entry struct {
				Part, Method string
				RequestID    string `json:"request_id"`
				Caller       struct{ Kind, Sub string }
			}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.RequestID == id && entry.Method != "" {
				seen[entry.Part+" "+entry.Method[strings.LastIndexByte(entry.Method, '/')+1:]] = entry.Caller.Kind + " " + entry.Caller.Sub
			}
		}
		for _, hop := range []string{"securitysystem ListSecuritySystems", "customer ListMyGrants"} {
			if seen[hop] != "user "+mary.Sub {
				return problem("%s was called by %q; all: %v", hop, seen[hop], seen)
			}
		}
		return nil
	})
}

func checkMemory(t *testing.T, p *process) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.running.Process.Pid) + "/status")
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil || kilobytes > 150<<10 {
		t.Errorf("resident memory: %d kB, %v", kilobytes, err)
	}
	t.Logf("resident: %d MB", kilobytes>>10)
}
