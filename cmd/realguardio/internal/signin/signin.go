// Package signin keeps who is signed in on the command line, between one command and the next: a file of its person's
// own, with the tokens of each identity provider. How they are got and renewed is package remote's.
package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
)

// Login is one sign-in.
type Login struct {
	Issuer string `json:"issuer"`
	// Gateway and CAFile are where the commands go with it; both may be empty.
	Gateway string `json:"gateway,omitempty"`
	CAFile  string `json:"ca_file,omitempty"`
	// ClientID is the client that the tokens were issued to.
	ClientID     string    `json:"client_id"`
	Username     string    `json:"username"`
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	Expires      time.Time `json:"expires"`
}

// File holds logins, one for each issuer, the latest last. Whoever can read it can act as its person.
type File string

// Default is the file in the person's configuration folder; in the working folder for a process that has no home.
func Default() File {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return File(filepath.Join(dir, "realguardio", "logins.json"))
}

// Logins returns all; none if there is no file.
func (f File) Logins() ([]Login, error) {
	content, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the sign-ins: %w", err)
	}
	var logins []Login
	if err := json.Unmarshal(content, &logins); err != nil {
		return nil, fmt.Errorf("cannot read the sign-ins in %s: %w", f, err)
	}
	return logins, nil
}

// Find returns the login at an issuer, or the latest if that is empty.
func (f File) Find(issuer string) (_ Login, found bool, err error) {
	logins, err := f.Logins()
	for _, l := range slices.Backward(logins) {
		if issuer == "" || l.Issuer == issuer {
			return l, true, nil
		}
	}
	return Login{}, false, err
}

// Put stores a login as the latest, instead of the one at its issuer.
func (f File) Put(l Login) error {
	return f.change(func(logins []Login) []Login {
		return append(slices.DeleteFunc(logins, func(other Login) bool { return other.Issuer == l.Issuer }), l)
	})
}

// Renew stores a login that has new tokens, unless there is another one by now, or none.
func (f File) Renew(before, after Login) error {
	return f.change(func(logins []Login) []Login {
		for i, l := range logins {
			if l.Issuer == before.Issuer && l.RefreshToken == before.RefreshToken {
				logins[i] = after
			}
		}
		return logins
	})
}

// Remove forgets the login at an issuer.
func (f File) Remove(issuer string) error {
	return f.change(func(logins []Login) []Login {
		return slices.DeleteFunc(logins, func(l Login) bool { return l.Issuer == issuer })
	})
}

func (f File) change(change func([]Login) []Login) error {
	logins, err := f.Logins()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("cannot keep the sign-in: %w", err)
	}
	return readyfile.WriteJSON(string(f), change(logins))
}
