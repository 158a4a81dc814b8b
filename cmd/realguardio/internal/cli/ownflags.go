package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/token"
)

// noFlags is a part that has no settings of its own, by its constructor.
type noFlags func(context.Context, assembly.Environment, assembly.Listeners) (*assembly.Part, error)

func (noFlags) declare(*settings.Set, *partFlags) {}

func (construct noFlags) build(ctx context.Context, _ *partFlags, env assembly.Environment, l assembly.Listeners) (*assembly.Part, error) {
	return construct(ctx, env, l)
}

type tokenFlags struct {
	keys        tokenKeys
	upstreams   upstreamProviders
	mail        mailFlags
	breached    string
	demoSecrets bool
	proxies     []string
	signing     time.Duration
	nonces      token.NoncePolicy
	mtls        mutualTLSFlags
}

func (f *tokenFlags) declare(s *settings.Set, p *partFlags) {
	f.keys.declare(s)
	f.signing = 90 * 24 * time.Hour
	s.Duration(&f.signing, "signing-key-lifetime", "how long a key signs tokens until the next one does: two days to a year")
	f.upstreams.declare(s, &p.insecurePlaintext)
	f.mail.declare(s, p)
	s.String(&f.breached, "breached-passwords-file", "passwords that nobody may choose besides the most common ones: sorted lines of SHA-1, as they are published", settings.File)
	s.Strings(&f.proxies, "trusted-proxy", "network whose X-Forwarded-For is believed, such as 10.0.0.0/8", prefixes)
	declareNonces(s, &f.nonces)
	f.mtls.declare(s, p, "clients, but no browsers, show certificates, such as https://mtls.id.example.com")
	f.mtls.declareAuthorities(s)
	s.Bool(&f.demoSecrets, "insecure-demo-secrets", "allow a database with the demo's accounts, whose password everybody knows")
}

func (f *tokenFlags) build(ctx context.Context, p *partFlags, env assembly.Environment, l assembly.Listeners) (*assembly.Part, error) {
	public, err := p.publicTLS()
	if err != nil {
		return nil, err
	}
	cfg := f.keys.config(env)
	cfg.PublicTLS, cfg.TrustedProxies = public, parsePrefixes(f.proxies)
	cfg.Upstreams, cfg.BreachedPasswords, cfg.SigningKeyLifetime = f.upstreams.list, f.breached, f.signing
	if cfg.Mail, err = f.mail.config(p); err != nil {
		return nil, err
	}
	cfg.DPoPNonces = f.nonces
	if cfg.MutualTLS, err = f.mtls.config(); err != nil {
		return nil, err
	}
	cfg.AllowDemoSecrets, cfg.AllowPlaintextIssuer = f.demoSecrets, p.insecurePlaintext
	return assembly.NewToken(ctx, cfg, l)
}

// tokenKeys are the keys of the token service, which setup needs as well.
type tokenKeys struct {
	encryption, mac keyFile
	old             []string
	olds            [][]byte
}

func (k *tokenKeys) declare(s *settings.Set) {
	k.encryption.declare(s, "key-encryption-key-file", "key that signing keys are encrypted with in the database")
	s.Strings(&k.old, "old-key-encryption-key-file", "earlier key-encryption key: what it encrypts is encrypted with the new one at the start")
	s.Rule(func() error {
		k.olds = nil
		for _, file := range k.old {
			key, err := keyfile.Read(file)
			if err != nil {
				return fmt.Errorf("--old-key-encryption-key-file: %w", err)
			}
			k.olds = append(k.olds, key)
		}
		return nil
	})
	k.mac.declare(s, "token-mac-key-file", "key that refresh tokens are authenticated with")
}

func (k *tokenKeys) config(env assembly.Environment) assembly.TokenConfig {
	return assembly.TokenConfig{Environment: env, KeyEncryptionKey: k.encryption.key, OldKeyEncryptionKeys: k.olds, MACKey: k.mac.key}
}

type notificationFlags struct{ mail mailFlags }

func (f *notificationFlags) declare(s *settings.Set, p *partFlags) {
	f.mail.declare(s, p, settings.Required)
}

func (f *notificationFlags) build(ctx context.Context, p *partFlags, env assembly.Environment, l assembly.Listeners) (*assembly.Part, error) {
	mail, err := f.mail.config(p)
	if err != nil {
		return nil, err
	}
	return assembly.NewNotification(ctx, assembly.NotificationConfig{Environment: env, Mail: *mail}, l)
}

type gatewayFlags struct {
	publicURL                     string
	web                           secretFile
	session                       keyFile
	signIn                        signInFlags
	bound                         boundTokenFlags
	limits                        edgeLimitFlags
	oldSessions, proxies, origins []string
}

func (f *gatewayFlags) declare(s *settings.Set, p *partFlags) {
	s.String(&f.publicURL, "public-url", "where browsers reach the gateway, such as https://example.com", settings.Required, settings.HTTPURL, origin)
	f.web.declare(s, "web-client-secret-file", "secret of the client "+assembly.WebClient+", by which people sign in, made by realguardio setup")
	f.signIn.declare(s, &p.trusted)
	f.session.declare(s, "session-key-file", "key that sessions are encrypted with in Redis")
	s.Strings(&f.oldSessions, "old-session-key-file", "earlier session key, still understood")
	s.Strings(&f.proxies, "trusted-proxy", "network whose X-Forwarded-For is believed, such as 10.0.0.0/8", prefixes)
	f.bound.declare(s, p)
	f.limits.declare(s)
	s.Strings(&f.origins, "cors-origin", "origin whose pages may call the API with a bearer token")
}

func (f *gatewayFlags) build(ctx context.Context, p *partFlags, env assembly.Environment, l assembly.Listeners) (*assembly.Part, error) {
	sessions, err := sessionKeys(f.session.key, f.oldSessions)
	if err != nil {
		return nil, err
	}
	public, err := p.publicTLS()
	if err != nil {
		return nil, err
	}
	return assembly.NewGateway(ctx, assembly.GatewayConfig{
		Environment: env, PublicURL: f.publicURL, WebClientSecret: f.web.value, SignIn: f.signIn.made, SessionKeys: sessions,
		TrustedProxies: parsePrefixes(f.proxies), CORSOrigins: f.origins, PublicTLS: public, GRPCTLS: public, Bound: f.bound.config(),
		Limits: f.limits.Limits,
	}, l)
}

func sessionKeys(current []byte, old []string) ([][]byte, error) {
	keys := [][]byte{current}
	for _, file := range old {
		key, err := keyfile.Read(file)
		if err != nil {
			return nil, fmt.Errorf("--old-session-key-file: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// origin wants the URL of an origin by which browsers sign in: they send the gateway's cookies over https only, except
// to this machine.
func origin(value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return nil // said by settings.HTTPURL
	}
	if strings.TrimSuffix(u.Path, "/") != "" {
		return errors.New("must be a scheme and a host, without a path")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return errors.New("must be https, except on a loopback address")
	}
	return nil
}

// prefixes checks a list of networks, as it stands in a setting.
func prefixes(list string) error {
	for one := range strings.SplitSeq(list, ",") {
		if one == "" {
			continue
		}
		if _, err := netip.ParsePrefix(one); err != nil {
			return fmt.Errorf("%q is not a network such as 10.0.0.0/8", one)
		}
	}
	return nil
}

func parsePrefixes(list []string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, one := range list {
		if prefix, err := netip.ParsePrefix(one); err == nil { // checked by prefixes
			parsed = append(parsed, prefix)
		}
	}
	return parsed
}
