package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/mesh"
)

// demoFile keeps the demo's secrets over restarts, in the form of the ready file, so that commands can read either.
func (in *installation) demoFile() string { return in.data.file("demo.json") }

// registerDemo makes the demo's accounts and clients, with the secrets of an earlier run where there was one.
func (in *installation) registerDemo(ctx context.Context, registry *assembly.Registry, secrets assembly.Secrets) error {
	known, err := readyfile.Read(in.demoFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in.files.Users, err = demo.RegisterAccounts(ctx, registry.Service)
	if err != nil {
		return err
	}
	clients, err := demo.RegisterClients(ctx, registry.Service, known.Clients)
	if err != nil {
		return err
	}
	web := assembly.WebClientOf(in.files.Gateway)
	cli := assembly.CommandLine()
	in.files.Clients = append([]readyfile.Client{{
		ID: web.ID, Secret: secrets[web.ID], GrantTypes: web.Grants, RedirectURIs: web.RedirectURIs,
		PostLogoutRedirectURIs: web.PostLogoutURIs, Scopes: web.Scopes,
	}, {
		ID: cli.ID, GrantTypes: cli.Grants, RedirectURIs: []string{}, PostLogoutRedirectURIs: []string{}, Scopes: cli.Scopes,
	}}, clients...)
	// What was made by seeding stays known until it is looked at again.
	in.files.APIKeys = known.APIKeys
	in.files.Clients = append(in.files.Clients, demo.Panels(known)...)
	return in.keepDemo()
}

// keepDemo writes what must not be lost, because it was shown once.
func (in *installation) keepDemo() error { return readyfile.Write(in.demoFile(), in.files) }

// seed builds the demo's companies, as the persons concerned, through the gateway.
func (in *installation) seed(ctx context.Context) error {
	if in.NoDemo {
		return nil
	}
	client, err := remote.NewHTTPClient(in.ca.CAFile())
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	tls, err := mesh.TLSFiles{CA: in.files.CAFile, Cert: in.files.ClientCertFile, Key: in.files.ClientKeyFile}.Client()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(in.endpoints[assembly.Gateway].GRPC.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(tls)))
	if err != nil {
		return fmt.Errorf("connect to the gateway: %w", err)
	}
	defer conn.Close()
	made, err := in.seeder(conn, client).Run(ctx)
	in.files.APIKeys = made.APIKeys
	in.files.Clients = append(slices.DeleteFunc(in.files.Clients, demo.IsPanel), made.Panels...)
	if err != nil {
		return errors.Join(fmt.Errorf("seed the demo: %w", err), in.keepDemo())
	}
	return in.keepDemo()
}

func (in *installation) seeder(conn grpc.ClientConnInterface, client *http.Client) *demo.Seeder {
	trusted := in.files.Clients[slices.IndexFunc(in.files.Clients, func(c readyfile.Client) bool { return c.ID == demo.TrustedClient })]
	return &demo.Seeder{
		Gateway: conn,
		Known:   &in.files,
		Token: func(ctx context.Context, username string) (string, error) {
			return remote.Token(ctx, client, in.files.Issuer, remote.Credentials{
				ClientID: trusted.ID, ClientSecret: trusted.Secret, Username: username, Password: demo.Password,
			})
		},
		Valid: func(ctx context.Context, id, secret string) (bool, error) {
			_, err := remote.Token(ctx, client, in.files.Issuer, remote.Credentials{ClientID: id, ClientSecret: secret})
			var refused *remote.Problem
			if errors.As(err, &refused) && refused.Code == "invalid_client" {
				return false, nil
			}
			return err == nil, err
		},
	}
}
