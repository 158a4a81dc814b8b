// Package redistest starts Redis servers for tests: the embedded one that development uses, and the real one.
package redistest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/gateway/vault"
)

// Server is a Redis server of one test.
type Server struct {
	// Client is a client as the gateway wants it.
	Client *redis.Client
	// Stop stops the server, Start starts it again. What it held may be lost.
	Stop, Start func()
}

// Each runs test against an embedded server and against redis-server. The latter is left out by -short.
func Each(t *testing.T, test func(t *testing.T, server *Server)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, Embedded(t)) })
	t.Run("redis", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short leaves out redis-server")
		}
		test(t, Real(t))
	})
}

// Embedded starts a server in this process.
func Embedded(t testing.TB) *Server {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true)
	if err := mini.Start(); err != nil {
		t.Fatalf("starting miniredis: %v", err)
	}
	t.Cleanup(mini.Close)
	return &Server{
		Client: client(t, "tcp", mini.Addr()),
		Stop:   mini.Close,
		Start: func() {
			if err := mini.Restart(); err != nil {
				t.Fatalf("restarting miniredis: %v", err)
			}
		},
	}
}

// Real starts redis-server as a child process.
func Real(t testing.TB) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is needed: install the package redis-server, or test with -short")
	}
	dir, err := os.MkdirTemp("", "redistest") // t.TempDir can be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	s := &Server{Client: client(t, "unix", socket)}
	var process *exec.Cmd
	s.Start = func() {
		process = exec.Command(binary, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
		if err := process.Start(); err != nil {
			t.Fatalf("starting redis-server: %v", err)
		}
		Eventually(t, "redis-server answers", func() bool { return s.Client.Ping(context.Background()).Err() == nil })
	}
	s.Stop = func() {
		if process == nil {
			return
		}
		_ = process.Process.Kill()
		_ = process.Wait()
		process = nil
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

func client(t testing.TB, network, addr string) *redis.Client {
	c := redis.NewClient(vault.Bounded(&redis.Options{Network: network, Addr: addr}))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Eventually waits until condition holds, and fails the test when it does not in 10 seconds.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}
