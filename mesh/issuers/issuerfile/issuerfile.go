// Package issuerfile reads the YAML file by which an installation says whose tokens it trusts and how they are read, and
// makes the verifiers of it. docs/foreign-issuers.md describes the file.
//
// What its words mean is defined in packages claims, jwt and introspection.
package issuerfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/introspection"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/loopback"
	"github.com/realguardio/realguardio/mesh/yamlfile"
)

// firstKeys is how long a start waits for the keys of each issuer, of all at once.
const firstKeys = 2 * time.Second

// Issuer is one that the file names, as it is to be trusted.
type Issuer struct {
	// Name is the namespace of its identifiers.
	Name string
	// Required is an issuer without which a part is not ready.
	Required bool
	// JWT verifies its JWTs.
	JWT jwt.Config
	// Introspection asks it about its other tokens, which begin with OpaquePrefix; nil where it is not asked.
	Introspection *introspection.Config
	OpaquePrefix  string
}

// Read reads a file and the secrets and certificates that it names. With plaintext it takes http issuers on other
// machines: for a trial, since everybody on the way can change their keys. The error has a line for each thing that is
// wrong.
func Read(path string, plaintext bool) ([]Issuer, error) {
	all, err := yamlfile.List[written](path)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("names no issuer")
	}
	var list []Issuer
	var problems []error
	names, urls := map[string]bool{}, map[string]bool{}
	for n, w := range all {
		i, err := w.issuer(plaintext)
		if names[w.Name] || urls[w.Issuer] {
			err = errors.Join(err, errors.New("its name or its issuer stands there already"))
		}
		names[w.Name], urls[w.Issuer] = true, true
		if err != nil {
			problems = append(problems, yamlfile.EachLine(fmt.Sprintf("issuer %d (%s): ", n+1, cmp.Or(w.Name, "without a name")), err))
		}
		list = append(list, i)
	}
	return list, errors.Join(problems...)
}

// Open makes the verifiers of issuers. It asks all of them for their keys at once, and does not wait long for those that
// do not answer. Of log and now nil is nobody, and time.Now.
func Open(ctx context.Context, list []Issuer, log *slog.Logger, now func() time.Time) ([]issuers.Trusted, error) {
	trusted := make([]issuers.Trusted, len(list))
	waiting, cancel := context.WithTimeout(ctx, firstKeys)
	defer cancel()
	var group errgroup.Group
	for n, i := range list {
		group.Go(func() error {
			cfg := i.JWT
			cfg.Logger, cfg.Now = log, now
			verifier, err := jwt.New(waiting, cfg)
			if err != nil {
				return fmt.Errorf("issuer %s: %w", i.Name, err)
			}
			trusted[n] = issuers.Trusted{JWT: verifier, OpaquePrefix: i.OpaquePrefix, Required: i.Required}
			if i.Introspection == nil {
				return nil
			}
			asking := *i.Introspection
			asking.Logger, asking.Now = log, now
			opaque, err := introspection.New(asking)
			if err != nil {
				return fmt.Errorf("issuer %s: %w", i.Name, err)
			}
			trusted[n].Opaque = opaque
			return nil
		})
	}
	return trusted, group.Wait()
}

// issuer is what an entry of the file means.
func (w *written) issuer(plaintext bool) (Issuer, error) {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if w.Name == "" {
		problem("name is missing")
	}
	problems = append(problems, checkURL("issuer", w.Issuer, plaintext, true), checkURL("jwks-url", w.JWKSURL, plaintext, false))
	if len(w.Audiences) == 0 || slices.Contains(w.Audiences, "") {
		problem("audiences is missing, or has an empty one")
	}
	mapping, err := w.mapping()
	if err == nil {
		err = mapping.Validate()
	}
	client, errClient := httpClient(w.CAFile)
	problems = append(problems, err, errClient)
	i := Issuer{
		Name: w.Name, Required: w.Required,
		JWT: jwt.Config{
			Issuer: w.Issuer, Audiences: w.Audiences, Claims: &mapping, Algorithms: w.Algorithms, JWKSURL: w.JWKSURL, HTTPClient: client,
		},
	}
	for _, alg := range w.Algorithms {
		if !jwt.AlgorithmKnown(alg) {
			problem("algorithm %q is not known", alg)
		}
	}
	if w.Introspection != nil {
		cfg, err := w.Introspection.config(plaintext)
		problems = append(problems, err)
		cfg.Issuer, cfg.Audiences, cfg.Claims, cfg.HTTPClient = w.Issuer, w.Audiences, mapping, client
		i.Introspection, i.OpaquePrefix = &cfg, w.Introspection.Prefix
	}
	return i, errors.Join(problems...)
}

// mapping is that of the product, with what the entry says over it.
func (w *written) mapping() (claims.Mapping, error) {
	var m claims.Mapping
	if w.Product != "" {
		var known bool
		if m, known = claims.Preset(w.Product); !known {
			return m, fmt.Errorf("product %q is not known", w.Product)
		}
	}
	m.Namespace = w.Name
	if w.Types != nil {
		m.Types = w.Types
	}
	for _, r := range w.Require {
		m.Require = append(m.Require, r.match())
	}
	if w.ClientIf != nil {
		m.ClientIf = nil
		for _, c := range w.ClientIf {
			m.ClientIf = append(m.ClientIf, c.match())
		}
	}
	for _, over := range []struct {
		field *[]claims.Path
		with  paths
	}{
		{&m.Subject, w.Subject}, {&m.Client, w.Client}, {&m.Session, w.Session}, {&m.TokenID, w.TokenID}, {&m.Name, w.PersonName}, {&m.Email, w.Email},
	} {
		if over.with != nil {
			*over.field = over.with
		}
	}
	if w.AudienceClaim != nil {
		m.Audience = claims.Path(w.AudienceClaim)
	}
	w.Roles.over(&m.Roles)
	w.Scopes.over(&m.Scopes)
	w.ACR.over(&m.ACR)
	m.Workloads = w.Workloads
	return m, nil
}

// checkURL wants https, except on this machine or where plaintext is allowed.
func checkURL(name, value string, plaintext, required bool) error {
	if value == "" && !required {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%s must be an absolute https URL without user, query and fragment", name)
	}
	if u.Scheme == "http" && !plaintext && !loopback.Host(u.Hostname()) {
		return fmt.Errorf("%s is not https: its keys would travel in plaintext", name)
	}
	return nil
}
