package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
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
			return eachLine("--upstream-providers-file: "+u.file+": ", err)
		}
		u.list = list
		return nil
	})
}

// readUpstreams reads the list and the secrets that it names.
func readUpstreams(path string, plaintext bool) ([]upstream.Provider, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	var written []upstreamProvider
	if err := decoder.Decode(&written); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlProblems(err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be a single YAML document")
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
			problems = append(problems, eachLine(fmt.Sprintf("provider %d: ", n+1), err))
		}
		list = append(list, p)
	}
	if len(problems) == 0 { // what they are together
		_, err := upstream.New(upstream.Config{Providers: list, Plaintext: plaintext})
		problems = append(problems, err)
	}
	return list, errors.Join(problems...)
}

// yamlProblems is one line for each thing that is wrong, in the words of who writes the file.
func yamlProblems(err error) error {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	var problems []error
	for _, text := range wrong.Errors {
		text, _, _ = strings.Cut(text, " in type ")
		text = strings.NewReplacer(" field ", " ", " not found", ": unknown setting").Replace(text)
		problems = append(problems, errors.New(strings.Join(strings.Fields(text), " ")))
	}
	return errors.Join(problems...)
}

// eachLine puts a prefix before each line of an error.
func eachLine(prefix string, err error) error {
	var lines []error
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, errors.New(prefix+strings.TrimSpace(line)))
	}
	return errors.Join(lines...)
}
