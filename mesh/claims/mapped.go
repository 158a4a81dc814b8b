package claims

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

const (
	// maxNames bounds how many roles or scopes a token may have.
	maxNames = 512
	// maxIdentifier is the longest identifier of an issuer, in bytes (OpenID Connect Core, section 2).
	maxIdentifier = 255
)

// notAccess are claims that only ID tokens and logout tokens have.
var notAccess = []string{"at_hash", "c_hash", "s_hash", "events"}

// read reads the claims of a token by the mapping. Of claims that only our issuer uses, none is looked at.
func (m *Mapping) read(members map[string]json.RawMessage, signed string) (id mesh.Identity, notBefore time.Time, problem error) {
	for _, name := range notAccess {
		if _, ok := members[name]; ok {
			return id, notBefore, Refused("wrong_type", "the token has "+name+", so that it is no access token")
		}
	}
	for _, r := range m.Require {
		if !r.holds(members) {
			return id, notBefore, Refused("required_claim", "the token lacks what "+r.Claim.String()+" must say")
		}
	}
	c := fields{members: members}
	id = mesh.Identity{
		Issuer:    c.required("iss"),
		Subject:   m.qualify(c.identifier(m.Subject)),
		ClientID:  m.qualify(c.identifier(m.Client)),
		SessionID: m.qualify(c.identifier(m.Session)),
		TokenID:   c.identifier(m.TokenID),
		Audience:  c.audienceAt(m.Audience),
		Expiry:    c.time("exp", true),
		IssuedAt:  c.time("iat", false),
		AuthTime:  c.time("auth_time", false),
		Name:      c.display(m.Name),
		Roles:     c.names(&m.Roles),
		Scopes:    c.names(&m.Scopes),

		Confirmation: c.confirmation(),
	}
	if acr := c.names(&m.ACR); len(acr) > 0 {
		id.ACR = acr[0]
	}
	if c.verifiedEmail() {
		id.Email = c.display(m.Email)
	}
	if id.TokenID == "" {
		id.TokenID = digestOf(signed)
	}
	id.TokenID = m.qualify(id.TokenID)
	for _, actor := range c.actors() {
		id.Actors = append(id.Actors, m.qualify(actor))
	}
	m.stand(&id, members, &c)
	return id, c.time("nbf", false), c.err()
}

// stand decides who stands behind a token. A client is its own subject, whatever the issuer calls the account that it
// gives to one.
func (m *Mapping) stand(id *mesh.Identity, members map[string]json.RawMessage, c *fields) {
	if id.ClientID == "" {
		c.fail("no claim names the client")
		return
	}
	if id.Subject != "" && id.Subject != id.ClientID && !slices.ContainsFunc(m.ClientIf, func(match Match) bool { return match.holds(members) }) {
		id.Kind = mesh.KindUser
		return
	}
	id.Kind = mesh.KindClient
	for client, workload := range m.Workloads {
		if m.qualify(client) == id.ClientID {
			id.Kind, id.ClientID = mesh.KindWorkload, workload
			break
		}
	}
	// A session or a time of authentication is a person's.
	id.Subject, id.SessionID, id.AuthTime, id.ACR = id.ClientID, "", time.Time{}, ""
}

// digestOf is the id of a token that has none. The signature is not part of it: some can be written in two ways.
func digestOf(signed string) string {
	sum := sha256.Sum256([]byte(signed))
	return "sha256-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// at returns the claim at a path.
func at(members map[string]json.RawMessage, path Path) (json.RawMessage, bool) {
	for _, name := range path[:len(path)-1] {
		raw, ok := members[name]
		if !ok || raw[0] != '{' {
			return nil, false
		}
		inner, err := jose.Members(raw)
		if err != nil {
			return nil, false
		}
		members = inner
	}
	raw, ok := members[path[len(path)-1]]
	return raw, ok && string(raw) != "null"
}

func (m Match) holds(members map[string]json.RawMessage) bool {
	raw, ok := at(members, m.Claim)
	if !ok || m.Absent || len(m.Values) == 0 {
		return ok != m.Absent
	}
	if raw[0] == '[' {
		return slices.ContainsFunc(jose.Elements(raw), m.among)
	}
	return m.among(raw)
}

// among compares a string by what it says, a number or a word as it is written.
func (m Match) among(raw json.RawMessage) bool {
	if raw[0] == '"' {
		return slices.Contains(m.Values, jose.Unquote(raw))
	}
	return slices.Contains(m.Values, string(raw))
}

// first is the first of these claims that is there.
func (f *fields) first(paths []Path) string {
	for _, p := range paths {
		raw, ok := at(f.members, p)
		if !ok {
			continue
		}
		if raw[0] != '"' {
			f.fail(p.String() + " is not a string")
			return ""
		}
		if s := jose.Unquote(raw); s != "" {
			return s
		}
	}
	return ""
}

// identifier is the first of these claims, in a form that is safe to log and to compare.
func (f *fields) identifier(paths []Path) string {
	s := f.first(paths)
	if len(s) > maxIdentifier || strings.ContainsFunc(s, unprintable) {
		f.fail(paths[0].String() + " is too long, or has characters that no identifier has")
	}
	return s
}

func unprintable(c rune) bool { return c < ' ' || c == 0x7f }

// display is personal data, which is nobody's to rely on: a claim of another form is none.
func (f *fields) display(paths []Path) string {
	for _, p := range paths {
		if raw, ok := at(f.members, p); ok && raw[0] == '"' && len(raw) <= 2*maxIdentifier {
			return strings.Map(func(c rune) rune {
				if c < ' ' || c == 0x7f {
					return -1
				}
				return c
			}, jose.Unquote(raw))
		}
	}
	return ""
}

// verifiedEmail reports whether the issuer says that the address is the person's. Some write the word as a string.
func (f *fields) verifiedEmail() bool {
	verified := string(f.members["email_verified"])
	return verified == "true" || verified == `"true"`
}

// audienceAt is a string or a list of strings.
func (f *fields) audienceAt(path Path) []string {
	raw, ok := at(f.members, path)
	if !ok {
		return nil
	}
	one := fields{members: map[string]json.RawMessage{"audience": raw}}
	audience := one.audience("audience")
	if one.problem != "" {
		f.fail(path.String() + " is not a string or a list of strings")
	}
	return audience
}

// names are those of the issuer that count here.
func (f *fields) names(n *Names) []string {
	var kept []string
	for _, p := range n.From {
		raw, ok := at(f.members, p)
		if !ok {
			continue
		}
		all, err := f.words(raw)
		if err != nil || len(all) > maxNames {
			f.fail(p.String() + " is not a list of strings or a string with words, or has too many")
			return nil
		}
		for _, name := range all {
			if k, ok := n.kept(name); ok && !slices.Contains(kept, k) {
				kept = append(kept, k)
			}
		}
	}
	return kept
}

var errNotNames = Refused("malformed", "it is not a list of names")

func (f *fields) words(raw json.RawMessage) ([]string, error) {
	switch raw[0] {
	case '"':
		return strings.Fields(jose.Unquote(raw)), nil
	case '[':
		var all []string
		for _, e := range jose.Elements(raw) {
			if e[0] != '"' {
				return nil, errNotNames
			}
			all = append(all, jose.Unquote(e))
		}
		return all, nil
	default:
		return nil, errNotNames
	}
}
