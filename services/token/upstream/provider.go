// Package upstream lets people sign in at OpenID Providers of others: it is their relying party, with the authorization
// code flow, PKCE and a nonce (OpenID Connect Core, section 3.1; RFC 9700, section 2.1). What it returns is what the
// provider says of somebody; whose account that is decides package account, and which browser asked is web's.
//
// A provider that cannot be reached concerns those alone who want to sign in there. Nothing that it issued is kept.
package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/realguardio/realguardio/services/token/account"
)

// Provider is an OpenID Provider that people may sign in at.
type Provider struct {
	// ID stands in the path of the redirect URI that is registered there: see [Parties.RedirectURI].
	ID string
	// Name is what people call it: "Continue with" Name.
	Name string
	// Issuer is the URL that its discovery document is below, to the letter.
	Issuer                 string
	ClientID, ClientSecret string
	// Scopes asked for. Default: openid, profile and email.
	Scopes []string
	// Trust is what it may do besides signing in whom it is linked to.
	Trust account.Trust
}

// idForm is what can stand in a path as it is.
var idForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Validate checks a provider, in words for who configures it. plaintext admits http to other machines.
func (p *Provider) Validate(plaintext bool) error {
	var problems []error
	if !idForm.MatchString(p.ID) {
		problems = append(problems, fmt.Errorf("id %q must be up to 32 lower-case letters, digits and hyphens", p.ID))
	}
	for _, required := range []struct{ name, value string }{{"name", p.Name}, {"client id", p.ClientID}, {"client secret", p.ClientSecret}} {
		if strings.TrimSpace(required.value) == "" {
			problems = append(problems, fmt.Errorf("%s is missing", required.name))
		}
	}
	if err := checkURL(p.Issuer, plaintext); err != nil || strings.ContainsAny(p.Issuer, "?#") {
		problems = append(problems, fmt.Errorf("issuer %q must be an https URL without query", p.Issuer))
	}
	for _, domain := range p.Trust.Domains {
		if domain == "" || strings.ContainsAny(domain, "@*/ ") {
			problems = append(problems, fmt.Errorf("e-mail domain %q must be a name such as example.com", domain))
		}
	}
	return errors.Join(problems...)
}

// checkURL wants a URL that nobody on the way can answer for.
func checkURL(text string, plaintext bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("is not an absolute URL")
	case u.Scheme == "https", u.Scheme == "http" && (plaintext || loopback(u.Hostname())):
		return nil
	}
	return errors.New("is not https")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
