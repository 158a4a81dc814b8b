package jwt_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestAForgedTokenIsRememberedForItsKeyAndNoOther(t *testing.T) {
	first, second := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	c, published := &clock{}, set(t, public(t, first, "k"))
	v := newVerifier(t, jwt.Config{Issuer: "https://iss", Now: c.now, Keys: func(context.Context) ([]byte, error) { return published, nil }})
	token := sign(t, jwa.ES256, second, "k")
	for range 3 {
		if _, err := v.Verify(t.Context(), token); cause(err) != "signature" {
			t.Fatalf("got %v", err)
		}
	}
	published = set(t, public(t, second, "k"))
	c.advance(6 * time.Second)
	_, _ = v.Verify(t.Context(), sign(t, jwa.ES256, second, "other")) // causes a fetch
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("signed by the key that has the name now: %v", err)
	}
}

// forge returns n tokens that are good but for their signatures.
func forge(t testing.TB, iss *meshtest.Issuer, n int) []string {
	t.Helper()
	good := iss.Token(t, meshtest.Claims{})
	signed := good[:strings.LastIndex(good, ".")+1]
	all := make([]string, n)
	for i := range all {
		signature := make([]byte, 64)
		rand.Read(signature)
		all[i] = signed + base64.RawURLEncoding.EncodeToString(signature)
	}
	return all
}

// flood sends forged tokens from several callers at once until stop is called.
func flood(t testing.TB, v *jwt.Verifier, forged []string, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for caller := range n {
		callers.Go(func() {
			for i := caller; ctx.Err() == nil; i += n {
				_, err := v.Verify(ctx, forged[i%len(forged)])
				if cause(err) != "signature" && !errors.Is(err, mesh.ErrCannotVerify) {
					t.Errorf("forged: %v", err)
					return
				}
			}
		})
	}
	return func() { cancel(); callers.Wait() }
}

func TestInAFloodOfForgedTokensGoodOnesGetIn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL})
	regular := iss.Token(t, meshtest.Claims{})
	if _, err := v.Verify(t.Context(), regular); err != nil {
		t.Fatal(err)
	}
	stop := flood(t, v, forge(t, iss, 300), 4)
	defer stop()
	meshtest.Await(t, "the flood", func() bool { return v.Stats().Refused > 250 })
	for range 10 {
		for name, token := range map[string]string{"a known one": regular, "a new one": iss.Token(t, meshtest.Claims{})} {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	if got := v.Stats(); got.Hits < 10 {
		t.Errorf("the known one was forgotten: %+v", got)
	}
}

// BenchmarkHitInAFlood is a token that is remembered while 64 callers send forged ones that are all new.
func BenchmarkHitInAFlood(b *testing.B) {
	iss := meshtest.NewIssuer(b)
	v := iss.Verifier(b, "echo")
	token := iss.Token(b, meshtest.Claims{})
	defer flood(b, v, forge(b, iss, 20_000), 64)()
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		// As a call does, which begins in a goroutine of its own.
		done := make(chan error)
		began := time.Now()
		go func() {
			_, err := v.Verify(context.Background(), token)
			done <- err
		}()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
