// Package csrf proves that a request was made by a page of this site: a double-submit token in the manner of next-auth,
// tied to the browser's session.
//
// The browser holds the token and a keyed hash of it in one cookie, and a page of this site repeats the token where no
// other site can. The hash covers the session cookie too, so that a token planted by a neighbouring site is worthless in
// somebody else's session, and one from before a login is worthless after it.
package csrf

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Guard makes and checks tokens. It is safe for concurrent use.
type Guard struct{ key []byte }

// New derives the key from a secret that all replicas share.
func New(secret []byte) *Guard {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("realguardio csrf"))
	return &Guard{key: mac.Sum(nil)}
}

// Token returns the token in cookie if it belongs to session, the value of the session cookie or "", and otherwise a new
// one with the cookie to set. set is "" when the browser's cookie may stay.
func (g *Guard) Token(cookie, session string) (token, set string) {
	if token, ok := g.read(cookie, session); ok {
		return token, ""
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	token = hex.EncodeToString(random[:])
	return token, token + "|" + g.hash(token, session)
}

// Proven reports whether token is the one in cookie, and belongs to session.
func (g *Guard) Proven(token, cookie, session string) bool {
	held, ok := g.read(cookie, session)
	return ok && token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(held)) == 1
}

func (g *Guard) read(cookie, session string) (token string, ok bool) {
	token, hash, _ := strings.Cut(cookie, "|")
	return token, token != "" && hmac.Equal([]byte(hash), []byte(g.hash(token, session)))
}

func (g *Guard) hash(token, session string) string {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(token + "|" + session))
	return hex.EncodeToString(mac.Sum(nil))
}
