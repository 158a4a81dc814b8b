package dpop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
)

type m = map[string]any

const (
	here  = "https://api.example.com/api/v1/customers"
	token = "rgo_an-access-token"
)

// world is a checker with a clock, and a signer of whatever one likes.
type world struct {
	t       *testing.T
	now     time.Time
	checker *dpop.Checker
	ec      *ecdsa.PrivateKey
}

func newWorld(t *testing.T, nonces *dpop.Nonces) *world {
	t.Helper()
	w := &world{t: t, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return w.now }
	var err error
	if w.checker, err = dpop.New(dpop.Config{Replays: dpop.NewMemory(1000, clock), Nonces: nonces, Now: clock}); err != nil {
		t.Fatal(err)
	}
	if w.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) jwk() m {
	point, err := w.ec.PublicKey.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	return m{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

// proof is a good one but for what header and claims change; nil removes a member.
func (w *world) proof(header, claims m) string {
	h := m{"typ": "dpop+jwt", "alg": "ES256", "jwk": w.jwk()}
	c := m{"jti": rand.Text(), "htm": "GET", "htu": here, "iat": w.now.Unix(), "ath": hash(token)}
	override(h, header)
	override(c, claims)
	return w.sign(segment(w.t, h) + "." + segment(w.t, c))
}

func (w *world) sign(signed string) string {
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, w.ec, digest[:])
	if err != nil {
		w.t.Fatal(err)
	}
	return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func (w *world) check(proofs ...string) error {
	_, err := w.checker.Check(w.t.Context(), dpop.Request{Proofs: proofs, Method: "GET", URLs: []string{here}, AccessToken: token})
	return err
}

func override(to, over m) {
	maps.Copy(to, over)
	maps.DeleteFunc(to, func(_ string, v any) bool { return v == nil })
}

func segment(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b64(raw)
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return b64(sum[:])
}

func cause(err error) string {
	var c interface{ Cause() string }
	if !errors.As(err, &c) {
		return ""
	}
	return c.Cause()
}

func TestAProofThatIsNotGoodInEveryWayIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.check(w.proof(nil, nil)); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	good := w.proof(nil, nil)
	parts := strings.Split(good, ".")
	with := func(member string, value any) m {
		key := w.jwk()
		override(key, m{member: value})
		return m{"jwk": key}
	}
	private := b64(w.ec.D.FillBytes(make([]byte, 32)))
	header, claims := segmentText(t, parts[0]), segmentText(t, parts[1])
	again := func(object, member string) string {
		return b64([]byte(strings.TrimSuffix(object, "}") + "," + member + "}"))
	}
	at := func(d time.Duration) m { return m{"iat": w.now.Add(d).Unix()} }
	for _, tt := range []struct {
		name   string
		cause  string
		proofs []string
	}{
		{"none", "proof_count", nil},
		{"two", "proof_count", []string{w.proof(nil, nil), w.proof(nil, nil)}},
		{"one of two that a proxy has joined", "proof_malformed", []string{w.proof(nil, nil) + ", " + w.proof(nil, nil)}},
		{"an empty one", "proof_malformed", []string{""}},
		{"one of 5 KB", "proof_malformed", []string{w.proof(nil, m{"x": strings.Repeat("x", 5<<10)})}},
		{"thousands of dots", "proof_malformed", []string{strings.Repeat(".", 4000)}},
		{"one with padding", "proof_signature", []string{good + "=="}},
		{"one with a line break", "proof_signature", []string{good + "\n"}},
		{"one without signature", "proof_signature", []string{parts[0] + "." + parts[1] + "."}},
		{"one with the signature of another", "proof_signature", []string{parts[0] + "." + parts[1] + "." + strings.Split(w.proof(nil, nil), ".")[2]}},
		{"two members alg", "proof_malformed", []string{w.sign(again(header, `"alg":"ES256"`) + "." + parts[1])}},
		{"two members jwk", "proof_malformed", []string{w.sign(again(header, `"jwk":{}`) + "." + parts[1])}},
		{"two members htu", "proof_malformed", []string{w.sign(parts[0] + "." + again(claims, `"htu":"https://x"`))}},
		{"typ JWT", "proof_type", []string{w.proof(m{"typ": "JWT"}, nil)}},
		{"typ at+jwt", "proof_type", []string{w.proof(m{"typ": "at+jwt"}, nil)}},
		{"typ in capitals", "proof_type", []string{w.proof(m{"typ": "DPOP+JWT"}, nil)}},
		{"no typ", "proof_type", []string{w.proof(m{"typ": nil}, nil)}},
		{"alg none", "proof_algorithm", []string{w.proof(m{"alg": "none"}, nil)}},
		{"alg RS256 over an EC key", "proof_algorithm", []string{w.proof(m{"alg": "RS256"}, nil)}},
		{"alg ES384 over a key of P-256", "proof_algorithm", []string{w.proof(m{"alg": "ES384"}, nil)}},
		{"alg EdDSA over an EC key", "proof_algorithm", []string{w.proof(m{"alg": "EdDSA"}, nil)}},
		{"no alg", "proof_malformed", []string{w.proof(m{"alg": nil}, nil)}},
		{"no jwk", "proof_malformed", []string{w.proof(m{"jwk": nil}, nil)}},
		{"a kid", "proof_malformed", []string{w.proof(m{"kid": "k"}, nil)}},
		{"a jku", "proof_malformed", []string{w.proof(m{"jku": "https://evil.example/jwks"}, nil)}},
		{"an x5c", "proof_malformed", []string{w.proof(m{"x5c": []string{"AAAA"}}, nil)}},
		{"crit", "proof_malformed", []string{w.proof(m{"crit": []string{"exp"}}, nil)}},
		{"a jwk that is a string", "proof_key", []string{w.proof(m{"jwk": "x"}, nil)}},
		{"a jwk with its private part", "proof_key", []string{w.proof(with("d", private), nil)}},
		{"a jwk with a certificate", "proof_key", []string{w.proof(with("x5c", []string{"AAAA"}), nil)}},
		{"a jwk for encryption", "proof_key", []string{w.proof(with("use", "enc"), nil)}},
		{"a jwk for another algorithm", "proof_key", []string{w.proof(with("alg", "ES384"), nil)}},
		{"a jwk of another curve", "proof_key", []string{w.proof(with("crv", "P-384"), nil)}},
		{"a jwk that is no point", "proof_key", []string{w.proof(with("x", b64(make([]byte, 32))), nil)}},
		{"a jwk with a number too short", "proof_key", []string{w.proof(with("y", b64(make([]byte, 31))), nil)}},
		{"a jwk of another key", "proof_signature", []string{w.proof(m{"jwk": newWorld(t, nil).jwk()}, nil)}},
		{"an HMAC with the public key", "proof_key", []string{hs256(t, m{"kty": "oct", "k": "c2VjcmV0"})}},
		{"no jti", "proof_malformed", []string{w.proof(nil, m{"jti": nil})}},
		{"an empty jti", "proof_malformed", []string{w.proof(nil, m{"jti": ""})}},
		{"a jti of 300 bytes", "proof_malformed", []string{w.proof(nil, m{"jti": strings.Repeat("j", 300)})}},
		{"a jti that is a number", "proof_malformed", []string{w.proof(nil, m{"jti": 1})}},
		{"no htm", "proof_malformed", []string{w.proof(nil, m{"htm": nil})}},
		{"another method", "proof_method", []string{w.proof(nil, m{"htm": "POST"})}},
		{"the method in small letters", "proof_method", []string{w.proof(nil, m{"htm": "get"})}},
		{"no htu", "proof_malformed", []string{w.proof(nil, m{"htu": nil})}},
		{"another path", "proof_url", []string{w.proof(nil, m{"htu": here + "/1"})}},
		{"another origin", "proof_url", []string{w.proof(nil, m{"htu": strings.Replace(here, "example", "evil", 1)})}},
		{"another scheme", "proof_url", []string{w.proof(nil, m{"htu": strings.Replace(here, "https", "http", 1)})}},
		{"another port", "proof_url", []string{w.proof(nil, m{"htu": strings.Replace(here, ".com", ".com:8443", 1)})}},
		{"a user in the URL", "proof_url", []string{w.proof(nil, m{"htu": strings.Replace(here, "//", "//u@", 1)})}},
		{"a URL that is relative", "proof_url", []string{w.proof(nil, m{"htu": "/api/v1/customers"})}},
		{"no iat", "proof_time", []string{w.proof(nil, m{"iat": nil})}},
		{"an iat that is text", "proof_time", []string{w.proof(nil, m{"iat": "now"})}},
		{"an iat that overflows", "proof_time", []string{w.proof(nil, m{"iat": json.RawMessage("1e300")})}},
		{"an hour old", "proof_time", []string{w.proof(nil, at(-time.Hour))}},
		{"from the next hour", "proof_time", []string{w.proof(nil, at(time.Hour))}},
		{"a second too old", "proof_time", []string{w.proof(nil, at(-2*time.Minute-time.Second))}},
		{"a second too early", "proof_time", []string{w.proof(nil, at(31*time.Second))}},
		{"no ath", "proof_token", []string{w.proof(nil, m{"ath": nil})}},
		{"the ath of another token", "proof_token", []string{w.proof(nil, m{"ath": hash("other")})}},
		{"an ath that is null", "proof_malformed", []string{w.proof(nil, m{"ath": json.RawMessage("null")})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := w.check(tt.proofs...)
			if !errors.Is(err, dpop.ErrInvalidProof) || cause(err) != tt.cause {
				t.Fatalf("got %v, %q; want %q", err, cause(err), tt.cause)
			}
		})
	}
	if err := w.check(w.proof(m{"tx": 1}, nil)); err != nil {
		t.Errorf("a member of somebody's in the header: %v", err)
	}
	for name, claims := range map[string]m{
		"as old as may be":      at(-2 * time.Minute),
		"as early as may be":    at(30 * time.Second),
		"a fraction in iat":     {"iat": float64(w.now.Unix()) + 0.25},
		"a claim of somebody's": {"tx": 1},
		"another spelling":      {"htu": "HTTPS://API.Example.com:443/api/./v1/x/../%63ustomers?page=1#top"},
	} {
		if err := w.check(w.proof(nil, claims)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func segmentText(t *testing.T, segment string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func hs256(t *testing.T, key m) string {
	t.Helper()
	signed := segment(t, m{"typ": "dpop+jwt", "alg": "HS256", "jwk": key}) + "." + segment(t, m{"jti": "1", "htm": "GET", "htu": here, "iat": 1_800_000_000})
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(signed))
	return signed + "." + b64(mac.Sum(nil))
}

func TestEachTypeOfKeyHasItsAlgorithm(t *testing.T) {
	w := newWorld(t, nil)
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	exponent := big.NewInt(int64(rs.E)).Bytes()
	edKey := m{"kty": "OKP", "crv": "Ed25519", "x": b64(edPublic)}
	rsaKey := m{"kty": "RSA", "n": b64(rs.N.Bytes()), "e": b64(exponent)}
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	for _, tt := range []struct {
		name string
		alg  string
		jwk  m
		sign func(signed []byte) ([]byte, error)
		good bool
	}{
		{"EdDSA by Ed25519", "EdDSA", edKey, func(b []byte) ([]byte, error) { return ed.Sign(rand.Reader, b, crypto.Hash(0)) }, true},
		{"EdDSA by its newer name", "Ed25519", edKey, func(b []byte) ([]byte, error) { return ed.Sign(rand.Reader, b, crypto.Hash(0)) }, true},
		{"PS256 by RSA", "PS256", rsaKey, func(b []byte) ([]byte, error) { d := sha256.Sum256(b); return rs.Sign(rand.Reader, d[:], pss) }, true},
		{"RS256 by RSA", "RS256", rsaKey, func(b []byte) ([]byte, error) {
			d := sha256.Sum256(b)
			return rs.Sign(rand.Reader, d[:], crypto.SHA256)
		}, false},
		{"RS256 called PS256", "PS256", rsaKey, func(b []byte) ([]byte, error) {
			d := sha256.Sum256(b)
			return rs.Sign(rand.Reader, d[:], crypto.SHA256)
		}, false},
		{"an RSA key with a leading zero", "PS256", m{"kty": "RSA", "n": b64(append([]byte{0}, rs.N.Bytes()...)), "e": b64(exponent)}, func(b []byte) ([]byte, error) { d := sha256.Sum256(b); return rs.Sign(rand.Reader, d[:], pss) }, false},
		{"an RSA key with exponent 1", "PS256", m{"kty": "RSA", "n": b64(rs.N.Bytes()), "e": "AQ"}, func(b []byte) ([]byte, error) { return nil, nil }, false},
		{"an RSA key of 512 bits", "PS256", m{"kty": "RSA", "n": b64(rs.N.Bytes()[:64]), "e": b64(exponent)}, func(b []byte) ([]byte, error) { return nil, nil }, false},
		{"an RSA key of 8 KB", "PS256", m{"kty": "RSA", "n": strings.Repeat("A", 8<<10), "e": b64(exponent)}, func(b []byte) ([]byte, error) { return nil, nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed := segment(t, m{"typ": "dpop+jwt", "alg": tt.alg, "jwk": tt.jwk}) + "." +
				segment(t, m{"jti": rand.Text(), "htm": "GET", "htu": here, "iat": w.now.Unix(), "ath": hash(token)})
			signature, err := tt.sign([]byte(signed))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.check(signed + "." + b64(signature)); (err == nil) != tt.good {
				t.Fatal(err)
			}
		})
	}
}

func TestAProofIsGoodOnce(t *testing.T) {
	w := newWorld(t, nil)
	proof := w.proof(nil, nil)
	if err := w.check(proof); err != nil {
		t.Fatal(err)
	}
	if err := w.check(proof); cause(err) != "proof_replayed" {
		t.Fatalf("again: %v", err)
	}
	// Until nobody would take it any more for its age.
	w.now = w.now.Add(2 * time.Minute)
	if err := w.check(proof); cause(err) != "proof_replayed" {
		t.Fatalf("at the last moment: %v", err)
	}
	if err := w.check(w.proof(nil, m{"jti": "mine"})); err != nil {
		t.Fatal(err)
	}
	other := newWorld(t, nil)
	other.now, other.checker = w.now, w.checker
	if err := other.check(other.proof(nil, m{"jti": "mine"})); err != nil {
		t.Fatalf("another key's proof with the same id: %v", err)
	}
}

func TestOfManyWithOneProofOneIsLetIn(t *testing.T) {
	w := newWorld(t, nil)
	proof := w.proof(nil, nil)
	var in atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if w.check(proof) == nil {
				in.Add(1)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Fatalf("%d were let in", in.Load())
	}
}

func TestAProofByAnotherKeyThanTheTokensIsNotRemembered(t *testing.T) {
	w := newWorld(t, nil)
	request := dpop.Request{Proofs: []string{w.proof(nil, nil)}, Method: "GET", URLs: []string{here}, AccessToken: token, Thumbprint: hash("other")}
	if _, err := w.checker.Check(t.Context(), request); cause(err) != "proof_key" {
		t.Fatal(err)
	}
	if err := w.check(request.Proofs...); err != nil {
		t.Fatalf("after the refusal: %v", err)
	}
}

type down struct{}

func (down) Use(context.Context, string, time.Time) (bool, error) {
	return true, errors.New("no route")
}

func TestNobodyIsLetInWhileUsedProofsCannotBeLookedUp(t *testing.T) {
	w := newWorld(t, nil)
	var err error
	if w.checker, err = dpop.New(dpop.Config{Replays: down{}, Now: func() time.Time { return w.now }}); err != nil {
		t.Fatal(err)
	}
	if err := w.check(w.proof(nil, nil)); !errors.Is(err, dpop.ErrCannotCheck) || errors.Is(err, dpop.ErrInvalidProof) {
		t.Fatal(err)
	}
}

func TestMemoryForgetsNothingBeforeItsTimeAndEverythingAfter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	memory := dpop.NewMemory(2, func() time.Time { return now })
	use := func(key string, want bool, wantErr error) {
		t.Helper()
		got, err := memory.Use(t.Context(), key, now.Add(time.Minute))
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("%s: %v, %v", key, got, err)
		}
	}
	use("a", true, nil)
	use("b", true, nil)
	use("c", false, dpop.ErrFull)
	use("a", false, nil)
	now = now.Add(3 * time.Minute)
	use("c", true, nil)
	use("d", true, nil)
}

func TestANonceIsAcceptedInItsSlotAndTheNext(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	nonces, err := dpop.NewNonces(time.Minute, key)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nonces)
	for name, nonce := range map[string]any{"none": nil, "a stranger's": "x", "that of other keys": foreignNonce(t, w.now)} {
		if err := w.check(w.proof(nil, m{"nonce": nonce})); !errors.Is(err, dpop.ErrUseNonce) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nonce := w.checker.Nonce()
	check := func(renew bool, wantErr error) {
		t.Helper()
		got, err := w.checker.Check(t.Context(), dpop.Request{
			Proofs: []string{w.proof(nil, m{"nonce": nonce})}, Method: "GET", URLs: []string{"https://api.example.com/other", here}, AccessToken: token,
		})
		if !errors.Is(err, wantErr) || got.RenewNonce != renew {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	check(false, nil)
	w.now = w.now.Add(time.Minute)
	check(true, nil)
	w.now = w.now.Add(time.Minute)
	check(false, dpop.ErrUseNonce)

	// A replica with a new key goes on accepting what the others give out.
	rotated, err := dpop.NewNonces(time.Minute, []byte(strings.Repeat("n", 32)), key)
	if err != nil {
		t.Fatal(err)
	}
	nonce = w.checker.Nonce()
	now := w.now
	w = newWorld(t, rotated)
	w.now = now
	check(true, nil)
}

func foreignNonce(t *testing.T, now time.Time) string {
	t.Helper()
	nonces, err := dpop.NewNonces(time.Minute, []byte(strings.Repeat("f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nonces)
	w.now = now
	return w.checker.Nonce()
}

func TestProofsOfAKeyAreGood(t *testing.T) {
	w := newWorld(t, nil)
	key, err := dpop.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key.Now = func() time.Time { return w.now }
	proof, err := key.Proof(dpop.Target{Method: "GET", URL: here + "?page=2", AccessToken: token})
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.checker.Check(t.Context(), dpop.Request{
		Proofs: []string{proof}, Method: "GET", URLs: []string{here}, AccessToken: token, Thumbprint: key.Thumbprint(),
	})
	if err != nil || got.ID == "" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(tokenEndpointProof)
	f.Add(resourceProof)
	now := func() time.Time { return time.Unix(1562262616, 0) }
	c, err := dpop.New(dpop.Config{Replays: dpop.NewMemory(1<<20, now), Now: now})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, proof string) {
		got, err := c.Check(t.Context(), dpop.Request{Proofs: []string{proof}, Method: "POST", URLs: []string{"https://server.example.com/token"}})
		if err == nil && got.Thumbprint != rfcThumbprint {
			t.Fatalf("a forgery: %q", proof)
		}
	})
}

// BenchmarkCheck is one proof of ES256, with what surrounds the signature.
func BenchmarkCheck(b *testing.B) {
	key, err := dpop.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	nonces, err := dpop.NewNonces(time.Minute, make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	c, err := dpop.New(dpop.Config{Replays: everFirst{}, Nonces: nonces})
	if err != nil {
		b.Fatal(err)
	}
	proof, err := key.Proof(dpop.Target{Method: "GET", URL: here, AccessToken: token, Nonce: c.Nonce()})
	if err != nil {
		b.Fatal(err)
	}
	request := dpop.Request{Proofs: []string{proof}, Method: "GET", URLs: []string{here}, AccessToken: token, Thumbprint: key.Thumbprint()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Check(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

type everFirst struct{}

func (everFirst) Use(context.Context, string, time.Time) (bool, error) { return true, nil }
