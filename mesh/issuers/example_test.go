package issuers_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
)

const file = `
- name: acme
  issuer: https://id.acme.example/realms/staff
  jwks-url: https://localhost:1/keys
  audiences: [greeter]
  scopes: {allow: [greet]}
- name: bolt
  issuer: https://login.bolt.example
  jwks-url: https://localhost:1/keys
  audiences: [greeter]
`

// A service trusts whom a file names, and nobody else. A part of a mesh gives the same to package member as Others.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	trusted, err := trustedBy(ctx, file)
	if err != nil {
		fmt.Println(err) // one line for each thing that is wrong
		return
	}
	verifier, err := issuers.New(issuers.Config{Trusted: trusted}) // the Verifier of mesh.ServerConfig
	if err != nil {
		fmt.Println(err)
		return
	}
	// Then verifier.Run(ctx) beside the server keeps their keys fresh.

	for _, issuer := range []string{"https://id.acme.example/realms/staff", "https://evil.example"} {
		_, err := verifier.Verify(ctx, token(`{"iss":"`+issuer+`"}`))
		fmt.Println(issuer, "is looked up:", errors.Is(err, mesh.ErrCannotVerify))
	}
	// Output:
	// https://id.acme.example/realms/staff is looked up: true
	// https://evil.example is looked up: false
}

// trustedBy is issuerfile.Read of the file that is mounted, and Open of what it says.
func trustedBy(ctx context.Context, text string) ([]issuers.Trusted, error) {
	dir, err := os.MkdirTemp("", "issuers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "issuers.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	list, err := issuerfile.Read(path, false)
	if err != nil {
		return nil, err
	}
	return issuerfile.Open(ctx, list, slog.New(slog.DiscardHandler), nil)
}

// token has the form of an access token, and no signature that anybody made.
func token(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"ES256","kid":"1","typ":"at+jwt"}`)) + "." + part([]byte(claims)) + "." + part(make([]byte, 64))
}
