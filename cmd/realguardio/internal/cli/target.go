package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

// defaultReadyFile is where `realguardio dev` without flags leaves what a command needs to call it.
var defaultReadyFile = filepath.Join(".realguardio", "demo.json")

// target is the running installation that a command calls, and as whom.
type target struct {
	ReadyFile, Gateway, Issuer, CAFile string
	TokenFile                          string
	ClientID, ClientSecretFile         string
	User, PasswordFile                 string
	Scopes                             []string

	demo readyfile.File
	http *http.Client
}

func (t *target) declare(s *settings.Set) {
	s.String(&t.ReadyFile, "ready-file", "what realguardio dev wrote: addresses and demo credentials (default "+defaultReadyFile+" if it is there)", settings.File)
	s.String(&t.Gateway, "gateway", "base URL of the gateway", settings.HTTPURL)
	s.String(&t.Issuer, "issuer", "base URL of the identity provider", settings.HTTPURL)
	s.String(&t.CAFile, "ca-file", "certificate authority to trust besides the system's", settings.File)
	s.String(&t.ClientID, "client", "client to get a token for")
	s.String(&t.ClientSecretFile, "client-secret-file", "file with its secret, unless the ready file has it", settings.File)
	s.String(&t.User, "user", "person to get a token for, by the password grant")
	s.String(&t.PasswordFile, "password-file", "file with the person's password, unless the ready file has it", settings.File)
	s.Strings(&t.Scopes, "scope", "scope to ask for (default: all that the client may have)")
}

// declareToken adds the setting of commands that can do with a token got elsewhere.
func (t *target) declareToken(s *settings.Set) {
	s.String(&t.TokenFile, "token-file", "file with an access token, instead of getting one", settings.File)
}

// resolve reads the ready file and fills in what no setting said.
func (t *target) resolve() error {
	path := t.ReadyFile
	if path == "" {
		path = defaultReadyFile
	}
	demo, err := readyfile.Read(path)
	if err != nil && (t.ReadyFile != "" || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	t.demo = demo
	if t.Gateway == "" {
		t.Gateway = demo.Gateway
	}
	if t.Issuer == "" {
		t.Issuer = demo.Issuer
	}
	if t.CAFile == "" && demo.CAFile != "" {
		if _, err := os.Stat(demo.CAFile); err == nil {
			t.CAFile = demo.CAFile
		}
	}
	t.http, err = remote.NewHTTPClient(t.CAFile)
	return err
}

// token gets an access token. Without any setting it is for the client and the person given as defaults.
func (t *target) token(ctx context.Context, defaultClient, defaultUser string) (string, error) {
	if t.TokenFile != "" {
		return settings.Secret(t.TokenFile)
	}
	if t.Issuer == "" {
		return "", usageError{errors.New("--issuer or --ready-file is required")}
	}
	c, err := t.credentials(defaultClient, defaultUser)
	if err != nil {
		return "", err
	}
	return remote.Token(ctx, t.http, t.Issuer, c)
}

func (t *target) credentials(defaultClient, defaultUser string) (remote.Credentials, error) {
	c := remote.Credentials{ClientID: t.ClientID, Username: t.User, Scopes: t.Scopes}
	if c.ClientID == "" {
		if c.ClientID = defaultClient; c.Username == "" {
			c.Username = defaultUser
		}
	}
	if c.ClientID == "" {
		return c, usageError{errors.New("--client or --user is required")}
	}
	known := slices.IndexFunc(t.demo.Clients, func(d readyfile.Client) bool { return d.ID == c.ClientID })
	var err error
	switch {
	case t.ClientSecretFile != "":
		if c.ClientSecret, err = settings.Secret(t.ClientSecretFile); err != nil {
			return c, err
		}
	case known >= 0:
		c.ClientSecret = t.demo.Clients[known].Secret
	}
	if c.Username == "" {
		return c, nil
	}
	account := slices.IndexFunc(t.demo.Users, func(u readyfile.User) bool { return u.Username == c.Username })
	switch {
	case t.PasswordFile != "":
		c.Password, err = settings.Secret(t.PasswordFile)
	case account >= 0:
		c.Password = t.demo.Users[account].Password
	default:
		err = usageError{fmt.Errorf("--password-file is required: %s is not a demo account", c.Username)}
	}
	return c, err
}

// gateway returns the REST interface, called with a token as [target.token] gets it.
func (t *target) gateway(ctx context.Context, defaultClient, defaultUser string) (remote.Gateway, error) {
	if err := t.resolve(); err != nil {
		return remote.Gateway{}, err
	}
	if t.Gateway == "" {
		return remote.Gateway{}, usageError{errors.New("--gateway or --ready-file is required")}
	}
	token, err := t.token(ctx, defaultClient, defaultUser)
	return remote.Gateway{URL: t.Gateway, Token: token, HTTP: t.http}, err
}
