package dev

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/mesh"
)

// builder builds one part.
type builder func(context.Context) (*assembly.Part, error)

// builders lists the parts, in the order in which they are started.
func (in *installation) builders(secrets assembly.Secrets) []builder {
	return []builder{
		func(ctx context.Context) (*assembly.Part, error) {
			cfg, err := in.tokenConfig(secrets)
			if err != nil {
				return nil, err
			}
			mail, err := in.mailConfig()
			if err != nil {
				return nil, err
			}
			cfg.Mail = &mail
			return assembly.NewToken(ctx, cfg, in.endpoints[assembly.Token])
		},
		func(ctx context.Context) (*assembly.Part, error) {
			return in.service(ctx, assembly.Customer, secrets, assembly.NewCustomer)
		},
		func(ctx context.Context) (*assembly.Part, error) {
			return in.service(ctx, assembly.SecuritySystem, secrets, assembly.NewSecuritySystem)
		},
		func(ctx context.Context) (*assembly.Part, error) {
			env, err := in.environment(assembly.Notification, secrets)
			if err != nil {
				return nil, err
			}
			mail, err := in.mailConfig()
			if err != nil {
				return nil, err
			}
			return assembly.NewNotification(ctx, assembly.NotificationConfig{Environment: env, Mail: mail}, in.endpoints[assembly.Notification])
		},
		func(ctx context.Context) (*assembly.Part, error) {
			cfg, err := in.gatewayConfig(secrets)
			if err != nil {
				return nil, err
			}
			return assembly.NewGateway(ctx, cfg, in.endpoints[assembly.Gateway])
		},
	}
}

func (in *installation) service(ctx context.Context, part string, secrets assembly.Secrets,
	build func(context.Context, assembly.Environment, assembly.Listeners) (*assembly.Part, error),
) (*assembly.Part, error) {
	env, err := in.environment(part, secrets)
	if err != nil {
		return nil, err
	}
	return build(ctx, env, in.endpoints[part])
}

func (in *installation) environment(part string, secrets assembly.Secrets) (assembly.Environment, error) {
	files, err := in.ca.Issue(part)
	if err != nil {
		return assembly.Environment{}, err
	}
	database, err := in.databaseURL(part)
	if err != nil {
		return assembly.Environment{}, err
	}
	env := assembly.Environment{
		Log: in.Log, Now: in.Now, TLS: files, Issuer: in.files.Issuer, Trusted: in.Trusted, Secret: secrets[part], Peers: in.endpoints.peers(),
		DatabaseURL: database, RedisURL: in.redisURL, Migrate: true,
		Traces: in.Traces,
	}
	if in.TLS {
		env.IssuerCA = in.ca.CAFile()
	}
	return env, nil
}

func (in *installation) tokenConfig(secrets assembly.Secrets) (assembly.TokenConfig, error) {
	env, err := in.environment(assembly.Token, secrets)
	if err != nil {
		return assembly.TokenConfig{}, err
	}
	cfg := assembly.TokenConfig{Environment: env, AllowDemoSecrets: !in.NoDemo, Upstreams: in.Upstreams, DPoPNonces: in.DPoPNonces}
	if cfg.KeyEncryptionKey, err = in.key("key-encryption-key"); err != nil {
		return cfg, err
	}
	if cfg.MACKey, err = in.key("token-mac-key"); err != nil {
		return cfg, err
	}
	if cfg.PublicTLS, err = in.publicTLS(env.TLS); err != nil || !in.TLS {
		return cfg, err
	}
	cfg.MutualTLS.Origin = "https://" + local(in.endpoints[assembly.Token].MTLS)
	cfg.MutualTLS.Authorities, err = assembly.ClientAuthorities(in.ca.CAFile())
	return cfg, err
}

func (in *installation) gatewayConfig(secrets assembly.Secrets) (assembly.GatewayConfig, error) {
	env, err := in.environment(assembly.Gateway, secrets)
	if err != nil {
		return assembly.GatewayConfig{}, err
	}
	cfg := assembly.GatewayConfig{
		Environment: env, PublicURL: in.files.Gateway, WebClientSecret: secrets[assembly.WebClient], SignIn: in.SignIn,
		Bound: assembly.BoundTokens{GRPCOrigins: []string{"https://" + local(in.endpoints[assembly.Gateway].GRPC)}},
		Extra: map[string]http.Handler{outboxPath: in.mail.Handler()},
	}
	session, err := in.key("session-key")
	if err != nil {
		return cfg, err
	}
	cfg.SessionKeys = [][]byte{session}
	if cfg.GRPCTLS, err = assembly.PublicTLS(env.TLS.Cert, env.TLS.Key); err != nil {
		return cfg, err
	}
	cfg.PublicTLS, err = in.publicTLS(env.TLS)
	return cfg, err
}

// publicTLS is the certificate of an HTTP port, nil unless --tls: on loopback a browser then needs to trust nothing.
func (in *installation) publicTLS(files mesh.TLSFiles) (*tls.Config, error) {
	if !in.TLS {
		return nil, nil
	}
	return assembly.PublicTLS(files.Cert, files.Key)
}

func (in *installation) key(name string) ([]byte, error) {
	dir, err := in.data.folder("keys")
	if err != nil {
		return nil, err
	}
	return keyfile.Ensure(dir + "/" + name)
}

// register makes the clients of the parts, and the demo's accounts and clients, on the token service's database.
func (in *installation) register(ctx context.Context) (assembly.Secrets, error) {
	cfg, err := in.tokenConfig(nil)
	if err != nil {
		return nil, err
	}
	cfg.Log = in.Log.With(slog.String("step", "register"))
	registry, err := assembly.OpenRegistry(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	dir, err := in.data.folder("secrets")
	if err != nil {
		return nil, err
	}
	secrets, err := registry.EnsureClients(ctx, dir, in.files.Gateway)
	if err != nil {
		return nil, err
	}
	if in.NoDemo {
		return secrets, nil
	}
	if err := in.registerDemo(ctx, registry, secrets); err != nil {
		return nil, fmt.Errorf("prepare the demo: %w", err)
	}
	return secrets, nil
}
