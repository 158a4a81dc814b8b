// Package loopback tells which hosts are this machine.
//
// What may be done there and nowhere else, such as to speak in plain text, its users say.
package loopback

import (
	"net"
	"strings"
)

// Host reports whether a host, as url.URL.Hostname returns it, is this machine, whatever machine that is: localhost and what
// is below it (RFC 6761, section 6.3), or a loopback address. It asks nobody for an address.
func Host(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}
