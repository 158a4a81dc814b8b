package bff

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/realguardio/realguardio/gateway/session"
)

// Cookies reads and writes the gateway's cookies. All are HttpOnly and SameSite=Lax, for this host and every path. The
// names differ from the identity provider's, because browsers share cookies between the ports of a host.
type Cookies struct {
	// Secure is true under https. The names then have the prefix __Host-, which no other host can set. It is false only
	// for plain http on a loopback address.
	Secure bool
}

// ErrTwoSessions says that a request has more than one session cookie: somebody has planted one.
var ErrTwoSessions = errors.New("bff: more than one session cookie")

const (
	sessionCookie = "realguardio-session"
	csrfCookie    = "realguardio-csrf"
	loginCookie   = "realguardio-login-"
)

// Session returns the session id of a request, or "".
func (c Cookies) Session(r *http.Request) (session.ID, error) {
	found := r.CookiesNamed(c.name(sessionCookie))
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return session.ID(found[0].Value), nil
	default:
		return "", ErrTwoSessions
	}
}

// CSRF returns the cookie that goes with the anti-CSRF token, or "".
func (c Cookies) CSRF(r *http.Request) string { return c.value(r, csrfCookie) }

func (c Cookies) value(r *http.Request, name string) string {
	if found := r.CookiesNamed(c.name(name)); len(found) == 1 {
		return found[0].Value
	}
	return ""
}

// set gives the browser a cookie for that long; a zero time means until it closes, a negative one removes it.
func (c Cookies) set(w http.ResponseWriter, name, value string, lifetime time.Duration) {
	cookie := http.Cookie{
		Name: c.name(name), Value: value, Path: "/", Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(lifetime.Seconds()),
	}
	if lifetime < 0 {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, &cookie)
}

func (c Cookies) remove(w http.ResponseWriter, name string) { c.set(w, name, "", -1) }

func (c Cookies) name(name string) string {
	if c.Secure {
		return "__Host-" + name
	}
	return name
}

// loginCookieOf names the cookie of one login, so that logins in two tabs do not disturb each other.
func loginCookieOf(state string) string {
	sum := sha256.Sum256([]byte(state))
	return loginCookie + hex.EncodeToString(sum[:6])
}
