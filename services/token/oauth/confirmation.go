package oauth

import (
	"fmt"
	"strings"
)

// Confirmation binds a token to a key (RFC 7800, section 3.1), in one of two ways. Both values are SHA-256 digests in
// base64url.
type Confirmation struct {
	// JKT is the thumbprint of the key of DPoP proofs (RFC 9449, section 6.1).
	JKT string `json:"jkt,omitempty"`
	// X5T is the digest of a client's certificate (RFC 8705, section 3.1).
	X5T string `json:"x5t#S256,omitempty"`
}

// tokenType says how the token is sent: with a proof for each request (RFC 9449, section 5), or as a bearer token, be it
// over a connection that proves the key (RFC 8705, section 3).
func (c *Confirmation) tokenType() string {
	if c != nil && c.JKT != "" {
		return "DPoP"
	}
	return "Bearer"
}

// value is the zero Confirmation for none.
func (c *Confirmation) value() Confirmation {
	if c == nil {
		return Confirmation{}
	}
	return *c
}

// told is how it stands in a token: not at all where there is none.
func (c Confirmation) told() *Confirmation {
	if c == (Confirmation{}) {
		return nil
	}
	return &c
}

// The names of the two ways, in a token and where a Confirmation is stored.
const (
	byThumbprint  = "jkt:"
	byCertificate = "x5t#S256:"
)

// String is the form in which it is stored; ParseConfirmation reads it.
func (c Confirmation) String() string {
	switch {
	case c.JKT != "":
		return byThumbprint + c.JKT
	case c.X5T != "":
		return byCertificate + c.X5T
	}
	return ""
}

// ParseConfirmation reads what String has written.
func ParseConfirmation(s string) (Confirmation, error) {
	if s == "" {
		return Confirmation{}, nil
	}
	if digest, ok := strings.CutPrefix(s, byThumbprint); ok {
		return Confirmation{JKT: digest}, nil
	}
	if digest, ok := strings.CutPrefix(s, byCertificate); ok {
		return Confirmation{X5T: digest}, nil
	}
	return Confirmation{}, fmt.Errorf("%q names no key", s)
}

// binds is the key that refresh tokens of the client are bound to, for a request that has proven one. Those of a client that
// authenticates are its own already, and it may take a new key (RFC 9449, section 5; RFC 8705, section 7.1).
func (c *Client) binds(sender *Confirmation) Confirmation {
	if !c.Public {
		return Confirmation{}
	}
	return sender.value()
}
