package cli

import (
	"errors"
	"fmt"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh/yamlfile"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/upstream"
)

// upstreamProviders is a setting that names a file with OpenID Providers of others, and what is in the file.
type upstreamProviders struct {
	file string
	list []upstream.Provider
}

// upstreamProvider is one of them as the file has it.
type upstreamProvider struct {
	ID               string   `yaml:"id"`
	Name             string   `yaml:"name"`
	Issuer           string   `yaml:"issuer"`
	ClientID         string   `yaml:"client-id"`
	ClientSecretFile string   `yaml:"client-secret-file"`
	Scopes           []string `yaml:"scopes"`
	EmailDomains     []string `yaml:"email-domains"`
	LinksAccounts    bool     `yaml:"links-accounts"`
	CreatesAccounts  bool     `yaml:"creates-accounts"`
}

func (u *upstreamProviders) declare(s *settings.Set, plaintext *bool) {
	s.String(&u.file, "upstream-providers-file", "YAML list of OpenID Providers of others that people may sign in at", settings.File)
	s.Rule(func() error {
		if u.file == "" || settings.File(u.file) != nil {
			return nil // the second is said already
		}
		list, err := readUpstreams(u.file, *plaintext)
		if err != nil {
			return yamlfile.EachLine("--upstream-providers-file: "+u.file+": ", err)
		}
		u.list = list
		return nil
	})
}

// readUpstreams reads the list and the secrets that it names.
func readUpstreams(path string, plaintext bool) ([]upstream.Provider, error) {
	written, err := yamlfile.List[upstreamProvider](path)
	if err != nil {
		return nil, err
	}
	var list []upstream.Provider
	var problems []error
	for n, w := range written {
		p := upstream.Provider{ID: w.ID, Name: w.Name, Issuer: w.Issuer, ClientID: w.ClientID, Scopes: w.Scopes,
			Trust: account.Trust{Links: w.LinksAccounts, Creates: w.CreatesAccounts, Domains: w.EmailDomains}}
		if w.ClientSecretFile == "" {
			err = errors.New("client-secret-file is missing")
		} else {
			p.ClientSecret, err = settings.Secret(w.ClientSecretFile)
		}
		if err != nil {
			p.ClientSecret = "unreadable" // so that what is wrong is said once
		}
		if err := errors.Join(err, p.Validate(plaintext)); err != nil {
			problems = append(problems, yamlfile.EachLine(fmt.Sprintf("provider %d: ", n+1), err))
		}
		list = append(list, p)
	}
	if len(problems) == 0 { // what they are together
		_, err := upstream.New(upstream.Config{Providers: list, Plaintext: plaintext})
		problems = append(problems, err)
	}
	return list, errors.Join(problems...)
}
