package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"
)

// cookieNames differ from those of the gateway, because cookies ignore ports: on localhost both have one jar.
type cookieNames struct {
	// login holds the login session, browser ties unfinished transactions to the browser that began them, device tells
	// that its person has signed in here before; it signs nobody in. userCode keeps the code of a device while its person
	// signs in.
	login, browser, device, userCode string
	secure                           bool
}

func namesFor(https bool) cookieNames {
	if https {
		return cookieNames{login: "__Host-rgt_login", browser: "__Host-rgt_browser", device: "__Host-rgt_device",
			userCode: "__Host-rgt_user_code", secure: true}
	}
	return cookieNames{login: "rgt_login", browser: "rgt_browser", device: "rgt_device", userCode: "rgt_user_code"}
}

// newCookieValue is 256 random bits.
func newCookieValue() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// hashCookie is how a cookie's value is kept: whoever reads our stores cannot send it.
func hashCookie(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// cookie returns the value of a cookie, or "" if the browser does not send exactly one of the name.
func cookie(r *http.Request, name string) string {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}

// browserOf is what transactions of the browser that sent r are kept with; "" for one that has begun none.
func (h *handler) browserOf(r *http.Request) string {
	value := cookie(r, h.cookies.browser)
	if value == "" {
		return ""
	}
	return hashCookie(value)
}

// setCookie sets a cookie for us alone. Lax, because the browser comes here by a link from another site.
func (h *handler) setCookie(w http.ResponseWriter, name, value string, lifetime time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: h.cookies.secure, SameSite: http.SameSiteLaxMode}
	switch {
	case value == "":
		c.MaxAge = -1
	case lifetime > 0:
		c.MaxAge = lifetimeSeconds(lifetime)
	}
	http.SetCookie(w, c)
}
