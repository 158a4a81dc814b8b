package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	"github.com/realguardio/realguardio/services/token"
)

// Registrar makes accounts and clients; [token.Service] does.
type Registrar interface {
	EnsureUser(context.Context, token.UserSpec) (id string, made bool, err error)
	EnsureClient(context.Context, token.ClientSpec) (secret string, err error)
}

// RegisterAccounts makes the accounts of the demo that are missing, and returns all.
func RegisterAccounts(ctx context.Context, r Registrar) ([]readyfile.User, error) {
	users := make([]readyfile.User, 0, len(accounts))
	for _, a := range accounts {
		spec := token.UserSpec{Email: a.email, Name: a.name, Password: Password}
		if a.platformAdmin {
			spec.Roles = []string{assembly.AdminRole}
		}
		id, _, err := r.EnsureUser(ctx, spec)
		if err != nil {
			return nil, fmt.Errorf("make the account %s: %w", a.email, err)
		}
		users = append(users, readyfile.User{Username: a.email, Sub: id, Password: Password, About: a.about})
	}
	return users, nil
}

// RegisterClients makes the clients of the demo, with the secrets of known ones, and returns all.
func RegisterClients(ctx context.Context, r Registrar, known []readyfile.Client) ([]readyfile.Client, error) {
	var clients []readyfile.Client
	for _, a := range Applications() {
		c := a.Client
		if !a.Public {
			c.Secret = secretOf(c.ID, known)
		}
		_, err := r.EnsureClient(ctx, token.ClientSpec{
			ID: c.ID, Name: a.Name, Secret: c.Secret, Public: a.Public, FirstParty: a.FirstParty, Grants: c.GrantTypes,
			RedirectURIs: c.RedirectURIs, PostLogoutURIs: c.PostLogoutRedirectURIs, Scopes: c.Scopes,
			OpaqueTokens: a.OpaqueTokens,
		})
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func secretOf(id string, known []readyfile.Client) string {
	if i := slices.IndexFunc(known, func(c readyfile.Client) bool { return c.ID == id }); i >= 0 && known[i].Secret != "" {
		return known[i].Secret
	}
	return "rgs_" + rand.Text() + rand.Text()
}

// IsPanel reports whether a client is an alarm panel.
func IsPanel(c readyfile.Client) bool { return slices.Contains(c.Scopes, panelScope) }

// Panels returns the alarm panels among the clients of a file.
func Panels(f readyfile.File) []readyfile.Client {
	return slices.DeleteFunc(slices.Clone(f.Clients), func(c readyfile.Client) bool { return !IsPanel(c) })
}
