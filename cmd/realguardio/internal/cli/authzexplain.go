package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/rulebook"
)

// apiAudience is what tokens for the outside are meant for.
const apiAudience = "urn:realguardio:api"

// supposed is a caller that a rule is held against: the bearer of a token, or one that the command line makes up.
type supposed struct {
	tokenFile     string
	kind          string
	roles, scopes []string
	workload, acr string
	signedIn      time.Duration
}

func (p *supposed) declare(s *settings.Set) {
	p.kind = "user"
	s.String(&p.tokenFile, "as-token-file", "file with an access token: explain for its bearer", settings.File)
	s.String(&p.kind, "kind", "kind of caller to suppose: user, client or workload", settings.OneOf("user", "client", "workload"))
	s.Strings(&p.roles, "role", "role to suppose in the token")
	s.Strings(&p.scopes, "scope", "scope to suppose in the token")
	s.String(&p.workload, "workload", "part to suppose, by its token and its certificate")
	s.String(&p.acr, "acr", "authentication context to suppose in the token")
	s.Duration(&p.signedIn, "signed-in", "how long ago to suppose that the person signed in")
}

// identity is who is supposed. A token must be one that the issuer has signed and that has not expired: what anybody could
// have written explains nothing.
func (p *supposed) identity(ctx context.Context, t *target) (mesh.Identity, error) {
	if p.tokenFile == "" {
		return mesh.Identity{
			Kind: mesh.Kind(p.kind), ClientID: p.workload, Roles: p.roles, Scopes: p.scopes, ACR: p.acr,
			AuthTime: time.Now().Add(-p.signedIn),
		}, nil
	}
	token, err := settings.Secret(p.tokenFile)
	if err != nil {
		return mesh.Identity{}, err
	}
	if err := t.resolve(); err != nil {
		return mesh.Identity{}, err
	}
	if t.Issuer == "" {
		return mesh.Identity{}, usageError{errors.New("--issuer or --ready-file is required, to check the token")}
	}
	verifier, err := jwt.New(ctx, jwt.Config{Issuer: t.Issuer, Audiences: []string{apiAudience}, HTTPClient: t.http})
	if err != nil {
		return mesh.Identity{}, fmt.Errorf("check the token: %w", err)
	}
	id, err := verifier.Verify(ctx, token)
	if err != nil {
		return mesh.Identity{}, fmt.Errorf("the token is not good, so every RPC that is not public refuses it: %w", err)
	}
	return id, nil
}

// explanation is what is said of one RPC and one caller.
type explanation struct {
	Method  string        `json:"method"`
	Needs   string        `json:"needs"`
	Caller  string        `json:"caller"`
	Allowed bool          `json:"allowed"`
	Demands []demandShown `json:"demands"`
}

type demandShown struct {
	Name   string   `json:"name"`
	Wants  []string `json:"wants"`
	Met    bool     `json:"met"`
	Reason string   `json:"reason,omitempty"`
}

func newAuthzExplain(w World) *cobra.Command {
	var t target
	var out output
	var as supposed
	c := &cobra.Command{
		Use:   "explain RPC",
		Short: "Say which part of an RPC's rule a caller meets, and which is missing",
		Long: `Say which part of an RPC's rule a caller meets, and which is missing, by the checks of the guard itself. The caller is the bearer of
--as-token-file, which the issuer must have signed, or one that the other flags make up: then nothing is asked of anybody.
The rule speaks of the token alone. Objects are decided in addition, by the service that owns them.`,
		Example: `  realguardio authz explain ArmSecuritySystem --scope securitysystem.read
  realguardio authz explain "POST /api/v1/customers" --role REALGUARDIO_ADMIN --scope customer.write
  realguardio authz explain CustomerService/CreateGrant --as-token-file token -o json`,
		Args: cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		t.declareCaller(s)
		out.declare(s)
		as.declare(s)
	}
	return command(w, c, "", declare, func(c *cobra.Command, args []string) error {
		entry, rule, err := findRPC(args[0])
		if err != nil {
			return err
		}
		id, err := as.identity(c.Context(), &t)
		if err != nil {
			return err
		}
		e := explain(entry, rule, id)
		if out.format == "json" {
			return printJSON(c.OutOrStdout(), e)
		}
		return e.print(c.OutOrStdout())
	})
}

func explain(entry rulebook.Entry, rule mesh.Rule, id mesh.Identity) explanation {
	e := explanation{Method: entry.Method, Needs: entry.Needs, Caller: id.String(), Allowed: true, Demands: []demandShown{}}
	for _, d := range rule.Demands(id, id.ClientID, time.Now()) {
		e.Demands = append(e.Demands, demandShown{d.Name, d.Wants, d.Refusal == nil, mesh.Reason(d.Refusal)})
		e.Allowed = e.Allowed && d.Refusal == nil
	}
	return e
}

func (e explanation) print(to io.Writer) error {
	fmt.Fprintf(to, "%s\n%s\n", e.Method, e.Needs)
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	for _, d := range e.Demands {
		verdict := "met"
		if !d.Met {
			verdict = "missing (" + d.Reason + ")"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", d.Name, strings.Join(d.Wants, " "), verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	verdict := "The guard lets this caller in. On an object the service that owns it decides in addition."
	if !e.Allowed {
		verdict = "The guard refuses this caller, whatever they were granted."
	}
	_, err := fmt.Fprintln(to, verdict)
	return err
}

// findRPC returns the one RPC that is meant: by its name, with its service or without, or by its REST route.
func findRPC(name string) (rulebook.Entry, mesh.Rule, error) {
	services := linkedServices()
	entries, err := rulebook.Read(services...)
	if err != nil {
		return rulebook.Entry{}, mesh.Rule{}, err
	}
	found := slices.DeleteFunc(entries, func(e rulebook.Entry) bool {
		method := strings.NewReplacer("/", ".").Replace(e.Method)
		return e.Route != name && !strings.HasSuffix(method, "."+strings.NewReplacer("/", ".").Replace(strings.TrimPrefix(name, "/")))
	})
	switch len(found) {
	case 0:
		return rulebook.Entry{}, mesh.Rule{}, usageError{fmt.Errorf("there is no RPC %q: see realguardio authz matrix", name)}
	case 1:
	default:
		return rulebook.Entry{}, mesh.Rule{}, usageError{fmt.Errorf("%q may be %s or %s: name its service too", name, found[0].Method, found[1].Method)}
	}
	policies, err := mesh.NewPolicies(services...)
	if err != nil {
		return rulebook.Entry{}, mesh.Rule{}, err
	}
	rule, _ := policies.Rule(found[0].Method)
	return found[0], rule, nil
}
