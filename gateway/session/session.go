// Package session owns the browser sessions of the gateway: who is signed in, with which tokens, until when.
//
// A session begins at a login, is renewed while it is used, has its access token refreshed before that ends, and is over
// by sign-out, by either of its two limits, or because the identity provider says so. How tokens are got and renewed is
// the relying party's; how a browser carries the session's id is the HTTP layer's.
package session

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/realguardio/realguardio/mesh"
)

// ID is the secret that a browser holds: 256 random bits.
type ID string

// String hides the id from logs.
func (ID) String() string { return "[redacted]" }

// Tokens is what the identity provider issued for a session.
type Tokens struct {
	Access, Refresh, ID string
	// Identity is what the verified access token says, its Expiry included.
	Identity mesh.Identity
	// Person is from the ID token.
	Person Person
}

// Person is what the browser may know about who is signed in.
type Person struct {
	Subject string   `json:"sub"`
	Name    string   `json:"name,omitempty"`
	Email   string   `json:"email,omitempty"`
	Roles   []string `json:"roles,omitempty"`
}

// Session is one browser's session as it was read.
type Session struct {
	Person  Person `json:"p"`
	Access  string `json:"a"`
	Refresh string `json:"r"`
	IDToken string `json:"i"`
	// Expiry is when the access token ends.
	Expiry time.Time `json:"x"`
	// Begun is the login. Idle is when the session ends unless it is used, Until when it ends anyhow.
	Begun time.Time `json:"b"`
	Idle  time.Time `json:"d"`
	Until time.Time `json:"u"`
	// Claims are those of the access token that a revocation may speak of.
	Claims Claims `json:"c"`
}

// Claims are the claims of a token by which it may be revoked.
type Claims struct {
	ClientID  string    `json:"cid,omitempty"`
	SessionID string    `json:"sid,omitempty"`
	GrantID   string    `json:"gid,omitempty"`
	TokenID   string    `json:"jti,omitempty"`
	KeyID     string    `json:"kid,omitempty"`
	Issuer    string    `json:"iss,omitempty"`
	Epoch     int64     `json:"ep,omitempty"`
	IssuedAt  time.Time `json:"iat"`
}

// set puts newly issued tokens into s. What the provider did not issue anew stays.
func (s *Session) set(t Tokens) {
	s.Access, s.Expiry = t.Access, t.Identity.Expiry
	if t.Refresh != "" {
		s.Refresh = t.Refresh
	}
	if t.ID != "" {
		s.IDToken, s.Person = t.ID, t.Person
	}
	s.Person.Roles = slices.Clone(t.Identity.Roles)
	id := t.Identity
	s.Claims = Claims{
		ClientID: id.ClientID, SessionID: id.SessionID, GrantID: id.GrantID, TokenID: id.TokenID,
		KeyID: id.KeyID, Issuer: id.Issuer, Epoch: id.Epoch, IssuedAt: id.IssuedAt,
	}
}

// identity is what a revocation of the whole session is compared with. A person's epoch that was raised is none: it ends
// tokens, and whether the session gets new ones is for the identity provider to say.
func (s *Session) identity() mesh.Identity {
	return mesh.Identity{
		Subject: s.Person.Subject, Kind: mesh.KindUser, ClientID: s.Claims.ClientID, SessionID: s.Claims.SessionID,
		GrantID: s.Claims.GrantID, Issuer: s.Claims.Issuer, Epoch: math.MaxInt64, IssuedAt: s.Claims.IssuedAt,
		Expiry: s.Expiry,
	}
}

// tokenIdentity is what a revocation of the access token alone is compared with.
func (s *Session) tokenIdentity() mesh.Identity {
	id := s.identity()
	id.TokenID, id.KeyID, id.Epoch = s.Claims.TokenID, s.Claims.KeyID, s.Claims.Epoch
	return id
}

// Expires is when the session ends if nobody uses it any more.
func (s *Session) Expires() time.Time {
	if s.Idle.Before(s.Until) {
		return s.Idle
	}
	return s.Until
}

func (s *Session) encode() ([]byte, error) { return json.Marshal(s) }

func decode(plain []byte) (*Session, error) {
	s := &Session{}
	return s, json.Unmarshal(plain, s)
}
