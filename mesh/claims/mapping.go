package claims

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mapping says by which names another issuer's tokens tell what an identity holds, and how much of that counts here. What
// it does not say does not count: an issuer that is trusted for who its people are is not trusted for what they may do.
//
// The zero Mapping reads RFC 9068 tokens, and takes no role and no scope over.
type Mapping struct {
	// Namespace sets the identifiers of the issuer apart from ours and from those of other issuers: the subject "42" of
	// the namespace "acme" is "acme:42" here, and so are clients, sessions, tokens and keys. Nothing that ends something of
	// ours ends something of theirs by accident, nor the reverse. Up to 32 of a-z, 0-9 and '-'. Empty: identifiers stay as
	// they are; only where no other issuer is trusted.
	Namespace string

	// Types are accepted in the header ("typ"): "at+jwt", "JWT", and "" for none. Default: at+jwt alone. The others do not
	// tell access tokens from ID tokens: they are possible only with a Require that does.
	Types []string
	// Require must all hold.
	Require []Match

	// Of each of these the first that is there counts. Defaults: "sub"; "client_id", "azp"; "sid"; "jti"; "name"; "email",
	// where "email_verified" is true.
	Subject, Client, Session, TokenID, Name, Email []Path
	// Audience is whom the token is for. Default: "aud". A token without audiences is possible only by naming another
	// claim, such as the client that it was issued to.
	Audience Path

	// Roles, Scopes and ACR say what of these counts, and from where. Defaults of From: "roles"; "scope"; "acr".
	Roles, Scopes, ACR Names

	// ClientIf tell, where one of them holds, that a token is its client's own, with no person behind it. So is one whose
	// subject is its client, and one without a subject.
	ClientIf []Match
	// Workloads are the issuer's clients that are workloads of this mesh, and what they are called in it. Default: none.
	// As with all workloads, the connection's certificate must say the same name.
	Workloads map[string]string
}

// Path is where a claim stands: its name, after those of the objects that it is in.
type Path []string

// ParsePath reads "realm_access.roles" as a claim inside of another. A name that is a URL, such as
// "https://acme.example/roles", is one name.
func ParsePath(s string) Path {
	if strings.Contains(s, "://") {
		return Path{s}
	}
	return strings.Split(s, ".")
}

func (p Path) String() string { return strings.Join(p, ".") }

// Match is a condition on a claim.
type Match struct {
	Claim Path
	// Values: the claim, or an element of it, is one of these. Empty: the claim only has to be there.
	Values []string
	// Absent turns it round: the claim must not be there.
	Absent bool
}

// Names are roles, scopes or authentication classes of the issuer, as far as they count here. A list is taken as it
// stands; a string is words with spaces between.
type Names struct {
	// From are the claims that hold them, taken together.
	From []Path
	// Rename gives those that it has another name.
	Rename map[string]string
	// Allow takes these over as they are; "*" is all, which lets the issuer make anybody an administrator.
	Allow []string
	// Prefix takes all others over with this before their name. It ends in ':', which no role or scope of ours has.
	Prefix string
}

// everything, in Allow, is every name.
const everything = "*"

// kept is what a name of the issuer is called here; false for one that does not count.
func (n *Names) kept(name string) (string, bool) {
	if to, ok := n.Rename[name]; ok {
		return to, true
	}
	if slices.Contains(n.Allow, name) && name != everything || slices.Contains(n.Allow, everything) {
		return name, name != ""
	}
	return n.Prefix + name, n.Prefix != "" && name != ""
}

func isAccessToken(typ string) bool {
	return strings.TrimPrefix(strings.ToLower(typ), "application/") == typeAccessToken
}

const typeAccessToken = "at+jwt"

func (m *Mapping) typeAccepted(typ string, named bool) bool {
	if named && isAccessToken(typ) {
		return slices.Contains(m.Types, typeAccessToken)
	}
	if !named {
		return slices.Contains(m.Types, "")
	}
	return strings.EqualFold(typ, "JWT") && slices.Contains(m.Types, "JWT")
}

func (m *Mapping) qualify(id string) string {
	if id == "" || m.Namespace == "" {
		return id
	}
	return m.Namespace + ":" + id
}

func (m *Mapping) complete() {
	if m.Types == nil {
		m.Types = []string{typeAccessToken}
	}
	if m.Audience == nil {
		m.Audience = Path{"aud"}
	}
	for _, d := range []struct {
		field *[]Path
		names []string
	}{
		{&m.Subject, []string{"sub"}}, {&m.Client, []string{"client_id", "azp"}}, {&m.Session, []string{"sid"}},
		{&m.TokenID, []string{"jti"}}, {&m.Name, []string{"name"}}, {&m.Email, []string{"email"}},
		{&m.Roles.From, []string{"roles"}}, {&m.Scopes.From, []string{"scope"}}, {&m.ACR.From, []string{"acr"}},
	} {
		if *d.field != nil {
			continue
		}
		for _, name := range d.names {
			*d.field = append(*d.field, Path{name})
		}
	}
}

// Validate says everything that is wrong with a mapping.
func (m *Mapping) Validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !namespaceLike(m.Namespace) {
		problem("namespace %q must be up to 32 of a-z, 0-9 and '-'", m.Namespace)
	}
	for _, typ := range m.Types {
		switch {
		case !slices.Contains([]string{typeAccessToken, "JWT", ""}, typ):
			problem("type %q must be at+jwt, JWT or empty", typ)
		case typ != typeAccessToken && !m.tellsAccessTokens():
			problem("type %q needs a required claim that tells access tokens from ID tokens", typ)
		}
	}
	for what, n := range map[string]*Names{"roles": &m.Roles, "scopes": &m.Scopes, "acr": &m.ACR} {
		if n.Prefix != "" && !strings.HasSuffix(n.Prefix, ":") {
			problem("%s: prefix %q must end in ':'", what, n.Prefix)
		}
		for _, name := range slices.Concat(slices.Sorted(maps.Values(n.Rename)), n.Allow, []string{n.Prefix + "x"}) {
			if name == "" || strings.ContainsAny(name, " \t\r\n") {
				problem("%s: %q is empty or has a space in it", what, name)
			}
		}
	}
	for client, workload := range m.Workloads {
		if client == "" || workload == "" {
			problem("workloads: %q is called %q", client, workload)
		}
	}
	for _, p := range m.paths() {
		if len(p) == 0 || slices.Contains(p, "") {
			problem("%q is not the name of a claim", p)
		}
	}
	return errors.Join(problems...)
}

// tellsAccessTokens reports whether a required claim has to be there; what must be absent is easily so.
func (m *Mapping) tellsAccessTokens() bool {
	return slices.ContainsFunc(m.Require, func(r Match) bool { return !r.Absent })
}

func (m *Mapping) paths() []Path {
	all := slices.Concat(m.Subject, m.Client, m.Session, m.TokenID, m.Name, m.Email, m.Roles.From, m.Scopes.From, m.ACR.From)
	for _, match := range slices.Concat(m.Require, m.ClientIf) {
		all = append(all, match.Claim)
	}
	if m.Audience != nil {
		all = append(all, m.Audience)
	}
	return all
}

func namespaceLike(s string) bool {
	return len(s) <= 32 && !strings.ContainsFunc(s, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' })
}
