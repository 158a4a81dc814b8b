package assembly_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
)

// said takes what is logged. The library logs from goroutines of its own.
type said chan string

func (s said) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

func TestWhatTheRedisLibrarySaysIsAWarningWithoutSecrets(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	out := make(said, 100)
	assembly.LogRedis(slog.New(slog.NewJSONHandler(out, nil)).With("part", "gateway"))
	client := redis.NewClient(&redis.Options{Addr: closed.Addr().String(), Username: "ada", Password: "hunter2", MaxRetries: -1})
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a closed port answered")
	}
	got := <-out
	for _, want := range []string{`"level":"WARN"`, `"part":"gateway"`, `"msg":"redis"`, closed.Addr().String()} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("the password was logged: %s", got)
	}
}
