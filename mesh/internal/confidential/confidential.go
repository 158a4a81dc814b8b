// Package confidential tells whether what is sent to a URL can be read on the way.
//
// It does not know what is sent there.
package confidential

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// Check refuses a URL that is neither https, nor http to a loopback address.
func Check(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return errors.New("it is not a URL")
	}
	host := u.Hostname()
	loopback := host == "localhost" || net.ParseIP(host).IsLoopback()
	if u.Scheme == "https" && host != "" || u.Scheme == "http" && loopback {
		return nil
	}
	return fmt.Errorf("%s is not https", u.Redacted())
}
