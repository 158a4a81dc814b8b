package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/services/token/oauth"
)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// set is a JWK Set.
func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// handmadeRSA is a key that the standard library would not make, nor sign with. d is nil where nobody knows it.
type handmadeRSA struct{ n, e, d *big.Int }

// newRSA makes a key of two primes.
func newRSA(t *testing.T, bits int, prime func(bits int) (*big.Int, error)) handmadeRSA {
	t.Helper()
	one := big.NewInt(1)
	k := handmadeRSA{e: big.NewInt(65537)}
	for k.d == nil || k.n.BitLen() < 2*bits {
		p, err := prime(bits)
		if err != nil {
			t.Fatal(err)
		}
		q, err := prime(bits)
		if err != nil {
			t.Fatal(err)
		}
		k.n = new(big.Int).Mul(p, q)
		k.d = new(big.Int).ModInverse(k.e, p.Mul(p.Sub(p, one), q.Sub(q, one)))
	}
	return k
}

func randomPrime(bits int) (*big.Int, error) { return rand.Prime(rand.Reader, bits) }

// brokenPrime is one as the broken generator made them: a multiple of M, the product of small primes, and 65537^a mod M
// (ROCA, CVE-2017-15361).
func brokenPrime(bits int) (*big.Int, error) {
	m := big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(20) {
			m.Mul(m, big.NewInt(p))
		}
	}
	most := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	most.Div(most, m)
	for {
		a, err := rand.Int(rand.Reader, m)
		if err != nil {
			return nil, err
		}
		k, err := rand.Int(rand.Reader, new(big.Int).Rsh(most, 2))
		if err != nil {
			return nil, err
		}
		k.Sub(most, k.Add(k, big.NewInt(1))) // in the upper fourth, so that two make a modulus of full length
		if p := k.Mul(k, m).Add(k, a.Exp(big.NewInt(65537), a, m)); p.ProbablyPrime(10) {
			return p, nil
		}
	}
}

func (k handmadeRSA) jwk() string {
	return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q}`, b64(k.n.Bytes()), b64(k.e.Bytes()))
}

// rs256 signs as RFC 8017, section 8.2.1, says. Where the exponent is one, the signature is what is signed.
func (k handmadeRSA) rs256(t *testing.T, payload any) string {
	t.Helper()
	encoded, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	signed := b64([]byte(`{"alg":"RS256"}`)) + "." + b64(encoded)
	digest := sha256.Sum256([]byte(signed))
	prefix, _ := hex.DecodeString("003031300d060960864801650304020105000420") // a zero, and that this is SHA-256
	tail := append(prefix, digest[:]...)
	size := (k.n.BitLen() + 7) / 8
	block := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-2-len(tail))...)
	number := new(big.Int).SetBytes(append(block, tail...))
	if k.d != nil {
		number.Exp(number, k.d, k.n)
	}
	return signed + "." + b64(number.FillBytes(make([]byte, size)))
}

// TestAWeakKeyProvesNothingWhereverItCameFrom puts keys where a registration would never have let them, and signs with each
// what is good in every other way. The first shows that this would do.
func TestAWeakKeyProvesNothingWhereverItCameFrom(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h := newKeyHolder(t, "holder")
		h.ensure(s)
		sound, small := newRSA(t, 1024, randomPrime), newRSA(t, 256, randomPrime)
		anyone := handmadeRSA{n: sound.n, e: big.NewInt(1)}
		for _, tt := range []struct {
			name string
			key  handmadeRSA
			set  string
			good bool
		}{
			{"a sound key", sound, set(sound.jwk()), true},
			{"512 bits", small, set(small.jwk()), false},
			{"1024 bits", newRSA(t, 512, randomPrime), "", false},
			{"the exponent one, by which all can sign", anyone, set(anyone.jwk()), false},
			{"the broken generator", newRSA(t, 1024, brokenPrime), "", false},
			{"a weak key, beside a good one", small, set(strings.Replace(small.jwk(), "{", `{"kid":"a",`, 1), strings.Replace(sound.jwk(), "{", `{"kid":"b",`, 1)), false},
			{"an address where the keys would be", sound, `{"jwks_uri":"https://client.example.com/jwks"}`, false},
			{"the sound key again", sound, set(sound.jwk()), true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if tt.set == "" {
					tt.set = set(tt.key.jwk())
				}
				if _, err := s.db.Exec(t.Context(), `UPDATE clients SET jwks = $1 WHERE id = $2`, tt.set, h.id); err != nil {
					t.Fatal(err)
				}
				got := s.post("/oauth2/token", "", "", with(s.logs.secret(tt.key.rs256(t, h.claims(s)))))
				if tt.good {
					if got.status != http.StatusOK {
						t.Errorf("%d %s", got.status, got.body)
					}
					return
				}
				refused(t, got, http.StatusUnauthorized, "invalid_client")
			})
		}
	})
}

// TestKeysThatProveNothingAreNotRegistered tries sets that a client could bring.
func TestKeysThatProveNothingAreNotRegistered(t *testing.T) {
	rsaKey := func(n *big.Int, e int64) string { return handmadeRSA{n: n, e: big.NewInt(e)}.jwk() }
	odd := func(bits uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.Add(n, big.NewInt(4221)) // of no particular form
	}
	h := newKeyHolder(t, "holder")
	one := func(kid string) string {
		public, _ := jwk.FromRaw(h.private[kid].Public())
		raw, _ := json.Marshal(public)
		return string(raw)
	}
	private, _ := jwk.FromRaw(h.private["ec"])
	secretEC, _ := json.Marshal(private)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	public384, _ := jwk.FromRaw(p384.Public())
	large, _ := json.Marshal(public384)
	client := func(jwks string) error {
		c := oauth.Client{ID: "c", Name: "C", Kind: oauth.KindApplication, Grants: []string{"client_credentials"}, JWKS: jwks}
		return c.Validate()
	}
	weak := map[string]string{
		"no set":                        `[]`,
		"no keys":                       `{}`,
		"an empty set":                  set(),
		"one key outside of a set":      one("ec"),
		"an address of keys":            `{"jwks_uri":"https://client.example.com/keys"}`,
		"a set twice":                   `{"keys":[],"keys":[` + one("ec") + `]}`,
		"more after the set":            set(one("ec")) + `x`,
		"nine keys":                     set(strings.Split(strings.Repeat(one("ec")+"|", 9), "|")[:9]...),
		"two keys without ids":          set(one("ec"), one("ed")),
		"a private key":                 set(string(secretEC)),
		"a shared key":                  set(`{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}`),
		"a curve of no algorithm here":  set(string(large)),
		"a point that is not on it":     set(`{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`),
		"X25519":                        set(`{"kty":"OKP","crv":"X25519","x":"` + b64(bytes.Repeat([]byte{9}, 32)) + `"}`),
		"RSA of 512 bits":               set(rsaKey(odd(512), 65537)),
		"RSA of 1024 bits":              set(rsaKey(odd(1024), 65537)),
		"RSA of 16384 bits":             set(rsaKey(odd(16384), 65537)),
		"RSA with the exponent one":     set(rsaKey(odd(2048), 1)),
		"RSA with the exponent three":   set(rsaKey(odd(2048), 3)),
		"RSA with an even exponent":     set(rsaKey(odd(2048), 65538)),
		"RSA with a huge exponent":      set(rsaKey(odd(2048), 1<<40+1)),
		"RSA with an even modulus":      set(rsaKey(new(big.Int).Add(odd(2048), big.NewInt(1)), 65537)),
		"RSA of the broken generator":   set(rsaKey(newRSA(t, 1024, brokenPrime).n, 65537)),
		"a key to encrypt with":         set(strings.Replace(one("ec"), "{", `{"use":"enc",`, 1)),
		"an algorithm of another type":  set(strings.Replace(one("ec"), "{", `{"alg":"RS256",`, 1)),
		"an algorithm that is a secret": set(strings.Replace(one("rsa"), "{", `{"alg":"HS256",`, 1)),
	}
	for name, bad := range weak {
		var metadata *oauth.MetadataError
		if err := client(bad); err == nil {
			t.Errorf("%s is registered", name)
		} else if metadata, _ = err.(*oauth.MetadataError); metadata == nil || metadata.Field != "jwks" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, good := range []string{set(one("ec")), set(one("rsa")), set(one("ed")), h.jwks} {
		if err := client(good); err != nil {
			t.Errorf("%v: %s", err, good)
		}
	}
	oneStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		create := func(jwks string) error {
			_, err := a.admin.CreateClient(a.ctx, &tokenv1.CreateClientRequest{Name: "Reports", GrantTypes: []string{"client_credentials"}, Scopes: []string{"customer.read"}, Jwks: jwks})
			return err
		}
		if err := create(set(one("ec"))); err != nil {
			t.Fatalf("a good key: %v", err)
		}
		listed := func() int {
			all, err := a.admin.ListClients(a.ctx, &tokenv1.ListClientsRequest{PageSize: 100})
			if err != nil {
				t.Fatal(err)
			}
			return len(all.GetClients())
		}
		before := listed()
		kept, err := a.admin.CreateClient(a.ctx, &tokenv1.CreateClientRequest{Name: "Ledger", GrantTypes: []string{"client_credentials"}, Jwks: set(one("ec"))})
		if err != nil {
			t.Fatal(err)
		}
		before++
		change := func(jwks string) error {
			_, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{
				Client:     &tokenv1.Client{ClientId: kept.GetClient().GetClientId(), Jwks: jwks},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"jwks"}},
			})
			return err
		}
		for name, bad := range weak {
			if err := create(bad); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "jwks") {
				t.Errorf("%s by an admin: %v", name, err)
			}
			if err := change(bad); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "jwks") {
				t.Errorf("%s in the place of a good one: %v", name, err)
			}
		}
		if after := listed(); after != before {
			t.Errorf("%d clients became %d", before, after)
		}
		got, err := a.admin.GetClient(a.ctx, &tokenv1.GetClientRequest{ClientId: kept.GetClient().GetClientId()})
		if err != nil || got.GetClient().GetJwks() != kept.GetClient().GetJwks() {
			t.Errorf("the keys of a client became %s, %v", got.GetClient().GetJwks(), err)
		}
	})
}
