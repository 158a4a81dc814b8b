package main_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // reads the signing keys of an installation

	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token/keys"
)

// badCredential is the Authorization values of a request that must be refused.
type badCredential struct {
	name   string
	values []string
}

// challenge is the scheme that a refusal of it over HTTP asks for: where the token is bound, that of its proof.
func (c badCredential) challenge() string {
	if strings.Contains(c.name, "bound to a key") || len(c.values) == 1 && strings.HasPrefix(c.values[0], "DPoP ") {
		return "DPoP"
	}
	return "Bearer"
}

// forger makes tokens of an installation, with its own signing keys: what it gets wrong is one thing at a time, so that
// nothing but that can be why a token is refused.
type forger struct {
	t      *testing.T
	ring   *keys.Ring
	jwks   []byte
	header map[string]any
	claims map[string]any
	// posing makes tokens of the installation for people whom it has never heard of, and all that can be wrong with one.
	posing *meshtest.Issuer
}

// newForger forges from a token that is accepted. dir is the data folder of the installation.
func newForger(t *testing.T, s *stand, dir, good string) *forger {
	t.Helper()
	kek, err := keyfile.Read(filepath.Join(dir, "keys", "key-encryption-key"))
	if err != nil {
		t.Fatal(err)
	}
	table := keyTable{path: filepath.Join(dir, "token.db")}
	ring, err := keys.Open(t.Context(), keys.Config{Store: table, KEKs: [][]byte{kek},
		TokensLive: time.Hour, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t: t, ring: ring, jwks: call(t, s.http, http.MethodGet, s.Issuer+"/oauth2/jwks", nil).body}
	f.header, f.claims = saidIn(t, good, 0), saidIn(t, good, 1)
	id, _ := f.header["kid"].(string)
	key, err := table.open(t.Context(), kek, id)
	if err != nil {
		t.Fatal(err)
	}
	f.posing = meshtest.Posing(t, s.Issuer, id, key)
	return f
}

// saidIn is what the header of a token says, part 0, or the payload, part 1.
func saidIn(t *testing.T, token string, part int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[part])
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	if err := json.Unmarshal(raw, &said); err != nil {
		t.Fatal(err)
	}
	return said
}

// everything is all that meshtest knows to be wrong with a credential, of this installation.
func (f *forger) everything() []badCredential {
	f.t.Helper()
	var all []badCredential
	for _, one := range f.posing.BadCredentials(f.t) {
		all = append(all, badCredential{one.Name, one.Authorization})
	}
	return all
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

// open is the private key with an id.
func (k keyTable) open(ctx context.Context, kek []byte, id string) (*ecdsa.PrivateKey, error) {
	all, err := k.Keys(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(r keys.Record) bool { return r.ID == id })
	if at < 0 {
		return nil, fmt.Errorf("there is no key %q", id)
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	n := aead.NonceSize()
	plain, err := aead.Open(nil, all[at].Sealed[:n], all[at].Sealed[n:], []byte(string(all[at].Alg)+"\x00"+id))
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, err
	}
	return key.(*ecdsa.PrivateKey), nil
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
		{"a token that is too long", []string{"Bearer " + good + strings.Repeat("A", 8<<10)}},
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
	return append(out, f.bound(good)...)
}

// bound are tokens that are good for who holds a key, without that key, and what could pass for one of them.
func (f *forger) bound(good string) []badCredential {
	f.t.Helper()
	key, err := dpop.GenerateKey()
	if err != nil {
		f.t.Fatal(err)
	}
	proof, err := key.Proof(dpop.Target{Method: http.MethodPost, URL: "https://localhost/"})
	if err != nil {
		f.t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("another's certificate"))
	byKey := f.signed("at+jwt", map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}})
	byCertificate := f.signed("at+jwt", map[string]any{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])}})
	ofToken := sha256.Sum256([]byte(good))
	return []badCredential{
		{"a token bound to a key, as a bearer token", []string{"Bearer " + byKey}},
		{"a token bound to a key, without a proof", []string{"DPoP " + byKey}},
		{"a token that is not bound, as one that is", []string{"DPoP " + good}},
		{"a proof in the place of a token", []string{"Bearer " + proof}},
		{"a token bound to another's certificate", []string{"Bearer " + byCertificate}},
		{"a token bound in a way that is not known", []string{"Bearer " + f.signed("at+jwt", map[string]any{"cnf": map[string]any{"kid": "k"}})}},
		{"a reference to a token of another connection", []string{"MeshRef " + base64.RawURLEncoding.EncodeToString(ofToken[:18])}},
		{"a reference that is made up", []string{"MeshRef x"}},
		{"a token of a stranger", []string{"Bearer " + f.stranger()}},
	}
}

// stranger is a token that is right in all but that its issuer is nobody's, who has signed it well.
func (f *forger) stranger() string {
	f.t.Helper()
	iss := meshtest.NewIssuer(f.t)
	return iss.Token(f.t, meshtest.Claims{Subject: f.claims["sub"].(string), ClientID: f.claims["client_id"].(string), Audience: []string{"urn:realguardio"},
		Scopes: strings.Fields(f.claims["scope"].(string))})
}

// callers are what a token of each kind says of its caller.
var callers = map[mesh.Kind]map[string]any{
	mesh.KindUser:     {"caller": "user"},
	mesh.KindClient:   {"caller": "client", "sub": "rgk_script", "client_id": "rgk_script", "sid": nil, "gid": nil},
	mesh.KindWorkload: {"caller": "workload", "sub": "billing", "client_id": "billing", "sid": nil, "gid": nil},
}

// of is a token of a caller of some kind, with these rights, and with what else is said of them.
func (f *forger) of(kind mesh.Kind, scopes, roles []string, more map[string]any) string {
	f.t.Helper()
	changes := maps.Clone(callers[kind])
	changes["scope"], changes["roles"] = strings.Join(scopes, " "), append([]string{}, roles...)
	maps.Copy(changes, more)
	return f.signed("at+jwt", changes)
}

// lacking are the tokens of callers who lack one thing of what a rule asks for: the kind, a scope, every role, or the
// certificate of the part that they say they are.
func (f *forger) lacking(rule mesh.Rule) []badCredential {
	f.t.Helper()
	token := func(kind mesh.Kind, scopes, roles []string) []string {
		return []string{"Bearer " + f.of(kind, scopes, roles, nil)}
	}
	var all []badCredential
	for kind := range callers {
		if !slices.Contains(rule.Callers, kind) {
			all = append(all, badCredential{"a token of a " + string(kind), token(kind, rule.AllScopes, rule.AnyRole)})
			continue
		}
		for i, scope := range rule.AllScopes {
			all = append(all, badCredential{"a " + string(kind) + " without " + scope, token(kind, slices.Delete(slices.Clone(rule.AllScopes), i, i+1), rule.AnyRole)})
		}
		if len(rule.AnyRole) > 0 {
			all = append(all, badCredential{"a " + string(kind) + " without a role", token(kind, rule.AllScopes, []string{"NONE"})})
		}
		if kind == mesh.KindWorkload {
			all = append(all, badCredential{"a workload over the certificate of nobody", token(kind, rule.AllScopes, rule.AnyRole)})
		}
	}
	return all
}
