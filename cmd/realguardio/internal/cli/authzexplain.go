package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
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
		return mesh.Identity{}, notGood(err)
	}
	return id, ended(ctx, t, id, token)
}

// ended returns an error for a token that was ended before its time, which only the parts of the mesh are told: the gateway
// is asked, where one is known. A bound token is not shown to it, as without a proof it is refused for that.
func ended(ctx context.Context, t *target, id mesh.Identity, token string) error {
	if t.Gateway == "" || id.Confirmation.Bound() {
		return nil
	}
	err := remote.Gateway{URL: t.Gateway, Token: token, HTTP: t.http}.Call(ctx, http.MethodGet, path("/me/grants"), nil, &object{})
	if problem := (*remote.Problem)(nil); errors.As(err, &problem) && problem.Status == http.StatusUnauthorized {
		return notGood(err)
	}
	return nil
}

func notGood(err error) error {
	return fmt.Errorf("the token is not good, so every RPC that is not public refuses it: %w", err)
}

// explanation is what is said of one RPC and one caller.
type explanation struct {
	Method  string        `json:"method"`
	Needs   string        `json:"needs"`
	Caller  string        `json:"caller"`
	Allowed bool          `json:"allowed"`
	Demands []demandShown `json:"demands"`
	// Grants is what the customer service says of the object; nil where none was named.
	Grants object `json:"grants,omitempty"`
}

type demandShown struct {
	Name   string   `json:"name"`
	Wants  []string `json:"wants"`
	Met    bool     `json:"met"`
	Reason string   `json:"reason,omitempty"`
}

// place is the object of the second question: who holds what there.
type place struct{ customer, location, employee, key, granted string }

func (p *place) declare(s *settings.Set) {
	s.String(&p.customer, "customer", "id of a customer: explain grants there too, as who is signed in or --token-file says")
	s.String(&p.location, "location", "id of a location of that customer (default: the customer as a whole)")
	s.String(&p.employee, "employee", "id of an employee to explain grants of (default: the caller)")
	s.String(&p.key, "api-key", "id of an API key to explain grants of")
	s.String(&p.granted, "granted", "role to look for, such as SECURITY_SYSTEM_ARMER (default: any that shows the place)")
}

// asked refuses flags that say who asks for grants where none are asked for: who gave them means the caller to explain.
func (p *place) asked(c *cobra.Command) error {
	for _, name := range []string{"user", "client", "token-file"} {
		if p.customer == "" && c.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s says who asks for grants, and goes with --customer: whom to explain is said by --as-token-file", name)}
		}
	}
	return nil
}

// ask asks the owner of grants.
func (p *place) ask(ctx context.Context, t *target) (object, error) {
	if p.customer == "" {
		return nil, nil
	}
	gateway, err := t.gateway(ctx, demo.TrustedClient, demo.Admin)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range map[string]string{"locationId": p.location, "role": p.granted, "employeeId": p.employee, "apiKeyId": p.key} {
		if value != "" {
			query.Set(name, value)
		}
	}
	answer := object{}
	if err := gateway.Call(ctx, http.MethodGet, path("/customers/", p.customer, "/access:explain")+"?"+query.Encode(), nil, &answer); err != nil {
		return nil, fmt.Errorf("cannot explain the grants: %w", err)
	}
	return answer, nil
}

func newAuthzExplain(w World) *cobra.Command {
	var t target
	var out output
	var as supposed
	var at place
	c := &cobra.Command{
		Use:   "explain RPC",
		Short: "Say which part of an RPC's rule a caller meets, and which grants they have on an object",
		Long: `Say which part of an RPC's rule a caller meets, and which is missing, by the checks of the guard itself. The caller is the bearer of
--as-token-file, which the issuer must have signed, or one that the other flags make up: then nothing is asked of anybody. Whether
the token was ended before its time (a sign-out, a revocation) is known where --gateway or --ready-file says whom to ask.
The rule speaks of the token alone. Objects are decided in addition: with --customer the customer service is asked which grants
somebody holds at a place, or why none of them counts there. It tells as much as the asker may see.`,
		Example: `  realguardio authz explain ArmSecuritySystem --scope securitysystem.read
  realguardio authz explain "POST /api/v1/customers" --role REALGUARDIO_ADMIN --scope customer.write
  realguardio authz explain CustomerService/CreateGrant --as-token-file token -o json
  realguardio authz explain ArmSecuritySystem --scope securitysystem.arm --customer CUSTOMER --location LOCATION --employee EMPLOYEE --granted SECURITY_SYSTEM_ARMER`,
		Args: cobra.ExactArgs(1),
	}
	declare := func(s *settings.Set) {
		t.declareCaller(s)
		t.declareToken(s)
		out.declare(s)
		as.declare(s)
		at.declare(s)
	}
	return command(w, c, "", declare, func(c *cobra.Command, args []string) error {
		entry, rule, err := findRPC(args[0])
		if err != nil {
			return err
		}
		if err := at.asked(c); err != nil {
			return err
		}
		id, err := as.identity(c.Context(), &t)
		if err != nil {
			return err
		}
		e := explain(entry, rule, id)
		if e.Grants, err = at.ask(c.Context(), &t); err != nil {
			return err
		}
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
	verdict := "The guard lets this caller in. What they may do to an object, its owner decides by their grants."
	if !e.Allowed {
		verdict = "The guard refuses this caller, whatever they were granted."
	}
	fmt.Fprintln(to, verdict)
	if e.Grants == nil {
		return nil
	}
	fmt.Fprintln(to, cell(e.Grants["summary"]))
	grants, _ := e.Grants["grants"].([]any)
	for _, g := range grants {
		if grant, ok := g.(object); ok {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", cell(grant["grantId"]), cell(grant["role"]), cell(grant["because"]))
		}
	}
	return table.Flush()
}

// findRPC returns the one RPC that is meant: by its name, with its service or without, by its REST route or by a request.
func findRPC(name string) (rulebook.Entry, mesh.Rule, error) {
	services := linkedServices()
	entries, err := rulebook.Read(services...)
	if err != nil {
		return rulebook.Entry{}, mesh.Rule{}, err
	}
	found := slices.DeleteFunc(entries, func(e rulebook.Entry) bool {
		method := strings.NewReplacer("/", ".").Replace(e.Method)
		return !routeTaken(e.Route, name) && !strings.HasSuffix(method, "."+strings.NewReplacer("/", ".").Replace(strings.TrimPrefix(name, "/")))
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

// parameter is a part of a route that stands for an id.
var parameter = regexp.MustCompile(`\\\{[^/]*?\\\}`)

// routeTaken reports whether a request, such as "POST /api/securitysystems/sys_1:arm", takes a route; the route itself does.
func routeTaken(route, request string) bool {
	request, _, _ = strings.Cut(request, "?")
	if method, path, _ := strings.Cut(request, " /api/"); path != "" && !strings.HasPrefix(path, "v1/") {
		request = method + " /api/v1/" + path
	}
	if route == "" || route == request {
		return route != ""
	}
	taken, err := regexp.MatchString("^"+parameter.ReplaceAllString(regexp.QuoteMeta(route), "[^/:{}]+")+"$", request)
	return err == nil && taken
}
