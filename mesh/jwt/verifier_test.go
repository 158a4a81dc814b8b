package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func newVerifier(t *testing.T, cfg jwt.Config) *jwt.Verifier {
	t.Helper()
	if cfg.Audiences == nil {
		cfg.Audiences = []string{meshtest.Audience}
	}
	cfg.Logger = meshtest.Logger(t)
	v, err := jwt.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAnIdentityIsWhatTheTokenSays(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Audiences: []string{"urn:realguardio:customer", meshtest.Audience}})
	now := time.Now().Truncate(time.Second)
	token := iss.Token(t, meshtest.Claims{
		Subject: "u-alice", ClientID: "web", SessionID: "s1", TokenID: "t1", GrantID: "g1", Name: "Alice", Email: "alice@acme.example",
		ACR: "pwd", Kind: mesh.KindUser, Roles: []string{"A", "B"}, Scopes: []string{"openid", "a.read"}, Epoch: 7,
		Audience: []string{"urn:other", meshtest.Audience}, AuthTime: now.Add(-time.Hour), Issued: now, Expiry: now.Add(time.Minute),
	})
	want := mesh.Identity{
		Subject: "u-alice", ClientID: "web", SessionID: "s1", TokenID: "t1", GrantID: "g1", Name: "Alice", Email: "alice@acme.example",
		ACR: "pwd", Kind: mesh.KindUser, Roles: []string{"A", "B"}, Scopes: []string{"openid", "a.read"}, Epoch: 7,
		Audience: []string{"urn:other", meshtest.Audience}, AuthTime: now.Add(-time.Hour), IssuedAt: now, Expiry: now.Add(time.Minute),
		Issuer: iss.URL, KeyID: iss.KeyID(),
	}
	for _, when := range []string{"verified", "remembered"} {
		got, err := v.Verify(t.Context(), token)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v; identity differs (-want +got):\n%s", when, err, diff)
		}
	}
}

func TestWhoActsForTheSubject(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL})
	chain := func(actors ...string) any {
		var act any
		for _, sub := range slices.Backward(actors) {
			outer := map[string]any{"sub": sub}
			if act != nil {
				outer["act"] = act
			}
			act = outer
		}
		return act
	}
	for _, tt := range []struct {
		name string
		act  any
		want []string
		bad  bool
	}{
		{name: "nobody", act: nil},
		{name: "one", act: chain("customer"), want: []string{"customer"}},
		{name: "a chain, the outermost first", act: chain("c", "b", "a"), want: []string{"c", "b", "a"}},
		{name: "other members besides", act: map[string]any{"sub": "c", "iss": "https://id.example"}, want: []string{"c"}},
		{name: "as many as may be", act: chain("1", "2", "3", "4", "5", "6", "7", "8"), want: []string{"1", "2", "3", "4", "5", "6", "7", "8"}},
		{name: "one more", act: chain("1", "2", "3", "4", "5", "6", "7", "8", "9"), bad: true},
		{name: "a string", act: "customer", bad: true},
		{name: "a list", act: []any{chain("customer")}, bad: true},
		{name: "an object without a name", act: map[string]any{"client_id": "customer"}, bad: true},
		{name: "an empty name", act: chain(""), bad: true},
		{name: "an inner one without a name", act: map[string]any{"sub": "c", "act": map[string]any{}}, bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			extra := map[string]any{"derived_from": []string{"t2", "t1"}, "derived_keys": []string{"k1"}}
			if tt.act != nil {
				extra["act"] = tt.act
			}
			got, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{Extra: extra}))
			if tt.bad {
				if cause(err) != "malformed" {
					t.Errorf("got %v, %v", got.Actors, err)
				}
				return
			}
			if err != nil || !slices.Equal(got.Actors, tt.want) || !slices.Equal(got.DerivedFrom, []string{"t2", "t1"}) || !slices.Equal(got.DerivedKeys, []string{"k1"}) {
				t.Errorf("got %v from %v, %v", got.Actors, got.DerivedFrom, err)
			}
		})
	}
	if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{Extra: map[string]any{"derived_from": "t1"}})); cause(err) != "malformed" {
		t.Errorf("derived_from that is no list: %v", err)
	}
}

func TestWhoStandsBehindAToken(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL})
	for _, tt := range []struct {
		name   string
		sub    string
		caller any
		want   mesh.Kind
	}{
		{name: "a subject that is its client is a client", sub: "c", want: mesh.KindClient},
		{name: "any other subject is a user", sub: "u", want: mesh.KindUser},
		{name: "a client says so", sub: "c", caller: "client", want: mesh.KindClient},
		{name: "a workload says so", sub: "c", caller: "workload", want: mesh.KindWorkload},
		{name: "a user says so", sub: "u", caller: "user", want: mesh.KindUser},
		{name: "a client is no user", sub: "c", caller: "user"},
		{name: "a user is no workload", sub: "u", caller: "workload"},
		{name: "a user is no client", sub: "u", caller: "client"},
		{name: "nobody is an admin", sub: "u", caller: "admin"},
		{name: "an empty kind is none", sub: "u", caller: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{
				Subject: tt.sub, ClientID: "c", Extra: map[string]any{"caller": tt.caller},
			}))
			if got.Kind != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got.Kind, err, tt.want)
			}
		})
	}
}

func TestTimesAreJudgedWithLeewayAndNoMore(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	base := time.Now().Truncate(time.Second)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: func() time.Time { return base }})
	at := func(d time.Duration) time.Time { return base.Add(d) }
	for _, tt := range []struct {
		name   string
		claims meshtest.Claims
		cause  string
	}{
		{name: "expired 29 seconds ago", claims: meshtest.Claims{Expiry: at(-29 * time.Second)}},
		{name: "expired 30 seconds ago", claims: meshtest.Claims{Expiry: at(-30 * time.Second)}, cause: "expired"},
		{name: "expired 31 seconds ago", claims: meshtest.Claims{Expiry: at(-31 * time.Second)}, cause: "expired"},
		{name: "valid in 29 seconds", claims: meshtest.Claims{NotBefore: at(29 * time.Second)}},
		{name: "valid in 30 seconds", claims: meshtest.Claims{NotBefore: at(30 * time.Second)}},
		{name: "valid in 31 seconds", claims: meshtest.Claims{NotBefore: at(31 * time.Second)}, cause: "not_yet"},
		{name: "issued in 30 seconds", claims: meshtest.Claims{Issued: at(30 * time.Second)}},
		{name: "issued in 31 seconds", claims: meshtest.Claims{Issued: at(31 * time.Second)}, cause: "not_yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := v.Verify(t.Context(), iss.Token(t, tt.claims)); cause(err) != tt.cause {
				t.Errorf("got %v, want %q", err, tt.cause)
			}
		})
	}
}

// cause is the word for metrics of a refusal, "" for none.
func cause(err error) string {
	var c interface{ Cause() string }
	if errors.As(err, &c) {
		return c.Cause()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestEveryBadTokenIsRefusedWithoutBeingQuoted(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL})
	if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{})); err != nil {
		t.Fatalf("a good token: %v", err)
	}
	for _, bad := range iss.BadCredentials(t) {
		if len(bad.Authorization) != 1 {
			continue // two credentials, or none, are for the guard to refuse
		}
		token, ok := strings.CutPrefix(bad.Authorization[0], "Bearer ")
		if !ok {
			continue
		}
		id, err := v.Verify(t.Context(), token)
		if err == nil {
			if !id.Confirmation.Bound() { // whether its sender holds the key is for the guard to find out
				t.Errorf("%s: accepted", bad.Name)
			}
			continue
		}
		for _, part := range strings.Split(token, ".") {
			if len(part) > 10 && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error quotes the token: %v", bad.Name, err)
			}
		}
	}
	if n := iss.Fetches(); n != 1 {
		t.Errorf("made-up key ids caused %d fetches, within the cooldown", n-1)
	}
}

func TestRotationRefusesNobody(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: c.now})
	before := iss.Token(t, meshtest.Claims{})
	iss.Rotate(t)
	c.advance(6 * time.Second) // the cooldown
	if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{})); err != nil {
		t.Errorf("signed by the new key: %v", err)
	}
	if _, err := v.Verify(t.Context(), before); err != nil {
		t.Errorf("signed by the old key: %v", err)
	}
	if iss.Fetches() != 2 {
		t.Errorf("%d fetches", iss.Fetches())
	}
}

func TestAKeyThatIsWithdrawnTakesItsCachedTokensWithIt(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: c.now})
	stolen := iss.Token(t, meshtest.Claims{})
	if _, err := v.Verify(t.Context(), stolen); err != nil {
		t.Fatal(err)
	}
	iss.Rotate(t)
	iss.Withdraw()
	c.advance(6 * time.Second)
	if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{})); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), stolen); cause(err) != "unknown_key" {
		t.Errorf("got %v", err)
	}
}

func TestAnotherKeyUnderTheSameIDIsAnotherKey(t *testing.T) {
	first, second := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	c, published := &clock{}, set(t, public(t, first, "k"))
	v := newVerifier(t, jwt.Config{Issuer: "https://iss", Now: c.now, Refresh: time.Millisecond, Keys: func(context.Context) ([]byte, error) { return published, nil }})
	token := sign(t, jwa.ES256, first, "k")
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	published = set(t, public(t, second, "k"))
	c.advance(6 * time.Second)
	_, _ = v.Verify(t.Context(), sign(t, jwa.ES256, second, "other")) // causes a fetch
	if _, err := v.Verify(t.Context(), token); cause(err) != "signature" {
		t.Errorf("got %v", err)
	}
	published = set(t, public(t, first, "k"), public(t, second, "k"))
	c.advance(6 * time.Second)
	_, _ = v.Verify(t.Context(), sign(t, jwa.ES256, second, "other"))
	for _, key := range []*ecdsa.PrivateKey{first, second} {
		if _, err := v.Verify(t.Context(), sign(t, jwa.ES256, key, "k")); cause(err) != "unknown_key" {
			t.Errorf("one of two keys of one id is used: %v", err)
		}
	}
}

func TestAnIssuerThatIsDown(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	iss.SetDown(true)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: c.now, MaxStale: time.Hour})
	token := iss.Token(t, meshtest.Claims{Expiry: time.Now().Add(3 * time.Hour)})
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, mesh.ErrCannotVerify) || v.Ready() {
		t.Fatalf("at a cold start: %v, ready %v", err, v.Ready())
	}
	iss.SetDown(false)
	c.advance(6 * time.Second)
	if _, err := v.Verify(t.Context(), token); err != nil || !v.Ready() {
		t.Fatalf("when it is back: %v, ready %v", err, v.Ready())
	}
	iss.SetDown(true)
	c.advance(59 * time.Minute)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("with keys of an hour: %v", err)
	}
	if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-2", Issued: c.now(), Expiry: c.now().Add(time.Minute)})); err != nil {
		t.Errorf("a token not seen before, with keys of an hour: %v", err)
	}
	c.advance(2 * time.Minute)
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, mesh.ErrCannotVerify) || v.Ready() {
		t.Errorf("with keys too old, and a token in the cache: %v, ready %v", err, v.Ready())
	}
}

func TestKeysComeInTheBackground(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	iss.SetDown(true)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Refresh: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- v.Run(ctx) }()
	iss.SetDown(false)
	meshtest.Await(t, "keys", v.Ready)
	old := iss.Token(t, meshtest.Claims{})
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	iss.Rotate(t)
	iss.Withdraw()
	meshtest.Await(t, "the withdrawn key to be trusted no more", func() bool {
		_, err := v.Verify(t.Context(), old)
		return err != nil
	})
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestOneFetchForManyUnknownKeys(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	var fetches atomic.Int64
	c, gate := &clock{}, make(chan struct{})
	v := newVerifier(t, jwt.Config{Issuer: "https://iss", Now: c.now, Keys: func(context.Context) ([]byte, error) {
		if fetches.Add(1) > 1 {
			<-gate
		}
		return set(t, public(t, key, "k")), nil
	}})
	c.advance(time.Minute)
	var callers sync.WaitGroup
	for i := range 20 {
		token := sign(t, jwa.ES256, key, fmt.Sprint("made-up-", i))
		callers.Go(func() {
			if _, err := v.Verify(context.Background(), token); cause(err) != "unknown_key" {
				t.Errorf("got %v", err)
			}
		})
	}
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := v.Verify(impatient, sign(t, jwa.ES256, key, "made-up")); err == nil {
		t.Error("accepted")
	}
	close(gate)
	callers.Wait()
	if n := fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// TestStrangersHoldNotAllCallsWhileTheIssuerIsSlow comes with more made-up keys than there may be calls in a server.
func TestStrangersHoldNotAllCallsWhileTheIssuerIsSlow(t *testing.T) {
	key, release, clock := ecKey(t, elliptic.P256()), make(chan struct{}), &clock{}
	var fetches atomic.Int64
	v := newVerifier(t, jwt.Config{Issuer: "https://issuer.example", Now: clock.now, Keys: func(context.Context) ([]byte, error) {
		if fetches.Add(1) > 1 {
			<-release
		}
		return set(t, public(t, key, "k")), nil
	}})
	clock.advance(time.Minute)
	made, ended := sign(t, jwa.ES256, key, "made-up"), make(chan error, 1000)
	for range cap(ended) {
		go func() { _, err := v.Verify(t.Context(), made); ended <- err }()
	}
	for range cap(ended) / 2 {
		select {
		case err := <-ended:
			if !errors.Is(err, mesh.ErrCannotVerify) {
				t.Errorf("got %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("all of them wait")
		}
	}
	close(release)
	for range cap(ended) / 2 {
		if err := <-ended; cause(err) != "unknown_key" {
			t.Errorf("who waited: %v", err)
		}
	}
}

func TestDiscoveryIsNotTrustedBlindly(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	var document func(url string) any
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		if d := document(srv.URL); d != nil {
			_ = json.NewEncoder(w).Encode(d)
			return
		}
		http.Redirect(w, r, "/evil", http.StatusFound)
	})
	mux.HandleFunc("/evil", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": srv.URL, "jwks_uri": srv.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(set(t, public(t, key, "k"))) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) })
	for _, tt := range []struct {
		name     string
		document func(url string) any
		ready    bool
	}{
		{name: "its own", document: func(u string) any { return map[string]any{"issuer": u, "jwks_uri": u + "/keys"} }, ready: true},
		{name: "of another issuer", document: func(u string) any { return map[string]any{"issuer": "https://evil", "jwks_uri": u + "/keys"} }},
		{name: "without keys", document: func(u string) any { return map[string]any{"issuer": u} }},
		{name: "with keys that are too large", document: func(u string) any { return map[string]any{"issuer": u, "jwks_uri": u + "/big"} }},
		{name: "that redirects", document: func(string) any { return nil }},
		{name: "that is no object", document: func(string) any { return []int{1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document = tt.document
			if v := newVerifier(t, jwt.Config{Issuer: srv.URL}); v.Ready() != tt.ready {
				t.Errorf("ready: %v", v.Ready())
			}
		})
	}
}

func TestOnlySafePublicKeysOfTheAllowedTypesAreUsed(t *testing.T) {
	ec, p384 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	big, small := rsaKey(t, 2048), rsaKey(t, 1024)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(k jwk.Key, name string, value any) jwk.Key {
		t.Helper()
		if err := k.Set(name, value); err != nil {
			t.Fatal(err)
		}
		return k
	}
	private, err := jwk.FromRaw(ec)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		key   jwk.Key
		token string
		cause string
	}{
		{name: "ES256 with P-256", key: public(t, ec, "k"), token: sign(t, jwa.ES256, ec, "k")},
		{name: "RS256 with 2048 bits", key: public(t, big, "k"), token: sign(t, jwa.RS256, big, "k")},
		{name: "EdDSA", key: public(t, ed, "k"), token: sign(t, jwa.EdDSA, ed, "k")},
		{name: "a key that names its algorithm and use", key: with(with(public(t, ec, "k"), "alg", jwa.ES256), "use", "sig"), token: sign(t, jwa.ES256, ec, "k")},
		{name: "RS256 with 1024 bits", key: public(t, small, "k"), token: sign(t, jwa.RS256, small, "k"), cause: "unknown_key"},
		{name: "ES384", key: public(t, p384, "k"), token: sign(t, jwa.ES384, p384, "k"), cause: "algorithm"},
		{name: "PS256 with a key that does RS256", key: public(t, big, "k"), token: sign(t, jwa.PS256, big, "k"), cause: "algorithm"},
		{name: "RS512", key: public(t, big, "k"), token: sign(t, jwa.RS512, big, "k"), cause: "algorithm"},
		{name: "an RSA key for PS256", key: with(public(t, big, "k"), "alg", jwa.PS256), token: sign(t, jwa.RS256, big, "k"), cause: "unknown_key"},
		{name: "a key for encryption", key: with(public(t, ec, "k"), "use", "enc"), token: sign(t, jwa.ES256, ec, "k"), cause: "unknown_key"},
		{name: "a private key", key: with(private, "kid", "k"), token: sign(t, jwa.ES256, ec, "k"), cause: "unknown_key"},
		{name: "an RSA signature for an EC key", key: public(t, ec, "k"), token: sign(t, jwa.RS256, big, "k"), cause: "algorithm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document := set(t, tt.key, public(t, ecKey(t, elliptic.P256()), "other"))
			v := newVerifier(t, jwt.Config{Issuer: "https://iss", Keys: func(context.Context) ([]byte, error) { return document, nil }})
			if _, err := v.Verify(t.Context(), tt.token); cause(err) != tt.cause {
				t.Errorf("got %v, want %q", err, tt.cause)
			}
		})
	}
}

func TestAKeySetSurvivesKeysThatCannotBeRead(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	good, err := json.Marshal(public(t, key, "k"))
	if err != nil {
		t.Fatal(err)
	}
	document := fmt.Sprintf(`{"keys":[{"kty":"new","kid":"a"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"b"},{"kty":"oct","k":"AAAA","kid":"c"},%s]}`, good)
	v := newVerifier(t, jwt.Config{Issuer: "https://iss", Keys: func(context.Context) ([]byte, error) { return []byte(document), nil }})
	if _, err := v.Verify(t.Context(), sign(t, jwa.ES256, key, "k")); err != nil {
		t.Errorf("got %v", err)
	}
	for _, id := range []string{"a", "b", "c"} {
		if _, err := v.Verify(t.Context(), sign(t, jwa.ES256, key, id)); cause(err) != "unknown_key" {
			t.Errorf("%s: got %v", id, err)
		}
	}
}

func TestAConfigurationThatLacksSomething(t *testing.T) {
	for want, cfg := range map[string]jwt.Config{
		"Issuer is missing":          {Audiences: []string{"a"}},
		"Audiences is missing":       {Issuer: "https://iss"},
		"Audiences has an empty one": {Issuer: "https://iss", Audiences: []string{"a", ""}},
	} {
		if _, err := jwt.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0") // to make a key that is too small
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(t testing.TB, key crypto.Signer, id string) jwk.Key {
	t.Helper()
	k, err := jwk.FromRaw(key.Public())
	if err == nil {
		err = k.Set("kid", id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func set(t testing.TB, keys ...jwk.Key) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sign makes a good token of https://iss by jwx, so that our reading is held against another's writing.
func sign(t testing.TB, alg jwa.SignatureAlgorithm, key crypto.Signer, id string) string {
	t.Helper()
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": "https://iss", "sub": "u", "client_id": "c", "jti": rand.Text(), "aud": meshtest.Audience,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "scope": "openid a.read", "roles": []string{"A"},
	})
	if err != nil {
		t.Fatal(err)
	}
	headers := jws.NewHeaders()
	for name, value := range map[string]string{"typ": "at+jwt", "kid": id} {
		if err := headers.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	token, err := jws.Sign(payload, jws.WithKey(alg, key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

func TestAKeyThatIsNotKnownWhileTheIssuerIsDownIsNoForgery(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	v := newVerifier(t, jwt.Config{Issuer: iss.URL, Now: c.now})
	known := iss.Token(t, meshtest.Claims{})
	iss.Rotate(t)
	iss.SetDown(true)
	for _, later := range []time.Duration{6 * time.Second, time.Second, time.Second} { // the last two within the cooldown
		c.advance(later)
		if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{})); !errors.Is(err, mesh.ErrCannotVerify) {
			t.Errorf("signed by a key that was not fetched: %v", err)
		}
	}
	if _, err := v.Verify(t.Context(), known); err != nil {
		t.Errorf("signed by a known one: %v", err)
	}
	iss.SetDown(false)
	c.advance(6 * time.Second)
	if _, err := v.Verify(t.Context(), iss.Token(t, meshtest.Claims{})); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}
