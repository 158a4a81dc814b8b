package jwt

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// claims checks the payload of a token whose signature is good, and returns whom it speaks for (RFC 9068, sections 2.2
// and 4).
func (v *Verifier) claims(payload string, now time.Time) (mesh.Identity, error) {
	m, err := jose.Object(payload)
	if err != nil {
		return mesh.Identity{}, refused("malformed", "payload: "+err.Error())
	}
	c := reader{members: m}
	id := mesh.Identity{
		Issuer:      c.required("iss"),
		Subject:     c.required("sub"),
		ClientID:    c.required("client_id"),
		TokenID:     c.required("jti"),
		Audience:    c.audience(),
		Expiry:      c.time("exp", true),
		IssuedAt:    c.time("iat", true),
		AuthTime:    c.time("auth_time", false),
		SessionID:   c.optional("sid"),
		GrantID:     c.optional("gid"),
		Name:        c.optional("name"),
		Email:       c.optional("email"),
		ACR:         c.optional("acr"),
		Scopes:      words(c.optional("scope")),
		Roles:       c.list("roles"),
		Epoch:       c.integer("epoch"),
		Actors:      c.actors(),
		DerivedFrom: c.list("derived_from"),
		DerivedKeys: c.list("derived_keys"),

		Confirmation: c.confirmation(),
	}
	id.Kind = c.kind(id)
	notBefore := c.time("nbf", false)
	if c.problem != "" {
		return mesh.Identity{}, refused("malformed", "payload: "+c.problem)
	}
	switch {
	case id.Issuer != v.cfg.Issuer:
		return mesh.Identity{}, refused("issuer", "the token is of another issuer")
	case !slices.ContainsFunc(v.cfg.Audiences, func(a string) bool { return slices.Contains(id.Audience, a) }):
		return mesh.Identity{}, refused("audience", "the token is for another audience")
	case !now.Before(id.Expiry.Add(v.cfg.Leeway)):
		return mesh.Identity{}, refused("expired", "the token has expired")
	case now.Add(v.cfg.Leeway).Before(notBefore):
		return mesh.Identity{}, refused("not_yet", "the token is not valid yet")
	case now.Add(v.cfg.Leeway).Before(id.IssuedAt):
		return mesh.Identity{}, refused("not_yet", "the token was issued in the future")
	}
	return id, nil
}

// reader reads claims and keeps the first problem.
type reader struct {
	members map[string]json.RawMessage
	problem string
}

func (r *reader) fail(problem string) {
	if r.problem == "" {
		r.problem = problem
	}
}

func (r *reader) required(name string) string {
	s, ok := jose.Text(r.members, name)
	if !ok || s == "" {
		r.fail(name + " is missing or not a string")
	}
	return s
}

func (r *reader) optional(name string) string {
	if _, ok := r.members[name]; !ok {
		return ""
	}
	s, ok := jose.Text(r.members, name)
	if !ok {
		r.fail(name + " is not a string")
	}
	return s
}

func (r *reader) list(name string) []string {
	raw, ok := r.members[name]
	if !ok {
		return nil
	}
	if raw[0] != '[' {
		r.fail(name + " is not a list of strings")
		return nil
	}
	var l []string
	for _, e := range jose.Elements(raw) {
		if e[0] != '"' {
			r.fail(name + " is not a list of strings")
			return nil
		}
		l = append(l, jose.Unquote(e))
	}
	return l
}

// audience is a string or a list of strings (RFC 7519, section 4.1.3).
func (r *reader) audience() []string {
	if s, ok := jose.Text(r.members, "aud"); ok {
		return []string{s}
	}
	return r.list("aud")
}

// maxActors bounds the chain of actors. Ours is shorter; a longer one is a mistake or an attempt to keep us busy.
const maxActors = 8

// actors reads the chain of "act" claims (RFC 8693, section 4.1), the outermost first.
func (r *reader) actors() []string {
	var chain []string
	for at := r.members; at["act"] != nil; {
		inner, err := jose.Members(at["act"])
		if err != nil || len(chain) == maxActors {
			r.fail("act is not a chain of actors")
			return nil
		}
		sub, ok := jose.Text(inner, "sub")
		if !ok || sub == "" {
			r.fail("act does not say who acts")
			return nil
		}
		chain, at = append(chain, sub), inner
	}
	return chain
}

// thumbprint is the length of a SHA-256 digest in base64url.
const thumbprint = 43

// confirmation reads the one key that the token is bound to, in one of the two ways that are known here. A token that is
// bound in another way, or in two, must not pass for one that is not bound (RFC 7800, section 3.1).
func (r *reader) confirmation() mesh.Confirmation {
	raw, ok := r.members["cnf"]
	if !ok {
		return mesh.Confirmation{}
	}
	m, err := jose.Members(raw)
	if err != nil || len(m) != 1 {
		r.fail("cnf does not name one key")
		return mesh.Confirmation{}
	}
	var c mesh.Confirmation
	c.JKT, _ = jose.Text(m, "jkt")
	c.X5T, _ = jose.Text(m, "x5t#S256")
	if len(c.JKT)+len(c.X5T) != thumbprint {
		r.fail("cnf names a key in a way that is not known here")
	}
	return c
}

// time reads a NumericDate: seconds since the epoch, perhaps with a fraction. Years beyond 9999 and times before the
// epoch are refused, because arithmetic on them overflows.
func (r *reader) time(name string, required bool) time.Time {
	raw, ok := r.members[name]
	if !ok {
		if required {
			r.fail(name + " is missing")
		}
		return time.Time{}
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > 253402300799 {
		r.fail(name + " is not a date")
		return time.Time{}
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9))
}

func (r *reader) integer(name string) int64 {
	raw, ok := r.members[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		r.fail(name + " is not a whole number")
	}
	return n
}

// kind reads who stands behind the token. Where the issuer does not say, a token whose subject is its client is the
// client's own (RFC 9068, section 2.2). An application that claims to be its own user, or the reverse, is refused.
func (r *reader) kind(id mesh.Identity) mesh.Kind {
	own := id.Subject == id.ClientID
	_, said := r.members["caller"]
	switch kind := mesh.Kind(r.optional("caller")); {
	case !said && own:
		return mesh.KindClient
	case !said:
		return mesh.KindUser
	case kind == mesh.KindUser && !own, (kind == mesh.KindClient || kind == mesh.KindWorkload) && own:
		return kind
	default:
		r.fail("caller does not fit sub and client_id")
		return ""
	}
}

// words splits a scope (RFC 6749, section 3.3: words with one space between).
func words(scope string) []string {
	if scope == "" {
		return nil
	}
	return strings.Split(scope, " ")
}
