package cli

import (
	"cmp"
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
	"github.com/realguardio/realguardio/cmd/realguardio/internal/signin"
	"github.com/realguardio/realguardio/mesh/dpop"
)

// defaultReadyFile is where `realguardio dev` without flags leaves what a command needs to call it.
var defaultReadyFile = filepath.Join(".realguardio", "demo.json")

// target is the running installation that a command calls, and as whom.
type target struct {
	ReadyFile, Gateway, Issuer, CAFile string
	TokenFile, LoginFile               string
	ClientID, ClientSecretFile         string
	User, PasswordFile                 string
	Scopes                             []string

	demo readyfile.File
	// told says that the command line itself names what to call.
	told   bool
	logins signin.File
	// key is what a token is bound to; nil for nothing.
	key  *dpop.Key
	http *http.Client
}

func (t *target) declare(s *settings.Set) {
	t.declareCaller(s)
	s.Strings(&t.Scopes, "scope", "scope to ask for (default: all that the client may have)")
}

// declareCaller adds the settings of commands that call with all that their caller may do.
func (t *target) declareCaller(s *settings.Set) {
	s.String(&t.ReadyFile, "ready-file", "what realguardio dev wrote: addresses and demo credentials (default "+defaultReadyFile+" if it is there)", settings.File)
	s.String(&t.Gateway, "gateway", "base URL of the gateway", settings.HTTPURL)
	s.String(&t.Issuer, "issuer", "base URL of the identity provider", settings.HTTPURL)
	s.String(&t.CAFile, "ca-file", "certificate authority to trust besides the system's", settings.File)
	s.String(&t.LoginFile, "login-file", "where realguardio login keeps who is signed in (default: in the configuration folder)")
	s.String(&t.ClientID, "client", "client to get a token for")
	s.String(&t.ClientSecretFile, "client-secret-file", "file with its secret, unless the ready file has it", settings.File)
	s.String(&t.User, "user", "person to get a token for, by the password grant")
	s.String(&t.PasswordFile, "password-file", "file with the person's password, unless the ready file has it", settings.File)
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
	t.demo, t.told = demo, t.ReadyFile != "" || t.Gateway != "" || t.CAFile != ""
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
	if err := t.findLogin(); err != nil {
		return err
	}
	t.http, err = remote.NewHTTPClient(t.CAFile)
	return err
}

// findLogin lets what the latest sign-in was for stand in where neither settings nor a ready file say where to go.
func (t *target) findLogin() error {
	t.logins = signin.File(t.LoginFile)
	if t.LoginFile == "" {
		t.logins = signin.Default()
	}
	if t.Issuer != "" {
		return nil
	}
	login, _, err := t.logins.Find("")
	t.Issuer = login.Issuer
	if t.Gateway == "" {
		t.Gateway, t.CAFile = login.Gateway, cmp.Or(t.CAFile, login.CAFile)
	}
	return err
}

// login returns the sign-in that a command for people goes by, unless a setting says otherwise. It goes where it was made
// for, or where the command line says: a file that lies in some folder does not send its tokens elsewhere.
func (t *target) login(defaultClient, defaultUser string) (_ signin.Login, found bool, err error) {
	if t.TokenFile != "" || t.ClientID != "" || t.User != "" || defaultClient != "" && defaultUser == "" {
		return signin.Login{}, false, nil
	}
	login, found, err := t.logins.Find(t.Issuer)
	if err != nil || !found || t.told {
		return login, found, err
	}
	t.Gateway = login.Gateway
	t.http, err = remote.NewHTTPClient(login.CAFile)
	return login, true, err
}

// errNobody is for a command for people that nothing tells where it is to go, or as whom.
var errNobody = errors.New("nobody is signed in: run realguardio login first, or give --ready-file, or --issuer and --gateway with " +
	"--token-file, or with --client, --user and --password-file")

// token gets an access token. Without any setting it is that of whoever has signed in, where the command is for people, and
// else for the client and the person given as defaults.
func (t *target) token(ctx context.Context, defaultClient, defaultUser string) (string, error) {
	if t.TokenFile != "" {
		return settings.Secret(t.TokenFile)
	}
	if t.Issuer == "" && defaultClient != "" && defaultUser == "" {
		return "", usageError{errors.New("--issuer or --ready-file is required")}
	}
	if t.Issuer == "" {
		return "", usageError{errNobody}
	}
	if login, found, err := t.login(defaultClient, defaultUser); err != nil || found {
		return t.loginToken(ctx, login, err)
	}
	c, err := t.credentials(defaultClient, defaultUser)
	if err != nil {
		return "", err
	}
	return remote.Token(ctx, t.http, t.Issuer, c)
}

func (t *target) credentials(defaultClient, defaultUser string) (remote.Credentials, error) {
	c := remote.Credentials{ClientID: t.ClientID, Username: t.User, Scopes: t.Scopes, Key: t.key}
	if c.ClientID == "" {
		if c.ClientID = defaultClient; c.Username == "" {
			c.Username = defaultUser
		}
	}
	if c.ClientID == "" {
		return c, usageError{errors.New("--client or --user is required, unless realguardio login was run before")}
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
	case t.User == "":
		err = usageError{errNobody}
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
	token, err := t.token(ctx, defaultClient, defaultUser)
	if err == nil && t.Gateway == "" {
		err = usageError{errors.New("--gateway or --ready-file is required")}
	}
	return remote.Gateway{URL: t.Gateway, Token: token, HTTP: t.http}, err
}
