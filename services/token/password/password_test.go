package password_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/token/password"
)

var cheap = password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

func TestVerify(t *testing.T) {
	h := password.New(cheap, 2)
	phc, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("not a PHC string: %q", phc)
	}
	for _, tc := range []struct {
		name, password, phc string
		want                bool
	}{
		{"the password itself matches", "correct horse", phc, true},
		{"another does not", "correct horsf", phc, false},
		{"a prefix does not", "correct hors", phc, false},
		{"an empty one does not", "", phc, false},
		{"nothing matches an account without a password", "correct horse", "", false},
		{"nor does an empty password", "", "", false},
		{"one beyond the bound does not match, whatever it begins with", "correct horse" + strings.Repeat("x", password.MaxLength), phc, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, outdated, err := h.Verify(t.Context(), tc.password, tc.phc)
			if err != nil || got != tc.want || outdated {
				t.Fatalf("got %v, outdated %v, %v; want %v", got, outdated, err, tc.want)
			}
		})
	}
}

func TestAPasswordIsTheSameOnEveryKeyboard(t *testing.T) {
	h := password.New(cheap, 2)
	for _, tc := range []struct {
		name, chosen, typed string
		want                bool
	}{
		{"an accent of its own", "gr\u00fcn \u00e9t\u00e9", "gru\u0308n e\u0301te\u0301", true},
		{"an accent that belongs to its letter", "gru\u0308n e\u0301te\u0301", "gr\u00fcn \u00e9t\u00e9", true},
		{"syllables in parts", "\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165", true},
		{"another kind of space", "correct horse", "correct\u00a0horse", true},
		{"no accent is another password", "gr\u00fcn \u00e9t\u00e9", "grun ete", false},
		{"so are capitals", "gr\u00fcn \u00e9t\u00e9", "Gr\u00fcn \u00e9t\u00e9", false},
		{"so is what only means the same", "room 2 is full", "room \u00b2 is full", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			phc, err := h.Hash(t.Context(), tc.chosen)
			if err != nil {
				t.Fatal(err)
			}
			if matched, _, err := h.Verify(t.Context(), tc.typed, phc); err != nil || matched != tc.want {
				t.Errorf("matched %v, %v; want %v", matched, err, tc.want)
			}
		})
	}
}

func TestHashIsSalted(t *testing.T) {
	h := password.New(cheap, 2)
	a, _ := h.Hash(t.Context(), "correct horse")
	b, _ := h.Hash(t.Context(), "correct horse")
	if a == b {
		t.Fatal("two hashes of one password are equal")
	}
}

func TestOtherCostsAreOutdated(t *testing.T) {
	old, _ := password.New(cheap, 1).Hash(t.Context(), "correct horse")
	matched, outdated, err := password.New(password.Params{MemoryKiB: 128, Iterations: 1, Parallelism: 1}, 1).Verify(t.Context(), "correct horse", old)
	if err != nil || !matched || !outdated {
		t.Fatalf("matched %v, outdated %v, %v", matched, outdated, err)
	}
}

func TestNewPasswordsHaveBounds(t *testing.T) {
	h := password.New(cheap, 1)
	for _, p := range []string{"", "seven77", strings.Repeat("x", password.MaxLength+1)} {
		if _, err := h.Hash(t.Context(), p); !errors.Is(err, password.ErrLength) {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

func TestDamagedHashesAreErrors(t *testing.T) {
	h := password.New(cheap, 1)
	for _, phc := range []string{"x", "$2a$10$abc", "$argon2id$v=19$m=64,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=64,t=1,p=1$AAAA$", "$argon2id$v=19$m=64$AAAA$AAAA"} {
		if matched, _, err := h.Verify(t.Context(), "correct horse", phc); err == nil || matched {
			t.Errorf("%q: matched %v, %v", phc, matched, err)
		}
	}
}

func TestAFloodIsRefusedNotQueued(t *testing.T) {
	h := password.New(password.Params{MemoryKiB: 8 * 1024, Iterations: 3, Parallelism: 1}, 1)
	results := make(chan error, 100)
	for range 100 {
		go func() {
			_, err := h.Hash(context.Background(), "correct horse")
			results <- err
		}()
	}
	busy := 0
	for range 100 {
		switch err := <-results; {
		case errors.Is(err, password.ErrBusy):
			busy++
		case err != nil:
			t.Fatal(err)
		}
	}
	if busy == 0 || busy == 100 {
		t.Fatalf("%d of 100 were refused", busy)
	}
}

func BenchmarkVerify(b *testing.B) {
	h := password.New(password.Default, 1)
	phc, _ := h.Hash(b.Context(), "correct horse")
	for b.Loop() {
		h.Verify(b.Context(), "correct horse", phc)
	}
}
