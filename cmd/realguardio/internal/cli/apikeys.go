package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

var apiKeyColumns = []string{"id", "name", "scopes", "createTime", "expireTime", "lastUseTime", "revokeTime", "secretPrefix"}

func newAPIKeys(w World) *cobra.Command {
	keys := &cobra.Command{
		Use:   "apikeys",
		Short: "Manage the API keys of a company's scripts",
		Long: `Manage the API keys of a company's scripts, as an admin of the company. A key can do nothing until it is granted a role.
Its secret is shown once: use it as HTTP Basic, key and secret, or as the bearer token KEY.SECRET.`,
	}
	keys.AddCommand(newAPIKeysList(w), newAPIKeysCreate(w), newAPIKeysRotate(w), newAPIKeysRevoke(w))
	return keys
}

// ofCompany is the company whose keys a command is about.
type ofCompany struct{ customer string }

func (o *ofCompany) declare(s *settings.Set) {
	s.String(&o.customer, "customer", "id of the company (default: the one that the caller is of)")
}

// path is where its keys are.
func (o *ofCompany) path(a *api, parts ...string) (string, error) {
	customer := o.customer
	if customer == "" {
		var seen struct{ Customers []struct{ ID string } }
		if err := a.Call(a.ctx, http.MethodGet, path("/customers")+"?pageSize=2", nil, &seen); err != nil {
			return "", fmt.Errorf("cannot find the company: %w", err)
		}
		if len(seen.Customers) != 1 {
			return "", usageError{errors.New("--customer is required: the caller is not of one company alone")}
		}
		customer = seen.Customers[0].ID
	}
	if len(parts) == 0 {
		parts = []string{""}
	}
	parts[0] = "/apikeys" + parts[0]
	return path(append([]string{"/customers/", customer}, parts...)...), nil
}

func newAPIKeysList(w World) *cobra.Command {
	var of ofCompany
	c := &cobra.Command{Use: "list", Short: "List the keys, the newest first, revoked ones included"}
	return manage(w, c, demo.CompanyAdmin, apiKeyColumns, of.declare, func(a *api, _ []string) error {
		at, err := of.path(a)
		if err != nil {
			return err
		}
		return a.list("list the keys", at, url.Values{}, "apiKeys", 0)
	})
}

func newAPIKeysCreate(w World) *cobra.Command {
	var of ofCompany
	var in struct {
		Name       string   `json:"name"`
		Scopes     []string `json:"scopes"`
		ExpireTime string   `json:"expireTime,omitempty"`
	}
	var lives time.Duration
	c := &cobra.Command{
		Use:     "create",
		Short:   "Make a key and print its secret, which is shown only now",
		Example: `  realguardio apikeys create --name "Nightly export" --key-scope customer.read,securitysystem.read --expires-in 2160h -o json`,
	}
	declare := func(s *settings.Set) {
		of.declare(s)
		s.String(&in.Name, "name", "by which people tell it from others", settings.Required)
		s.Strings(&in.Scopes, "key-scope", "customer.read, securitysystem.read, securitysystem.arm or securitysystem.disarm", settings.Required)
		s.Duration(&lives, "expires-in", "when it ends by itself (default: it does not)")
	}
	return manage(w, c, demo.CompanyAdmin, []string{"id", "name", "scopes", "expireTime", "secret"}, declare, func(a *api, _ []string) error {
		at, err := of.path(a)
		if err != nil {
			return err
		}
		if lives > 0 {
			in.ExpireTime = time.Now().Add(lives).UTC().Format(time.RFC3339)
		}
		return a.withSecret("make the key", at, in)
	})
}

func newAPIKeysRotate(w World) *cobra.Command {
	var of ofCompany
	var overlap time.Duration
	c := &cobra.Command{
		Use:     "rotate KEY",
		Short:   "Give a key a new secret and print it; it is shown only now",
		Example: `  realguardio apikeys rotate rgk_06h03td30m2a8mycerj5kpyt3r --overlap 24h`,
		Args:    cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		of.declare(s)
		s.Duration(&overlap, "overlap", "how long the secret before stays good (default: not at all)")
	}
	return manage(w, c, demo.CompanyAdmin, []string{"id", "name", "secret"}, declare, func(a *api, args []string) error {
		at, err := of.path(a, "/", args[0], ":rotate")
		if err != nil {
			return err
		}
		return a.withSecret("rotate the key", at, object{"overlap": seconds(overlap)})
	})
}

func newAPIKeysRevoke(w World) *cobra.Command {
	var of ofCompany
	c := &cobra.Command{Use: "revoke KEY", Short: "End a key with every token that it was exchanged for", Args: cobra.ExactArgs(1)}
	return manage(w, c, demo.CompanyAdmin, apiKeyColumns, of.declare, func(a *api, args []string) error {
		at, err := of.path(a, "/", args[0])
		if err != nil {
			return err
		}
		return a.do("revoke the key", http.MethodDelete, at, nil, "apiKey")
	})
}

// withSecret posts, and prints the key of the answer with its secret.
func (a *api) withSecret(doing, at string, in any) error {
	var answer struct {
		APIKey object `json:"apiKey"`
		Secret string `json:"secret"`
	}
	if err := a.Call(a.ctx, http.MethodPost, at, in, &answer); err != nil {
		return fmt.Errorf("cannot %s: %w", doing, err)
	}
	if answer.APIKey == nil {
		answer.APIKey = object{}
	}
	answer.APIKey["secret"] = answer.Secret
	return a.print(answer.APIKey)
}

// seconds is a length of time as REST takes it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }
