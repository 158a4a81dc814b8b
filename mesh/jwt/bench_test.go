package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	mathrand "math/rand/v2"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"

	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func benchVerifier(b *testing.B, key crypto.Signer) *jwt.Verifier {
	b.Helper()
	document := set(b, public(b, key, "k"))
	v, err := jwt.New(b.Context(), jwt.Config{
		Issuer: "https://iss", Audiences: []string{meshtest.Audience}, CacheSize: 1,
		Keys: func(context.Context) ([]byte, error) { return document, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// BenchmarkVerifyHit is a token that is remembered.
func BenchmarkVerifyHit(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	v, token := benchVerifier(b, key), sign(b, jwa.ES256, key, "k")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyMiss is a token that is not, to be held against BenchmarkBareSignature.
func BenchmarkVerifyMiss(b *testing.B) {
	ec := ecKey(b, elliptic.P256())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for alg, key := range map[jwa.SignatureAlgorithm]crypto.Signer{jwa.ES256: ec, jwa.RS256: rsaKey(b, 2048), jwa.EdDSA: ed} {
		b.Run(alg.String(), func(b *testing.B) {
			v := benchVerifier(b, key)
			// More tokens than the cache holds in all its shards, so that each is verified again.
			tokens := make([]string, 512)
			for i := range tokens {
				tokens[i] = sign(b, alg, key, "k")
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if _, err := v.Verify(b.Context(), tokens[i%len(tokens)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBareSignature is ecdsa.VerifyASN1 alone.
func BenchmarkBareSignature(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	digest := sha256.Sum256([]byte("token"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			b.Fatal("bad")
		}
	}
}

// BenchmarkVerifyManyHits is ten thousand tokens in random order, with the cache as it is by default.
func BenchmarkVerifyManyHits(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	document := set(b, public(b, key, "k"))
	v, err := jwt.New(b.Context(), jwt.Config{
		Issuer: "https://iss", Audiences: []string{meshtest.Audience},
		Keys: func(context.Context) ([]byte, error) { return document, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	tokens := make([]string, 10_000)
	for i := range tokens {
		tokens[i] = sign(b, jwa.ES256, key, "k")
		if _, err := v.Verify(b.Context(), tokens[i]); err != nil {
			b.Fatal(err)
		}
	}
	before := v.Stats()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := v.Verify(b.Context(), tokens[mathrand.IntN(len(tokens))]); err != nil {
			b.Fatal(err)
		}
	}
	after := v.Stats()
	hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
	b.ReportMetric(float64(hits)/float64(hits+misses), "hits/op")
}
