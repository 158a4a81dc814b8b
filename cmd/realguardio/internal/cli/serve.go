package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/notification"
)

func newServe(w World) *cobra.Command {
	serve := &cobra.Command{
		Use:   "serve",
		Short: "Run one part of a production installation",
		Long: `Run one part. The parts find each other by address and know each other by certificate (mutual TLS); each has a client
of its own at the identity provider, made by ` + "`realguardio setup`" + `. They can be started in any order: a part serves at
once, and /readyz on its operations port says what it still waits for.

  part             gRPC   HTTP   operations
  token            9100   9000   9190         the identity provider
  customer         9101          9191
  securitysystem   9102          9192
  notification     9103          9193
  gateway          8090   8080   8091         what the outside reaches

A part refuses embedded stores, plaintext and the demo's secrets unless an --insecure-... flag says otherwise. It drains
on SIGTERM: /readyz answers 503, then running requests end, then the process.`,
	}
	serve.AddCommand(newServeToken(w), newServeCustomer(w), newServeSecuritySystem(w), newServeNotification(w), newServeGateway(w))
	return serve
}

// servePart is a command that listens, builds a part and runs it until the context ends.
func servePart(w World, p *partFlags, short string, declare func(*settings.Set),
	build func(ctx context.Context, log *slog.Logger, l assembly.Listeners) (*assembly.Part, error),
) *cobra.Command {
	c := &cobra.Command{Use: p.part, Short: short}
	return command(w, c, p.part, declare, func(c *cobra.Command, _ []string) error {
		log, err := p.log.logger(c.ErrOrStderr())
		if err != nil {
			return err
		}
		assembly.LogRedis(log.With("part", p.part))
		listeners, err := assembly.Listen(p.listen)
		if err != nil {
			return err
		}
		defer listeners.Close()
		part, err := build(c.Context(), log, listeners)
		if err != nil {
			return err
		}
		log.Info("serving", "part", p.part, "version", version())
		return part.Run(c.Context())
	})
}

func newServeToken(w World) *cobra.Command {
	p := &partFlags{part: assembly.Token}
	var encryption, mac keyFile
	var demoSecrets bool
	var proxies []string
	declare := func(s *settings.Set) {
		p.declare(s, assembly.Addresses{GRPC: ":9100", HTTP: ":9000", Ops: ":9190"})
		p.declareWorkload(s)
		p.declareDatabase(s)
		p.declareRedis(s)
		p.declarePublicTLS(s)
		p.declarePeer(s, assembly.Token, &p.peers.Token, "9100")
		encryption.declare(s, "key-encryption-key-file", "key that signing keys are encrypted with in the database")
		mac.declare(s, "token-mac-key-file", "key that refresh tokens are authenticated with")
		s.Strings(&proxies, "trusted-proxy", "network whose X-Forwarded-For is believed, such as 10.0.0.0/8", prefixes)
		s.Bool(&demoSecrets, "insecure-demo-secrets", "allow a database with the demo's accounts, whose password everybody knows")
	}
	return servePart(w, p, "The identity provider: accounts, clients, tokens", declare,
		func(ctx context.Context, log *slog.Logger, l assembly.Listeners) (*assembly.Part, error) {
			public, err := p.publicTLS()
			if err != nil {
				return nil, err
			}
			return assembly.NewToken(ctx, assembly.TokenConfig{
				Environment: p.environment(log), KeyEncryptionKey: encryption.key, MACKey: mac.key, PublicTLS: public,
				TrustedProxies: parsePrefixes(proxies), AllowDemoSecrets: demoSecrets, AllowPlaintextIssuer: p.insecurePlaintext,
			}, l)
		})
}

func newServeCustomer(w World) *cobra.Command {
	p := &partFlags{part: assembly.Customer}
	declare := func(s *settings.Set) {
		p.declare(s, assembly.Addresses{GRPC: ":9101", Ops: ":9191"})
		p.declareWorkload(s)
		p.declareDatabase(s)
		p.declareRedis(s)
		p.declarePeer(s, assembly.Token, &p.peers.Token, "9100")
		p.declarePeer(s, assembly.SecuritySystem, &p.peers.SecuritySystem, "9102")
	}
	return servePart(w, p, "Customers, locations, employees, teams and grants", declare,
		func(ctx context.Context, log *slog.Logger, l assembly.Listeners) (*assembly.Part, error) {
			return assembly.NewCustomer(ctx, p.environment(log), l)
		})
}

func newServeSecuritySystem(w World) *cobra.Command {
	p := &partFlags{part: assembly.SecuritySystem}
	declare := func(s *settings.Set) {
		p.declare(s, assembly.Addresses{GRPC: ":9102", Ops: ":9192"})
		p.declareWorkload(s)
		p.declareDatabase(s)
		p.declareRedis(s)
		p.declarePeer(s, assembly.Token, &p.peers.Token, "9100")
		p.declarePeer(s, assembly.Customer, &p.peers.Customer, "9101")
	}
	return servePart(w, p, "Security systems, their state and their timeline", declare,
		func(ctx context.Context, log *slog.Logger, l assembly.Listeners) (*assembly.Part, error) {
			return assembly.NewSecuritySystem(ctx, p.environment(log), l)
		})
}

func newServeNotification(w World) *cobra.Command {
	p := &partFlags{part: assembly.Notification}
	mail := notification.MailConfig{}
	var tlsMode, mailCA string
	declare := func(s *settings.Set) {
		p.declare(s, assembly.Addresses{GRPC: ":9103", Ops: ":9193"})
		p.declareWorkload(s)
		p.declareDatabase(s)
		p.declareRedis(s)
		p.declarePeer(s, assembly.Token, &p.peers.Token, "9100")
		p.declarePeer(s, assembly.Customer, &p.peers.Customer, "9101")
		s.String(&mail.Addr, "smtp-address", "mail server, host:port", settings.Required, settings.Address)
		s.String(&mail.From, "mail-from", "sender of every message, such as RealGuardIO <alarm@example.com>", settings.Required)
		s.String(&mail.Username, "smtp-username", "account at the mail server; empty for none")
		s.String(&mail.PasswordFile, "smtp-password-file", "file with its password", settings.File)
		s.String(&mailCA, "smtp-ca-file", "authority of the mail server's certificate (default: the system's)", settings.File)
		tlsMode = "starttls"
		s.String(&tlsMode, "smtp-tls", "starttls, implicit (port 465) or none", settings.OneOf("starttls", "implicit", "none"))
		s.Rule(func() error {
			if tlsMode == "none" && !p.insecurePlaintext {
				return errors.New("--smtp-tls: none would send messages in plaintext (--insecure-plaintext allows it)")
			}
			return nil
		})
	}
	return servePart(w, p, "Messages to people about what happened", declare,
		func(ctx context.Context, log *slog.Logger, l assembly.Listeners) (*assembly.Part, error) {
			mail.TLS, mail.Insecure = notification.TLSMode(tlsMode), p.insecurePlaintext
			if mailCA != "" {
				var err error
				if mail.TLSConfig, err = assembly.Trusting(mailCA); err != nil {
					return nil, err
				}
			}
			return assembly.NewNotification(ctx, assembly.NotificationConfig{Environment: p.environment(log), Mail: mail}, l)
		})
}

func newServeGateway(w World) *cobra.Command {
	p := &partFlags{part: assembly.Gateway}
	cfg := assembly.GatewayConfig{}
	var web secretFile
	var session keyFile
	var oldSessions, proxies []string
	declare := func(s *settings.Set) {
		p.declare(s, assembly.Addresses{GRPC: ":8090", HTTP: ":8080", Ops: ":8091"})
		p.declareWorkload(s)
		p.declareRedis(s)
		p.declarePublicTLS(s)
		p.declarePeer(s, assembly.Token, &p.peers.Token, "9100")
		p.declarePeer(s, assembly.Customer, &p.peers.Customer, "9101")
		p.declarePeer(s, assembly.SecuritySystem, &p.peers.SecuritySystem, "9102")
		p.declarePeer(s, assembly.Notification, &p.peers.Notification, "9103")
		s.String(&cfg.PublicURL, "public-url", "where browsers reach the gateway, such as https://example.com", settings.Required, settings.HTTPURL)
		web.declare(s, "web-client-secret-file", "secret of the client `"+assembly.WebClient+"`, by which people sign in (see `realguardio setup`)")
		session.declare(s, "session-key-file", "key that sessions are encrypted with in Redis")
		s.Strings(&oldSessions, "old-session-key-file", "earlier session key, still understood")
		s.Strings(&proxies, "trusted-proxy", "network whose X-Forwarded-For is believed, such as 10.0.0.0/8", prefixes)
		s.Strings(&cfg.CORSOrigins, "cors-origin", "origin whose pages may call the API with a bearer token")
	}
	return servePart(w, p, "What browsers, API clients and native gRPC clients reach", declare,
		func(ctx context.Context, log *slog.Logger, l assembly.Listeners) (*assembly.Part, error) {
			var err error
			cfg.Environment, cfg.WebClientSecret = p.environment(log), web.value
			if cfg.SessionKeys, err = sessionKeys(session.key, oldSessions); err != nil {
				return nil, err
			}
			cfg.TrustedProxies = parsePrefixes(proxies)
			if cfg.PublicTLS, err = p.publicTLS(); err != nil {
				return nil, err
			}
			cfg.GRPCTLS = cfg.PublicTLS
			return assembly.NewGateway(ctx, cfg, l)
		})
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
