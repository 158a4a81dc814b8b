package keys_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/realguardio/realguardio/services/token/keys"
)

// memory is a store that keeps one active key of an algorithm, and a next one.
type memory struct {
	mu      sync.Mutex
	records []keys.Record
}

func (m *memory) Keys(context.Context) ([]keys.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]keys.Record(nil), m.records...), nil
}

func (m *memory) AddKey(_ context.Context, r keys.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, known := range m.records {
		if known.Alg == r.Alg && known.Status == r.Status {
			return nil
		}
	}
	m.records = append(m.records, r)
	return nil
}

// What the rest of a store has to do is tested with real ones.
func (*memory) RotateKeys(context.Context, []keys.Turn, time.Time) (bool, error) { return false, nil }
func (*memory) RevokeKey(context.Context, string, keys.Record, time.Time, time.Time) error {
	return nil
}
func (*memory) ResealKey(context.Context, string, []byte, []byte) error { return nil }
func (*memory) PurgeKeys(context.Context, time.Time) error              { return nil }

func open(t *testing.T, m *memory, kek byte) (*keys.Ring, error) {
	t.Helper()
	return keys.Open(t.Context(), keys.Config{Store: m, KEKs: [][]byte{bytes.Repeat([]byte{kek}, 32)}, TokensLive: time.Hour, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler)})
}

// TestOthersVerifyWhatWeSign signs often enough for numbers with leading zeros to occur in ECDSA signatures.
func TestOthersVerifyWhatWeSign(t *testing.T) {
	ring, err := open(t, &memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.Parse(ring.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	for alg, times := range map[keys.Alg]int{keys.ES256: 1000, keys.RS256: 2, keys.EdDSA: 2} {
		for range times {
			token, err := ring.Sign(alg, keys.TypAccessToken, []byte(`{"sub":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jws.Verify([]byte(token), jws.WithKeySet(set)); err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
			if payload, err := ring.Verify(keys.TypAccessToken, token); err != nil || string(payload) != `{"sub":"x"}` {
				t.Fatalf("%s: %s, %v", alg, payload, err)
			}
			if _, err := ring.Verify(keys.TypIDToken, token); err == nil {
				t.Fatal("an access token passes for an ID token")
			}
		}
	}
}

// TestATokenIsWrittenInOneWay changes how a good token is written and not what it says.
func TestATokenIsWrittenInOneWay(t *testing.T) {
	ring, err := open(t, &memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range keys.Algs {
		token, err := ring.Sign(alg, keys.TypAccessToken, []byte(`{"sub":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := len(token) - 1
		at := strings.IndexByte(alphabet, token[last])
		for name, written := range map[string]string{
			"the bits that no byte has": token[:last] + alphabet[at^1:at^1+1],
			"padding":                   token + "==",
			"a line break at the end":   token + "\n",
			"one in the signature":      token[:last-5] + "\r\n" + token[last-5:],
			"one before the signature":  token[:strings.LastIndexByte(token, '.')+1] + "\n" + token[strings.LastIndexByte(token, '.')+1:],
			"a blank":                   token + " ",
			"one more character":        token + "A",
		} {
			if _, err := ring.Verify(keys.TypAccessToken, written); err == nil {
				t.Errorf("%s: %s is taken", alg, name)
			}
		}
	}
}

func TestAnotherKeyEncryptionKeyIsRefused(t *testing.T) {
	m := &memory{}
	if _, err := open(t, m, 1); err != nil {
		t.Fatal(err)
	}
	before := len(m.records)
	if _, err := open(t, m, 2); err == nil || !strings.Contains(err.Error(), "key-encryption key") {
		t.Errorf("got %v", err)
	}
	if len(m.records) != before {
		t.Error("new keys were made beside those that cannot be opened")
	}
	m.records[0].Sealed, m.records[1].Sealed = m.records[1].Sealed, m.records[0].Sealed
	if _, err := open(t, m, 1); err == nil {
		t.Error("sealed keys can be exchanged")
	}
}
