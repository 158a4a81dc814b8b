package assembly_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
)

// written keeps what is logged. The library may log from goroutines of its own.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestWhatTheRedisLibrarySaysIsAWarningWithoutSecrets(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	out := &written{}
	assembly.LogRedis(slog.New(slog.NewJSONHandler(out, nil)).With("part", "gateway"))
	client := redis.NewClient(&redis.Options{Addr: closed.Addr().String(), Username: "ada", Password: "hunter2", MaxRetries: -1})
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a closed port answered")
	}
	got := out.String()
	for _, want := range []string{`"level":"WARN"`, `"part":"gateway"`, `"msg":"redis"`, closed.Addr().String()} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("the password was logged: %s", got)
	}
}
