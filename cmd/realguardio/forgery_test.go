package main_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // reads the signing keys of an installation

	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/services/token/keys"
)

// badCredential is the Authorization values of a request that must be refused.
type badCredential struct {
	name   string
	values []string
}

// forger makes tokens of an installation, with its own signing keys: what it gets wrong is one thing at a time, so that
// nothing but that can be why a token is refused.
type forger struct {
	t      *testing.T
	ring   *keys.Ring
	jwks   []byte
	header map[string]any
	claims map[string]any
}

// newForger forges from a token that is accepted. dir is the data folder of the installation.
func newForger(t *testing.T, s *stand, dir, good string) *forger {
	t.Helper()
	kek, err := keyfile.Read(filepath.Join(dir, "keys", "key-encryption-key"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(t.Context(), keys.Config{Store: keyTable{path: filepath.Join(dir, "token.db")}, KEKs: [][]byte{kek},
		TokensLive: time.Hour, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t: t, ring: ring, jwks: call(t, s.http, http.MethodGet, s.Issuer+"/oauth2/jwks", nil).body}
	parts := strings.Split(good, ".")
	for i, into := range []any{&f.header, &f.claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// keyTable reads the signing keys from a database file, and can do nothing else.
type keyTable struct {
	keys.Store
	path string
}

func (k keyTable) Keys(ctx context.Context) ([]keys.Record, error) {
	db, err := sql.Open("sqlite", k.path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT id, alg, status, sealed, created_at FROM signing_keys`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []keys.Record
	for rows.Next() {
		var r keys.Record
		var sealed string
		var created int64
		if err := rows.Scan(&r.ID, &r.Alg, &r.Status, &sealed, &created); err != nil {
			return nil, err
		}
		if r.Sealed, err = base64.StdEncoding.DecodeString(sealed); err != nil {
			return nil, err
		}
		r.Created = time.UnixMicro(created)
		all = append(all, r)
	}
	return all, rows.Err()
}

// signed is a token with some claims changed, or left out where nil, and a signature that is right.
func (f *forger) signed(typ string, changes map[string]any) string {
	f.t.Helper()
	token, err := f.ring.Sign(keys.ES256, typ, f.encode(f.claims, changes))
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// head is the header and payload of a token with some of its header changed.
func (f *forger) head(changes map[string]any) string {
	b64 := base64.RawURLEncoding
	return b64.EncodeToString(f.encode(f.header, changes)) + "." + b64.EncodeToString(f.encode(f.claims, nil))
}

func (f *forger) encode(base, changes map[string]any) []byte {
	f.t.Helper()
	all := maps.Clone(base)
	for name, value := range changes {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	out, err := json.Marshal(all)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// all is every bad credential. good and id are tokens of a signed-in person: an access token and an ID token.
func (f *forger) all(good, id string) []badCredential {
	now := time.Now()
	hs256 := f.head(map[string]any{"alg": "HS256"})
	mac := hmac.New(sha256.New, f.jwks)
	mac.Write([]byte(hs256))
	signature := good[strings.LastIndexByte(good, '.')+1:]
	out := []badCredential{
		{"nothing", nil},
		{"an empty value", []string{""}},
		{"no token", []string{"Bearer x"}},
		{"two tokens", []string{"Bearer " + good, "Bearer " + good}},
		{"two tokens in one value", []string{"Bearer " + good + ", Bearer " + good}},
	}
	for name, token := range map[string]string{
		"an expired token":               f.signed("at+jwt", map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}),
		"a token that never expires":     f.signed("at+jwt", map[string]any{"exp": nil}),
		"a token of later":               f.signed("at+jwt", map[string]any{"nbf": now.Add(10 * time.Minute).Unix()}),
		"a token for another audience":   f.signed("at+jwt", map[string]any{"aud": []string{"urn:other"}}),
		"a token for nobody":             f.signed("at+jwt", map[string]any{"aud": nil}),
		"a token of another issuer":      f.signed("at+jwt", map[string]any{"iss": "https://evil.example"}),
		"an access token typed as an ID": f.signed("JWT", nil),
		"an ID token":                    id,
		"an unsigned token":              f.head(map[string]any{"alg": "none"}) + ".",
		"an unsigned token, None":        f.head(map[string]any{"alg": "None"}) + "." + signature,
		"HS256 by the public keys":       hs256 + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"another key's id":               f.head(map[string]any{"kid": "../../dev/null"}) + "." + signature,
		"another's claims, signed well":  f.head(nil) + "." + signature[:len(signature)-6] + "AAAAAA",
	} {
		out = append(out, badCredential{name, []string{"Bearer " + token}})
	}
	return out
}
