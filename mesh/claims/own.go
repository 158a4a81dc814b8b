package claims

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// own reads a token of our own issuer, which says everything by the names of RFC 9068, sections 2.2 and 2.2.3, and what
// that has no names for by its own.
func own(members map[string]json.RawMessage) (id mesh.Identity, notBefore time.Time, problem error) {
	c := fields{members: members}
	id = mesh.Identity{
		Issuer:      c.required("iss"),
		Subject:     c.required("sub"),
		ClientID:    c.required("client_id"),
		TokenID:     c.required("jti"),
		Audience:    c.audience("aud"),
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
	return id, c.time("nbf", false), c.err()
}

// kind reads who stands behind the token. Where the issuer does not say, a token whose subject is its client is the
// client's own (RFC 9068, section 2.2). An application that claims to be its own user, or the reverse, is refused.
func (f *fields) kind(id mesh.Identity) mesh.Kind {
	own := id.Subject == id.ClientID
	_, said := f.members["caller"]
	switch kind := mesh.Kind(f.optional("caller")); {
	case !said && own, kind == mesh.KindClient && own:
		return mesh.KindClient
	case !said, kind == mesh.KindUser && !own:
		return mesh.KindUser
	case kind == mesh.KindWorkload && own:
		return mesh.KindWorkload
	default:
		f.fail("caller does not fit sub and client_id")
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
