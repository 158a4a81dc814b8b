package assembly

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/gateway/bff"
	"github.com/realguardio/realguardio/services/token"
)

// Secrets are what the parts authenticate with at the issuer, by client id.
type Secrets map[string]string

// SecretFile is where the secret of a client is kept in a folder.
func SecretFile(dir, client string) string { return filepath.Join(dir, client+"-client-secret") }

// clientSpecs are a client for every part, and the one by which people sign in to the gateway at publicURL.
func clientSpecs(publicURL string) []token.ClientSpec {
	specs := []token.ClientSpec{WebClientOf(publicURL)}
	for _, part := range Names {
		specs = append(specs, token.ClientSpec{
			ID: part, Name: "RealGuardIO " + part, Kind: token.Workload, FirstParty: true,
			Grants: []string{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
		})
	}
	return specs
}

// EnsureClients registers a client for every part, and those by which people sign in to the gateway at publicURL and on the
// command line. Their secrets are kept in files of dir, made where they are missing. Clients that are registered already become what
// the files and publicURL say: [Registry.CheckClients] tells beforehand.
func (r *Registry) EnsureClients(ctx context.Context, dir, publicURL string) (Secrets, error) {
	secrets := Secrets{}
	for _, spec := range clientSpecs(publicURL) {
		secret, err := ensureSecret(SecretFile(dir, spec.ID))
		if err != nil {
			return nil, err
		}
		spec.Secret, secrets[spec.ID] = secret, secret
		if _, err := r.EnsureClient(ctx, spec); err != nil {
			return nil, fmt.Errorf("register the client %s: %w", spec.ID, err)
		}
	}
	if _, err := r.EnsureClient(ctx, CommandLine()); err != nil {
		return nil, fmt.Errorf("register the client %s: %w", CLIClient, err)
	}
	return secrets, nil
}

// CLIClient is by which people sign in on the command line.
const CLIClient = "realguardio-cli"

// CommandLine describes it. It is in everybody's hands, and so has no secret.
func CommandLine() token.ClientSpec {
	return token.ClientSpec{
		ID: CLIClient, Name: "RealGuardIO command line", Public: true, FirstParty: true, Scopes: WebScopes,
		Grants: []string{"urn:ietf:params:oauth:grant-type:device_code", "refresh_token"},
	}
}

// Differences are what EnsureClients would change of clients that are registered already.
type Differences struct {
	// Secrets says for each client why its secret would be replaced.
	Secrets []error
	// PublicURL is nil, or says where sign-ins return to now.
	PublicURL error
}

// CheckClients tells what EnsureClients would change, and changes nothing.
func (r *Registry) CheckClients(ctx context.Context, dir, publicURL string) (Differences, error) {
	var d Differences
	for _, spec := range clientSpecs(publicURL) {
		known, found, err := r.RegisteredClient(ctx, spec.ID)
		if err != nil {
			return Differences{}, err
		}
		if !found {
			continue
		}
		path := SecretFile(dir, spec.ID)
		switch secret, err := readSecret(path); {
		case errors.Is(err, fs.ErrNotExist):
			d.Secrets = append(d.Secrets, fmt.Errorf("the client %s is registered already, and its secret is not in %s", spec.ID, path))
		case err != nil:
			return Differences{}, err
		case !known.HasSecret(secret):
			d.Secrets = append(d.Secrets, fmt.Errorf("the client %s is registered already, with another secret than that in %s", spec.ID, path))
		}
		if spec.ID == WebClient && !slices.Equal(known.RedirectURIs, spec.RedirectURIs) {
			d.PublicURL = fmt.Errorf("the client %s is registered already, and returns to %s", spec.ID, strings.Join(known.RedirectURIs, " "))
		}
	}
	return d, nil
}

// ForgetSecrets removes the files in dir with the secrets of the clients, so that EnsureClients makes new ones.
func ForgetSecrets(dir string) error {
	for _, spec := range clientSpecs("") {
		if err := os.Remove(SecretFile(dir, spec.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot replace a secret file: %w", err)
		}
	}
	return nil
}

// WebClientOf describes the client by which people sign in to the gateway at publicURL.
func WebClientOf(publicURL string) token.ClientSpec {
	publicURL = strings.TrimSuffix(publicURL, "/")
	return token.ClientSpec{
		ID: WebClient, Name: "RealGuardIO", FirstParty: true, Grants: []string{"authorization_code", "refresh_token"},
		RedirectURIs: []string{publicURL + bff.CallbackPath}, PostLogoutURIs: []string{publicURL + "/"}, Scopes: WebScopes,
		BackchannelLogoutURI: publicURL + bff.BackchannelLogoutPath,
	}
}

// ensureSecret returns the secret in a file, made when there is none.
func ensureSecret(path string) (string, error) {
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = "rgs_" + rand.Text() + rand.Text()
	return secret, keyfile.WriteNew(path, secret+"\n")
}

func readSecret(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read secret file: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}
