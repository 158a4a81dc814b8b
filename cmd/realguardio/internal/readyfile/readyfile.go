// Package readyfile is the JSON by which `realguardio dev` tells scripts where everything is, so that none has to read
// the banner.
package readyfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is what a script can know. It holds secrets of the demo.
type File struct {
	// Gateway, Issuer and Outbox are base URLs.
	Gateway string `json:"gateway"`
	Issuer  string `json:"issuer"`
	Outbox  string `json:"outbox"`
	// CAFile verifies every certificate; ClientCertFile and ClientKeyFile open a connection to a part itself.
	CAFile         string `json:"ca_file"`
	ClientCertFile string `json:"client_cert_file"`
	ClientKeyFile  string `json:"client_key_file"`
	// GRPC and Ops give host:port and base URL by part.
	GRPC    map[string]string `json:"grpc"`
	Ops     map[string]string `json:"ops"`
	Users   []User            `json:"users"`
	Clients []Client          `json:"clients"`
	APIKeys []APIKey          `json:"api_keys"`
}

// User is a demo account.
type User struct {
	Username string `json:"username"`
	Sub      string `json:"sub"`
	Password string `json:"password"`
	About    string `json:"about"`
}

// Client is a registered demo client. Public ones have no secret.
type Client struct {
	ID                     string   `json:"client_id"`
	Secret                 string   `json:"client_secret,omitempty"`
	GrantTypes             []string `json:"grant_types"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	Scopes                 []string `json:"scopes"`
}

// APIKey is a demo API key.
type APIKey struct {
	Key      string `json:"key"`
	Secret   string `json:"secret"`
	Customer string `json:"customer"`
}

// Write puts the file at path in one step, mode 0600: who waits for it never sees half of it.
func Write(path string, f File) error {
	return WriteJSON(path, f)
}

// WriteJSON writes v as indented JSON at path in one step, mode 0600.
func WriteJSON(path string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	_, err = temporary.Write(append(content, '\n'))
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", path, err), os.Remove(temporary.Name()))
	}
	return nil
}

// Read returns the file at path.
func Read(path string) (File, error) {
	var f File
	content, err := os.ReadFile(path)
	if err != nil {
		return f, fmt.Errorf("cannot read the ready file: %w", err)
	}
	if err := json.Unmarshal(content, &f); err != nil {
		return f, fmt.Errorf("cannot read the ready file %s: %w", path, err)
	}
	return f, nil
}

// Remove makes sure that no file is at path.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the old ready file: %w", err)
	}
	return nil
}
