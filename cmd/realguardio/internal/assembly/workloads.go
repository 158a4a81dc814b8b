package assembly

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/gateway/bff"
	"github.com/realguardio/realguardio/services/token"
)

// Secrets are what the parts authenticate with at the issuer, by client id.
type Secrets map[string]string

// SecretFile is where the secret of a client is kept in a folder.
func SecretFile(dir, client string) string { return filepath.Join(dir, client+"-client-secret") }

// EnsureClients registers a client for every part, and the one by which people sign in to the gateway at publicURL.
// Their secrets are kept in files of dir, made at the first call; repeating it changes nothing.
func (r *Registry) EnsureClients(ctx context.Context, dir, publicURL string) (Secrets, error) {
	secrets := Secrets{}
	specs := []token.ClientSpec{WebClientOf(publicURL)}
	for _, part := range Names {
		specs = append(specs, token.ClientSpec{
			ID: part, Name: "RealGuardIO " + part, Kind: token.Workload, Grants: []string{"client_credentials"}, FirstParty: true,
		})
	}
	for _, spec := range specs {
		secret, err := ensureSecret(SecretFile(dir, spec.ID))
		if err != nil {
			return nil, err
		}
		spec.Secret, secrets[spec.ID] = secret, secret
		if _, err := r.EnsureClient(ctx, spec); err != nil {
			return nil, fmt.Errorf("register the client %s: %w", spec.ID, err)
		}
	}
	return secrets, nil
}

// WebClientOf describes the client by which people sign in to the gateway at publicURL.
func WebClientOf(publicURL string) token.ClientSpec {
	publicURL = strings.TrimSuffix(publicURL, "/")
	return token.ClientSpec{
		ID: WebClient, Name: "RealGuardIO", FirstParty: true, Grants: []string{"authorization_code", "refresh_token"},
		RedirectURIs: []string{publicURL + bff.CallbackPath}, PostLogoutURIs: []string{publicURL + "/"}, Scopes: WebScopes,
	}
}

// ensureSecret returns the secret in a file, made when there is none.
func ensureSecret(path string) (string, error) {
	content, err := os.ReadFile(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(content)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cannot read secret file: %w", err)
	}
	secret := "rgs_" + rand.Text() + rand.Text()
	return secret, keyfile.WriteNew(path, secret+"\n")
}
