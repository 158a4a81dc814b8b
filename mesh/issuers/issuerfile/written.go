package issuerfile

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/introspection"
)

// written is an issuer as the file has it.
type written struct {
	Name      string   `yaml:"name"`
	Issuer    string   `yaml:"issuer"`
	Product   string   `yaml:"product"`
	Audiences []string `yaml:"audiences"`
	Required  bool     `yaml:"required"`

	CAFile     string   `yaml:"ca-file"`
	JWKSURL    string   `yaml:"jwks-url"`
	Algorithms []string `yaml:"algorithms"`

	Types    []string    `yaml:"types"`
	Require  []condition `yaml:"require"`
	ClientIf []condition `yaml:"client-if"`

	Subject       paths `yaml:"subject"`
	Client        paths `yaml:"client"`
	Session       paths `yaml:"session"`
	TokenID       paths `yaml:"token-id"`
	PersonName    paths `yaml:"person-name"`
	Email         paths `yaml:"email"`
	AudienceClaim path  `yaml:"audience-claim"`

	Roles     names             `yaml:"roles"`
	Scopes    names             `yaml:"scopes"`
	ACR       names             `yaml:"acr"`
	Workloads map[string]string `yaml:"workloads"`

	Introspection *asked `yaml:"introspection"`
}

// names are roles, scopes or authentication classes.
type names struct {
	From   paths             `yaml:"from"`
	Allow  []string          `yaml:"allow"`
	Rename map[string]string `yaml:"rename"`
	Prefix string            `yaml:"prefix"`
}

func (n names) over(m *claims.Names) {
	if n.From != nil {
		m.From = n.From
	}
	m.Allow, m.Rename, m.Prefix = n.Allow, n.Rename, n.Prefix
}

// condition is one on a claim.
type condition struct {
	Claim  path     `yaml:"claim"`
	Is     []string `yaml:"is"`
	Absent bool     `yaml:"absent"`
}

func (c condition) match() claims.Match {
	return claims.Match{Claim: claims.Path(c.Claim), Values: c.Is, Absent: c.Absent}
}

// path is "realm_access.roles", or a list of names where one of them has a dot.
type path claims.Path

func (p *path) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*p = path(claims.ParsePath(node.Value))
		return nil
	}
	var list []string
	if err := node.Decode(&list); err != nil {
		return err
	}
	*p = list
	return nil
}

// paths is one path, or a list of which the first that is there counts.
type paths []claims.Path

func (p *paths) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*p = paths{claims.ParsePath(node.Value)}
		return nil
	}
	var list []path
	if err := node.Decode(&list); err != nil {
		return err
	}
	*p = paths{}
	for _, one := range list {
		*p = append(*p, claims.Path(one))
	}
	return nil
}

// asked says how the issuer is asked about opaque tokens.
type asked struct {
	URL              string        `yaml:"url"`
	ClientID         string        `yaml:"client-id"`
	ClientSecretFile string        `yaml:"client-secret-file"`
	PrivateKeyFile   string        `yaml:"private-key-file"`
	KeyID            string        `yaml:"key-id"`
	Prefix           string        `yaml:"prefix"`
	Remember         time.Duration `yaml:"remember"`
	Streams          time.Duration `yaml:"streams"`
	NoExpiry         bool          `yaml:"no-expiry"`
}

func (a *asked) config(plaintext bool) (introspection.Config, error) {
	cfg := introspection.Config{URL: a.URL, ClientID: a.ClientID, KeyID: a.KeyID, TTL: a.Remember, MaxLife: a.Streams, NoExpiry: a.NoExpiry}
	problems := []error{checkURL("introspection: url", a.URL, plaintext, false)}
	problem := func(text string) { problems = append(problems, errors.New("introspection: "+text)) }
	if a.ClientID == "" {
		problem("client-id is missing")
	}
	if a.Remember < 0 || a.Remember > maxRemember {
		problem(fmt.Sprintf("remember must be between 0s and %s", maxRemember))
	}
	if a.Streams < 0 {
		problem("streams must not be negative")
	}
	switch {
	case (a.ClientSecretFile == "") == (a.PrivateKeyFile == ""):
		problem("either client-secret-file or private-key-file is required")
	case a.ClientSecretFile != "":
		secret, err := os.ReadFile(a.ClientSecretFile)
		if cfg.Secret = strings.TrimRight(string(secret), "\r\n"); err == nil && cfg.Secret == "" {
			err = fmt.Errorf("%s is empty", a.ClientSecretFile)
		}
		if err != nil {
			problem("client-secret-file: " + err.Error())
		}
	default:
		var err error
		if cfg.Key, err = privateKey(a.PrivateKeyFile); err != nil {
			problem("private-key-file: " + err.Error())
		}
	}
	return cfg, errors.Join(problems...)
}

// maxRemember is the longest that a token may live on after its issuer has ended it.
const maxRemember = 5 * time.Minute

// privateKey reads a PEM file with a key in PKCS #8.
func privateKey(file string) (crypto.Signer, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s has no private key in PKCS #8", file)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s has a key that signs nothing", file)
	}
	return signer, nil
}

// httpClient trusts the authorities in a file besides the system's.
func httpClient(caFile string) (*http.Client, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	if caFile == "" {
		return client, nil
	}
	raw, err := os.ReadFile(caFile)
	if err != nil {
		return client, fmt.Errorf("ca-file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(raw) {
		return client, fmt.Errorf("ca-file: %s holds no certificate", caFile)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	client.Transport = transport
	return client, nil
}
