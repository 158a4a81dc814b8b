package oauth

import (
	"net/url"
	"slices"
	"strings"
)

// redirectAllowed tells whether a browser may be sent to uri for this client: to the letter one of the registered ones
// (RFC 9700, section 4.1.3), except that a native application may listen on any port of this machine (RFC 8252, 7.3).
func (c *Client) redirectAllowed(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if !c.Public {
		return false
	}
	portless, ok := withoutLoopbackPort(uri)
	return ok && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		bare, ok := withoutLoopbackPort(registered)
		return ok && bare == portless
	})
}

// impersonable tells whether another program could pose as the client and receive what is sent to uri: it has no secret to
// show, and anybody can listen on this machine or claim a scheme (RFC 8252, section 8.6). An answer to an https URI reaches
// whom it belongs to.
func (c *Client) impersonable(uri string) bool {
	return c.Public && !strings.HasPrefix(uri, "https://")
}

// PostLogoutAllowed tells whether a browser may be sent to uri after signing out, with the same exactness.
func (c *Client) PostLogoutAllowed(uri string) bool { return slices.Contains(c.PostLogoutURIs, uri) }

// withoutLoopbackPort takes the port out of an http URI to this machine. It works on the text, so that two URIs which a
// parser would take for the same stay different.
func withoutLoopbackPort(uri string) (string, bool) {
	const scheme = "http://"
	rest, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	for _, name := range []string{"127.0.0.1", "[::1]", "localhost"} {
		port, ok := strings.CutPrefix(host, name)
		if ok && (port == "" || validPort(port)) {
			return scheme + name + path, true
		}
	}
	return "", false
}

func validPort(s string) bool {
	digits, ok := strings.CutPrefix(s, ":")
	return ok && len(digits) >= 1 && len(digits) <= 5 && strings.Trim(digits, "0123456789") == ""
}

// withParams adds parameters to the query of a registered URI, keeping what it has (RFC 6749, section 3.1.2).
func withParams(uri string, params url.Values) string {
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	return uri + separator + params.Encode()
}
