package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/services/database"
	"github.com/realguardio/realguardio/services/token"
)

const (
	// tokenServerEnv makes this test binary a token service, so that the CPU of the server can be told from its clients'.
	// Its value is the URL of the database; that of Redis is in tokenRedisEnv.
	tokenServerEnv     = "REALGUARDIO_BENCH_TOKEN_SERVER"
	tokenRedisEnv      = "REALGUARDIO_BENCH_TOKEN_REDIS"
	benchClient        = "bench"
	benchClientSecret  = "bench-secret-bench-secret-bench-secret"
	clockTicks         = 100 // per second, of /proc/<pid>/stat on Linux
	clientCredentials  = "grant_type=client_credentials&scope=securitysystem.read"
	signaturesPerCheck = 200
)

func TestMain(m *testing.M) {
	if databaseURL := os.Getenv(tokenServerEnv); databaseURL != "" {
		if err := serveTokens(databaseURL, os.Getenv(tokenRedisEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkClientCredentials compares the CPU that the token service spends on one token over HTTP, kernel included,
// with the CPU of one ES256 signature by jwx.
func BenchmarkClientCredentials(b *testing.B) {
	s := startTokenServer(b, "sqlite://"+filepath.Join(b.TempDir(), "token.db"))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *concurrency}}
	call := func(ctx context.Context, _ int) error { return requestToken(ctx, client, s.url) }
	var rates []float64
	compare(b, "CPU s", s.cost(*concurrency, &rates, call), jwxSignature(b), "at most 2.5 at the upper end", atMost(2.5))
	b.Logf("median %.0f tokens/s", middle(rates))
}

// cost measures the CPU that the server spends on a call, and notes how many calls a second there were.
func (s *tokenServer) cost(inFlight int, rates *[]float64, call func(context.Context, int) error) side {
	return func(ctx context.Context) (float64, error) {
		before, err := cpuSeconds(s.pid)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		rate, err := throughput(ctx, inFlight, *turn, call)
		if err != nil {
			return 0, err
		}
		after, err := cpuSeconds(s.pid)
		*rates = append(*rates, rate)
		return (after - before) / (rate * time.Since(start).Seconds()), err
	}
}

func requestToken(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/oauth2/token", strings.NewReader(clientCredentials))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(benchClient, benchClientSecret)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"access_token"`))) {
		err = fmt.Errorf("token endpoint: %s: %s", resp.Status, body)
	}
	return err
}

// jwxSignature measures the CPU of this process for one signed token of the same claims.
func jwxSignature(b *testing.B) side {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	claims := jwt.New()
	for name, value := range map[string]any{
		"iss": "http://localhost:9000", "sub": benchClient, "client_id": benchClient, "aud": []string{"urn:realguardio:api"},
		"exp": time.Now().Add(5 * time.Minute).Unix(), "iat": time.Now().Unix(), "jti": rand.Text(), "scope": "securitysystem.read",
	} {
		if err := claims.Set(name, value); err != nil {
			b.Fatal(err)
		}
	}
	return func(context.Context) (float64, error) {
		before, signed := selfCPU(), 0
		for start := time.Now(); time.Since(start) < *turn; signed += signaturesPerCheck {
			for range signaturesPerCheck {
				if _, err := jwt.Sign(claims, jwt.WithKey(jwa.ES256, key)); err != nil {
					return 0, err
				}
			}
		}
		return (selfCPU() - before) / float64(signed), nil
	}
}

// tokenServer is a token service in a process of its own.
type tokenServer struct {
	url string
	pid int
}

func startTokenServer(b *testing.B, databaseURL string) *tokenServer {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), tokenServerEnv+"="+databaseURL)
	if socket := redisSocket(b); socket != "" {
		command.Env = append(command.Env, tokenRedisEnv+"="+socket)
	}
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("the token service did not start: %v", err)
	}
	return &tokenServer{strings.TrimSpace(line), command.Process.Pid}
}

// serveTokens runs the token service until it is killed, and prints its URL. Without the socket of a Redis it has an
// embedded one.
func serveTokens(databaseURL, socket string) error {
	ctx := context.Background()
	db, err := database.Open(ctx, databaseURL)
	if err != nil {
		return err
	}
	if err := token.Migrate(ctx, db); err != nil {
		return err
	}
	options := &redis.Options{Network: "unix", Addr: socket}
	if socket == "" {
		store, err := miniredis.Run()
		if err != nil {
			return err
		}
		options = &redis.Options{Addr: store.Addr()}
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + strings.Replace(lis.Addr().String(), "127.0.0.1", "localhost", 1)
	service, err := token.New(token.Config{
		DB: db, Redis: redis.NewClient(vault.Bounded(options)), Issuer: url,
		Keys: token.Keys{Encryption: make([]byte, 32), MAC: make([]byte, 32)}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if _, err := service.EnsureClient(ctx, token.ClientSpec{
		ID: benchClient, Name: "Benchmark", Secret: benchClientSecret, FirstParty: true, RedirectURIs: []string{benchCallback},
		Grants: []string{"client_credentials", "authorization_code", "refresh_token"},
		Scopes: []string{"openid", "profile", "offline_access", "securitysystem.read"},
	}); err != nil {
		return err
	}
	if _, _, err := service.EnsureUser(ctx, token.UserSpec{Email: "alice@acme.example", Name: "Alice", Password: token.DemoPassword}); err != nil {
		return err
	}
	fmt.Println(url)
	return http.Serve(lis, service.Handler())
}

// cpuSeconds is what a process has used so far, of user and system time (proc(5)).
func cpuSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	ticks := 0.0
	for _, field := range fields[11:13] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks / clockTicks, nil
}

func selfCPU() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
