package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// BenchmarkVerify compares the verification of a token that was never seen (strict reading, claims and all) with the
// check of one ES256 signature by the standard library, in CPU time.
func BenchmarkVerify(b *testing.B) {
	const tokens = 400
	iss := meshtest.NewIssuer(b)
	fresh := tokensOf(b, iss, tokens)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte(fresh[0]))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	ours := func(ctx context.Context) (float64, error) {
		v, err := jwt.New(ctx, jwt.Config{Issuer: iss.URL, Audiences: []string{meshtest.Audience}}) // one that has seen nothing
		if err != nil {
			return 0, err
		}
		before := selfCPU()
		for _, token := range fresh {
			if _, err := v.Verify(ctx, token); err != nil {
				return 0, err
			}
		}
		return (selfCPU() - before) / tokens, nil
	}
	bare := func(context.Context) (float64, error) {
		before := selfCPU()
		for range tokens {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Error("the bare signature does not verify")
			}
		}
		return (selfCPU() - before) / tokens, nil
	}
	compare(b, "CPU s", ours, bare, "at most 1.5 at the upper end", atMost(1.5))
}
