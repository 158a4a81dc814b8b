package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
	"github.com/realguardio/realguardio/mesh/yamlfile"
)

// trustedIssuers is a setting that names a file with issuers of others, and what is in the file.
type trustedIssuers struct {
	file string
	list []issuerfile.Issuer
}

func (t *trustedIssuers) declare(s *settings.Set, plaintext *bool) {
	s.String(&t.file, "trusted-issuers-file", "YAML list of issuers of others whose tokens are accepted; the same for every part", settings.File)
	s.Rule(func() error {
		if t.file == "" || settings.File(t.file) != nil {
			return nil // the second is said already
		}
		list, err := issuerfile.Read(t.file, *plaintext)
		if err != nil {
			return yamlfile.EachLine("--trusted-issuers-file: "+t.file+": ", err)
		}
		t.list = list
		return nil
	})
}

// signInFlags let people sign in at one of the trusted issuers.
type signInFlags struct {
	issuer, clientID, secret string
	resource                 string
	scopes, parameters       []string
	made                     *gateway.SignIn
}

func (f *signInFlags) declare(s *settings.Set, trusted *trustedIssuers) {
	s.String(&f.issuer, "sign-in-issuer", "name of the trusted issuer at which people sign in (default: at --issuer)")
	s.String(&f.clientID, "sign-in-client-id", "what the gateway is called there")
	s.String(&f.secret, "sign-in-client-secret-file", "its secret there", settings.File)
	s.Strings(&f.scopes, "sign-in-scope", "scope to ask for (default: openid, profile, email, offline_access)")
	s.String(&f.resource, "sign-in-resource", "resource that access tokens are asked for (RFC 8707), where the issuer wants one named")
	s.Strings(&f.parameters, "sign-in-parameter", "further parameter of the authorization request, such as audience=https://api.example.com")
	s.Rule(func() error { return f.make(trusted) })
}

// make says everything that is wrong with the flags together.
func (f *signInFlags) make(trusted *trustedIssuers) error {
	f.made = nil
	if f.issuer == "" {
		if f.clientID+f.secret+f.resource != "" || len(f.scopes)+len(f.parameters) > 0 {
			return errors.New("--sign-in-issuer is missing: without it the other --sign-in-... flags mean nothing")
		}
		return nil
	}
	made := &gateway.SignIn{ClientID: f.clientID, Scopes: f.scopes, Resource: f.resource, Parameters: map[string]string{}}
	var problems []error
	for _, i := range trusted.list {
		if i.Name == f.issuer {
			made.Issuer, made.Claims, made.HTTPClient = i.JWT.Issuer, i.JWT.Claims, i.JWT.HTTPClient
		}
	}
	if made.Issuer == "" {
		problems = append(problems, fmt.Errorf("--sign-in-issuer: %q is not in --trusted-issuers-file", f.issuer))
	}
	if f.clientID == "" || f.secret == "" {
		problems = append(problems, errors.New("--sign-in-client-id and --sign-in-client-secret-file are required with --sign-in-issuer"))
	} else if secret, err := settings.Secret(f.secret); err == nil { // else said by settings.File
		made.ClientSecret = secret
	}
	for _, p := range f.parameters {
		name, value, found := strings.Cut(p, "=")
		if !found || name == "" || value == "" {
			problems = append(problems, fmt.Errorf("--sign-in-parameter: %q must be name=value", p))
		}
		made.Parameters[name] = value
	}
	f.made = made
	return errors.Join(problems...)
}
