package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/loopback"
)

// complete checks cfg, fills in the defaults and returns the public URL.
func (cfg *Config) complete() (*url.URL, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	public, err := publicURL(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	cfg.setDefaults()
	return public, nil
}

// check says what is missing.
func (cfg *Config) check() error {
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"PublicURL", cfg.PublicURL == ""}, {"Provider.Issuer", cfg.Provider.Issuer == ""}, {"Provider.ClientID", cfg.Provider.ClientID == ""},
		{"Provider.ClientSecret", cfg.Provider.ClientSecret == ""}, {"Sessions.Redis", cfg.Sessions.Redis == nil}, {"Sessions.Keys", len(cfg.Sessions.Keys) == 0},
		{"Verifier", cfg.Verifier == nil}, {"Revocations", cfg.Revocations == nil}, {"Site.UI", cfg.Site.UI == nil},
		{"Logger", cfg.Logger == nil},
	} {
		if required.missing {
			return fmt.Errorf("gateway: %s is missing", required.name)
		}
	}
	for i, b := range cfg.Backends {
		if b.Conn == nil || b.Forward == nil {
			return fmt.Errorf("gateway: backend %d needs Conn and Forward", i)
		}
	}
	if cfg.SignIn != nil && cfg.SignIn.Claims == nil {
		return errors.New("gateway: SignIn.Claims is missing")
	}
	return nil
}

func (cfg *Config) setDefaults() {
	if cfg.Provider.Scopes == nil {
		cfg.Provider.Scopes = DefaultScopes
	}
	if cfg.Part == "" {
		cfg.Part = "gateway"
	}
	if cfg.GRPC.Instrument == nil {
		cfg.GRPC.Instrument = func(*mesh.ServerConfig) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Limits.complete()
}

func (l *Limits) complete() {
	d := DefaultLimits()
	l.Address, l.Caller, l.SignIn = cmp.Or(l.Address, d.Address), cmp.Or(l.Caller, d.Caller), cmp.Or(l.SignIn, d.SignIn)
	l.Streams, l.EachStreams = cmp.Or(l.Streams, d.Streams), cmp.Or(l.EachStreams, d.EachStreams)
	l.Calls, l.EachCalls = cmp.Or(l.Calls, d.Calls), cmp.Or(l.EachCalls, d.EachCalls)
}

func publicURL(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("gateway: PublicURL %q must be a scheme and a host", raw)
	}
	switch {
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && loopback.Host(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, errors.New("gateway: PublicURL must be https, except on a loopback address")
	default:
		return nil, fmt.Errorf("gateway: PublicURL %q must be http or https", raw)
	}
}
