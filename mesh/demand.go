package mesh

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Demand is one part of a rule, and whether a caller meets it.
type Demand struct {
	// Name is the part's field in the proto, such as "all_scopes".
	Name string
	// Wants is what the part asks for: kinds, roles, scopes, names, a duration or an authentication context.
	Wants []string
	// Refusal is what the guard answers because of this part; nil where it is met.
	Refusal error
}

// Demands says of every part of the rule whether a caller meets it, by the very checks of the guard and in their order: it
// answers with the first refusal. workload is the name in the caller's certificate, empty where it showed none. Public rules
// demand nothing.
//
// That the token is good and the revocations are known is not part of a rule.
func (r Rule) Demands(id Identity, workload string, now time.Time) []Demand {
	c := claimant{id: &id, workload: workload, now: func() time.Time { return now }}
	var all []Demand
	for i := range demands {
		wants := demands[i].wants(&r)
		if r.Public || len(wants) == 0 {
			continue
		}
		d := Demand{Name: demands[i].name, Wants: wants}
		if refused := demands[i].unmet(&r, c); refused != nil {
			d.Refusal = refused
		}
		all = append(all, d)
	}
	return all
}

// claimant is who asks to be let in.
type claimant struct {
	id *Identity
	// workload is the name in the certificate of a workload's connection.
	workload string
	now      func() time.Time
}

// demands are the parts of a rule in the order in which they are checked. unmet returns nil where the rule does not have
// the part, or the claimant meets it.
var demands = [...]struct {
	name  string
	wants func(*Rule) []string
	unmet func(*Rule, claimant) *refusal
}{
	{"callers", wantedKinds, unmetKind},
	{"workloads", func(r *Rule) []string { return r.Workloads }, unmetWorkload},
	{"any_role", func(r *Rule) []string { return r.AnyRole }, unmetRole},
	{"all_scopes", func(r *Rule) []string { return r.AllScopes }, unmetScopes},
	{"max_age", wantedAge, unmetAge},
	{"acr", wantedACR, unmetACR},
}

func wantedKinds(r *Rule) []string {
	kinds := make([]string, len(r.Callers))
	for i, kind := range r.Callers {
		kinds[i] = string(kind)
	}
	return kinds
}

func unmetKind(r *Rule, c claimant) *refusal {
	if slices.Contains(r.Callers, c.id.Kind) {
		return nil
	}
	return because("caller_kind", PermissionDenied(ReasonCallerKind, "this kind of caller may not call this method"))
}

// unmetWorkload demands that a workload is named by the rule, and that its certificate says the same name as its token: a
// workload's token that was stolen is of no use over another connection.
func unmetWorkload(r *Rule, c claimant) *refusal {
	cause := ""
	switch {
	case c.id.Kind != KindWorkload:
		return nil
	case !slices.Contains(r.Workloads, c.id.ClientID) && !slices.Contains(r.Workloads, AnyWorkload):
		cause = "workload"
	case c.workload == "" || c.workload != c.id.ClientID:
		cause = "workload_certificate"
	default:
		return nil
	}
	return because(cause, PermissionDenied(ReasonWorkload, "this workload may not call this method"))
}

func unmetRole(r *Rule, c claimant) *refusal {
	if len(r.AnyRole) == 0 || slices.ContainsFunc(r.AnyRole, c.id.HasRole) {
		return nil
	}
	return because("role_missing", refuse(codes.PermissionDenied, ReasonRoleMissing, "a role is missing",
		map[string]string{"any_role": strings.Join(r.AnyRole, " ")}))
}

func unmetScopes(r *Rule, c claimant) *refusal {
	for _, scope := range r.AllScopes {
		if !c.id.HasScope(scope) {
			return because("scope_missing", refuse(codes.PermissionDenied, ReasonScopeMissing, "a scope is missing",
				map[string]string{"scope": strings.Join(r.AllScopes, " ")}))
		}
	}
	return nil
}

func wantedAge(r *Rule) []string {
	if r.MaxAge == 0 {
		return nil
	}
	return []string{r.MaxAge.String()}
}

func unmetAge(r *Rule, c claimant) *refusal {
	if r.MaxAge == 0 || !c.id.AuthTime.IsZero() && c.now().Sub(c.id.AuthTime) <= r.MaxAge {
		return nil
	}
	return because("step_up", stepUp(r))
}

func wantedACR(r *Rule) []string {
	if r.ACR == "" {
		return nil
	}
	return []string{r.ACR}
}

func unmetACR(r *Rule, c claimant) *refusal {
	if r.ACR == "" || c.id.ACR == r.ACR {
		return nil
	}
	return because("step_up", stepUp(r))
}

// stepUp asks for a fresher or stronger authentication of the person, in the words of RFC 9470, section 3: max_age is in
// whole seconds.
func stepUp(r *Rule) error {
	metadata := map[string]string{}
	if r.MaxAge > 0 {
		metadata["max_age"] = strconv.FormatInt(int64(r.MaxAge/time.Second), 10)
	}
	if r.ACR != "" {
		metadata["acr_values"] = r.ACR
	}
	return refuse(codes.Unauthenticated, ReasonStepUp, "a fresher or stronger sign-in is required", metadata)
}
