package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh/dpop"
)

func newDPoPProof(w World) *cobra.Command {
	var keyFile, tokenFile, nonce string
	c := &cobra.Command{
		Use:   "dpop-proof METHOD URL",
		Short: "Print a proof for one request with a token that is bound to a key",
		Long: `Print a proof that whoever sends a request holds the key that its token is bound to (DPoP, RFC 9449), for curl and grpcurl. It is good
for that request, once, within two minutes. Of gRPC the method is POST, and the URL https://ADDRESS/package.Service/Method.
An answer that refuses it as USE_DPOP_NONCE has a nonce in DPoP-Nonce, which the next one names by --nonce.`,
		Example: `  realguardio access-token --client demo-service --dpop-key dpop.pem > token
  curl http://localhost:8080/api/securitysystems -H "Authorization: DPoP $(cat token)" \
    -H "DPoP: $(realguardio dpop-proof GET http://localhost:8080/api/securitysystems --dpop-key dpop.pem --token-file token --nonce "$NONCE")"`,
		Args: request,
	}
	declare := func(s *settings.Set) {
		s.String(&keyFile, "dpop-key", "file of the key, as access-token made it", settings.Required, settings.File)
		s.String(&tokenFile, "token-file", "file with the access token that goes with it", settings.Required, settings.File)
		s.String(&nonce, "nonce", "DPoP-Nonce of the answer that asked for one")
	}
	return command(w, c, "", declare, func(c *cobra.Command, args []string) error {
		key, err := readDPoPKey(keyFile)
		if err != nil {
			return err
		}
		token, err := settings.Secret(tokenFile)
		if err != nil {
			return err
		}
		proof, err := key.Proof(dpop.Target{Method: args[0], URL: args[1], AccessToken: token, Nonce: nonce})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), proof)
		return err
	})
}

// request wants a method and a URL. Methods are told apart by case (RFC 9110, section 9.1), and curl sends them in capitals: a
// proof for "get" is made as easily, and good for nothing.
func request(c *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(2)(c, args); err != nil {
		return err
	}
	if args[0] == "" || strings.ContainsFunc(args[0], func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return fmt.Errorf("%q must be an HTTP method in capitals, such as GET", args[0])
	}
	return nil
}

// ensureDPoPKey is readDPoPKey of a file that is made, mode 0600, where it is not there.
func ensureDPoPKey(path string) (*dpop.Key, error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return readDPoPKey(path)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	if err := keyfile.WriteNew(path, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))); err != nil {
		return nil, err
	}
	return dpop.NewKey(private)
}

// readDPoPKey reads a P-256 key in PEM (PKCS #8).
func readDPoPKey(path string) (*dpop.Key, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM", path)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s holds no PKCS #8 key", path) // the cause may tell of its content
	}
	key, err := dpop.NewKey(private)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
