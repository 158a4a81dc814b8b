// Package claims reads whom an access token speaks for out of what it says, by the names that its issuer uses for it: ours,
// or those of another issuer that a [Mapping] translates.
//
// Whether what it says is to be believed is not its concern: package jwt has checked the signature, package introspection
// has asked the issuer.
package claims

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// Config says which claims are accepted, and how they are read.
type Config struct {
	// Issuer must equal "iss", to the letter. Required.
	Issuer string
	// Audiences: one of them must be among the token's. Required.
	Audiences []string
	// Leeway is the clock difference tolerated on "exp", "nbf" and "iat". Default: none.
	Leeway time.Duration
	// Mapping is for the tokens of another issuer than ours. Default: ours, by RFC 9068.
	Mapping *Mapping
}

// Reader reads the claims of one issuer. It is safe for concurrent use.
type Reader struct {
	cfg     Config
	mapping *Mapping
}

// New checks cfg and makes a reader.
func New(cfg Config) (*Reader, error) {
	switch {
	case cfg.Issuer == "":
		return nil, errors.New("Issuer is missing")
	case len(cfg.Audiences) == 0:
		return nil, errors.New("Audiences is missing")
	case slices.Contains(cfg.Audiences, ""):
		return nil, errors.New("Audiences has an empty one")
	}
	r := &Reader{cfg: cfg}
	if cfg.Mapping != nil {
		m := *cfg.Mapping
		m.complete()
		if err := m.Validate(); err != nil {
			return nil, err
		}
		r.mapping = &m
	}
	return r, nil
}

// Issuer is whose claims these are.
func (r *Reader) Issuer() string { return r.cfg.Issuer }

// Namespace is that of the mapping; empty for our own issuer.
func (r *Reader) Namespace() string {
	if r.mapping == nil {
		return ""
	}
	return r.mapping.Namespace
}

// Qualify is how an identifier of this issuer is called here.
func (r *Reader) Qualify(id string) string {
	if r.mapping == nil {
		return id
	}
	return r.mapping.qualify(id)
}

// TypeAccepted reports whether a token whose header names this type ("typ"; named is false where it names none) may be an
// access token.
func (r *Reader) TypeAccepted(typ string, named bool) bool {
	if r.mapping == nil {
		return named && isAccessToken(typ)
	}
	return r.mapping.typeAccepted(typ, named)
}

// Read returns whom the token with these claims speaks for now (RFC 9068, sections 2.2 and 4). signed is the token
// without its signature: of one that has no id, an id is derived from that.
func (r *Reader) Read(members map[string]json.RawMessage, signed string, now time.Time) (mesh.Identity, error) {
	var id mesh.Identity
	var notBefore time.Time
	var err error
	if r.mapping == nil {
		id, notBefore, err = own(members)
	} else {
		id, notBefore, err = r.mapping.read(members, signed)
	}
	if err == nil {
		err = r.check(&id, notBefore, now)
	}
	if err != nil {
		return mesh.Identity{}, err
	}
	id.Issuer = r.cfg.Issuer // the same text, in memory that all its tokens share
	return id, nil
}

// Person is who an ID token or a logout token speaks of, as they are called here. What it does not say is empty.
type Person struct{ Subject, SessionID, Name, Email string }

// Person reads an ID token or a logout token, which others have verified. It must not be used for access tokens: it asks
// for nothing.
func (r *Reader) Person(payload []byte) (Person, error) {
	members, err := jose.Members(payload)
	if err != nil {
		return Person{}, Refused("malformed", err.Error())
	}
	c := fields{members: members}
	if r.mapping == nil {
		p := Person{Subject: c.optional("sub"), SessionID: c.optional("sid"), Name: c.optional("name"), Email: c.optional("email")}
		return p, c.err()
	}
	m := r.mapping
	p := Person{Subject: m.qualify(c.identifier(m.Subject)), SessionID: m.qualify(c.identifier(m.Session)), Name: c.display(m.Name)}
	if c.verifiedEmail() {
		p.Email = c.display(m.Email)
	}
	return p, c.err()
}

func (r *Reader) check(id *mesh.Identity, notBefore, now time.Time) error {
	switch {
	case id.Issuer != r.cfg.Issuer:
		return Refused("issuer", "the token is of another issuer")
	case !slices.ContainsFunc(r.cfg.Audiences, func(a string) bool { return slices.Contains(id.Audience, a) }):
		return Refused("audience", "the token is for another audience")
	case !now.Before(id.Expiry.Add(r.cfg.Leeway)):
		return Refused("expired", "the token has expired")
	case now.Add(r.cfg.Leeway).Before(notBefore):
		return Refused("not_yet", "the token is not valid yet")
	case now.Add(r.cfg.Leeway).Before(id.IssuedAt):
		return Refused("not_yet", "the token was issued in the future")
	}
	return nil
}

// refusal says why claims are not accepted.
type refusal struct{ cause, text string }

// Refused makes an error with a method Cause, as [mesh.Verifier] has it. Neither may hold anything secret.
func Refused(cause, text string) error { return &refusal{cause: cause, text: text} }

func (r *refusal) Error() string { return "claims: " + r.text }

// Cause is one of a few fixed words, for metrics.
func (r *refusal) Cause() string { return r.cause }
