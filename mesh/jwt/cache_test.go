package jwt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestATokenIsRememberedUntilItExpires(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: c.now, Leeway: time.Nanosecond})
	token := iss.Token(t, meshtest.Claims{Expiry: time.Now().Add(time.Minute)})
	for range 3 {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(time.Minute + time.Second)
	if _, err := v.Verify(t.Context(), token); cause(err) != "expired" {
		t.Errorf("got %v", err)
	}
}

func TestManyTokensDoNotPushOneAnotherIntoEachOthersPlace(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, CacheSize: 64})
	tokens := map[string]string{}
	for i := range 300 {
		sub := fmt.Sprintf("u-%d", i)
		tokens[sub] = iss.Token(t, meshtest.Claims{Subject: sub})
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 2 {
				for sub, token := range tokens {
					if id, err := v.Verify(context.Background(), token); err != nil || id.Subject != sub {
						t.Errorf("got %v, %v; want %s", id, err, sub)
						return
					}
				}
			}
		})
	}
	readers.Wait()
}

func TestAsManyTokensAsFitAreFoundAgainInAnyOrder(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, CacheSize: 3200})
	tokens := make([]string, 1600)
	for i := range tokens {
		tokens[i] = iss.Token(t, meshtest.Claims{})
	}
	ask := func(token string) {
		t.Helper()
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	for _, token := range tokens {
		ask(token)
	}
	before := v.Stats()
	for range 10 * len(tokens) {
		ask(tokens[rand.IntN(len(tokens))])
	}
	after := v.Stats()
	if hits, misses := after.Hits-before.Hits, after.Misses-before.Misses; hits < 99*misses {
		t.Errorf("%d hits, %d misses", hits, misses)
	}
}

func TestWhatIsUsedStaysWhenTheCacheIsFull(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, CacheSize: 320})
	regular := iss.Token(t, meshtest.Claims{})
	for range 640 {
		for range 2 {
			if _, err := v.Verify(t.Context(), regular); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{})); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.Stats(); got.Misses != 641 {
		t.Errorf("%d tokens were verified, want each once", got.Misses)
	}
}

func TestWhatAVerifierCounts(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: c.now})
	good := iss.Token(t, meshtest.Claims{})
	for _, token := range []string{good, good, good, "bad", strings.Repeat("x", 9000)} {
		_, _ = v.Verify(t.Context(), token)
	}
	got := v.Stats()
	if got.KeysAge < 0 || got.KeysAge > time.Minute {
		t.Errorf("keys are %v old", got.KeysAge)
	}
	got.KeysAge = 0
	if want := (jwt.Stats{Hits: 2, Misses: 3, Refused: 2, Fetches: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	iss.SetDown(true)
	c.advance(25 * time.Hour)
	if _, err := v.Verify(t.Context(), good); !errors.Is(err, mesh.ErrCannotVerify) {
		t.Errorf("got %v", err)
	}
	got = v.Stats()
	if got.KeysAge < 25*time.Hour || got.Fetches != 2 || got.FetchFailures != 1 || got.Misses != 4 || got.Refused != 2 {
		t.Errorf("with the issuer down: %+v", got)
	}
}
