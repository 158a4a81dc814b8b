package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// settings are read from the environment.
type settings struct {
	// suite is CONFORMANCE_SUITE_URL, such as "https://localhost.emobix.co.uk:8443", with a trailing slash.
	suite string
	// token is CONFORMANCE_TOKEN, which the suite's API is asked with; empty for a suite in developer mode.
	token string
	// username and password are CONFORMANCE_USERNAME and CONFORMANCE_PASSWORD, of an account of the identity provider.
	username, password string
	// transport trusts, besides the system's, the authorities in the PEM file CONFORMANCE_CA_FILE.
	transport http.RoundTripper
	// patience is how long a module may take: CONFORMANCE_TIMEOUT, by default 5 minutes.
	patience time.Duration
	// pause is the time between two looks at a module that is not finished: CONFORMANCE_POLL, by default a second.
	pause time.Duration
}

var errSkipped = errors.New("no suite to drive")

func readSettings(env func(string) (string, bool)) (settings, error) {
	get := func(name string) string { v, _ := env(name); return v }
	s := settings{suite: strings.TrimRight(get("CONFORMANCE_SUITE_URL"), "/") + "/", token: get("CONFORMANCE_TOKEN"),
		username: get("CONFORMANCE_USERNAME"), password: get("CONFORMANCE_PASSWORD"), patience: 5 * time.Minute, pause: time.Second}
	if s.suite == "/" {
		return settings{}, errSkipped
	}
	if s.username == "" || s.password == "" {
		return settings{}, errors.New("CONFORMANCE_USERNAME and CONFORMANCE_PASSWORD must name an account of the identity provider")
	}
	for name, value := range map[string]*time.Duration{"CONFORMANCE_TIMEOUT": &s.patience, "CONFORMANCE_POLL": &s.pause} {
		if given := get(name); given != "" {
			parsed, err := time.ParseDuration(given)
			if err != nil || parsed <= 0 {
				return settings{}, fmt.Errorf("%s must be a duration such as 5m", name)
			}
			*value = parsed
		}
	}
	var err error
	s.transport, err = transport(get("CONFORMANCE_CA_FILE"))
	return s, err
}

func transport(caFile string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading CONFORMANCE_CA_FILE: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("CONFORMANCE_CA_FILE has no certificate")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return t, nil
}
