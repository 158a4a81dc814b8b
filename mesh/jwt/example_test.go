package jwt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/realguardio/realguardio/mesh/jwt"
)

// A token is verified by the issuer's keys, which are fetched once and refreshed by Run, and not by asking the issuer.
func Example() {
	key, published := newIssuerKey()
	ctx := context.Background()
	verifier, err := jwt.New(ctx, jwt.Config{
		Issuer: "https://id.example.com", Audiences: []string{"urn:example:greeter"},
		Keys: func(context.Context) ([]byte, error) { return published, nil }, // without it: by discovery, over HTTPS
	})
	if err != nil {
		log.Fatal(err)
	}
	header := jws.NewHeaders()
	_ = header.Set(jws.TypeKey, "at+jwt")
	now := time.Now()
	token, err := jws.Sign(fmt.Appendf(nil, `{"iss":"https://id.example.com","aud":"urn:example:greeter","sub":"u-alice",
		"client_id":"web","jti":"t1","iat":%d,"exp":%d,"scope":"greet"}`, now.Unix(), now.Add(time.Minute).Unix()),
		jws.WithKey(jwa.ES256, key, jws.WithProtectedHeaders(header)))
	if err != nil {
		log.Fatal(err)
	}

	caller, err := verifier.Verify(ctx, string(token))
	fmt.Println(caller, caller.Scopes, err)

	unsigned := string(token[:strings.LastIndexByte(string(token), '.')+1])
	_, err = verifier.Verify(ctx, unsigned)
	fmt.Println("without its signature it is refused:", err != nil)
	// Output:
	// user u-alice via web [greet] <nil>
	// without its signature it is refused: true
}

// newIssuerKey makes what is the issuer's: a key, and the JWK set with its public half.
func newIssuerKey() (jwk.Key, []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		log.Fatal(err)
	}
	_ = key.Set(jwk.KeyIDKey, "key-1")
	public, err := key.PublicKey()
	if err != nil {
		log.Fatal(err)
	}
	published, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		log.Fatal(err)
	}
	return key, published
}
