package token_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/alicebob/miniredis/v2"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token"
)

// BenchmarkJWXSignature is the yardstick: one ES256 signature of a payload like an access token's, by jwx.
func BenchmarkJWXSignature(b *testing.B) {
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		b.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{"iss": "http://localhost:9000", "sub": "service", "aud": []string{"urn:realguardio:api"},
		"exp": 1800000000, "iat": 1800000000, "jti": rand.Text(), "client_id": "service", "scope": "securitysystem.read customer.read", "caller": "client"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jws.Sign(payload, jws.WithKey(jwa.ES256, key)); err != nil {
			b.Fatal(err)
		}
	}
}

func benchService(b *testing.B) *token.Service {
	b.Helper()
	db, err := sqldb.Open(b.Context(), "sqlite://"+filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(b).Addr()})
	b.Cleanup(func() { _, _ = client.Close(), db.Close() })
	if err := token.Migrate(b.Context(), db); err != nil {
		b.Fatal(err)
	}
	s, err := token.New(token.Config{DB: db, Redis: client, Issuer: "http://localhost:9000",
		Keys: token.Keys{Encryption: make([]byte, 32), MAC: make([]byte, 32)}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.EnsureClient(b.Context(), token.ClientSpec{ID: "service", Name: "Service", Secret: serviceSecret,
		Grants: []string{"client_credentials"}, Scopes: []string{"securitysystem.read", "customer.read"}}); err != nil {
		b.Fatal(err)
	}
	return s
}

const benchForm = "grant_type=client_credentials"

func benchAuthorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("service:"+url.QueryEscape(serviceSecret)))
}

// BenchmarkClientCredentialsHandler is the token endpoint without the network.
func BenchmarkClientCredentialsHandler(b *testing.B) {
	handler := benchService(b).Handler()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(benchForm))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", benchAuthorization())
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// BenchmarkClientCredentialsHTTP is a token over one connection. cpu-ns/op is the processor time of server and client
// together; the client writes and reads bytes and does nothing else.
func BenchmarkClientCredentialsHTTP(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: benchService(b).Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := fmt.Sprintf("POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		benchAuthorization(), len(benchForm), benchForm)
	in := bufio.NewReader(conn)
	before := cpu(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			b.Fatal(response.StatusCode, err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
