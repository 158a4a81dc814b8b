package rulebook

import (
	"fmt"
	"strings"
)

// Markdown writes a table of entries for each service, in their order.
func Markdown(entries []Entry) string {
	var b strings.Builder
	service := ""
	for _, e := range entries {
		if e.Service() != service {
			service = e.Service()
			fmt.Fprintf(&b, "\n## %s\n\n", service)
			b.WriteString("| RPC | callers | any of the roles | all of the scopes | edge | sensitive | sign-in | repeatable | REST |\n")
			b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
		}
		name := "`" + e.Name() + "`"
		if e.Streaming {
			name += " (stream)"
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join([]string{
			name, e.callers(), code(e.AnyRole), code(e.AllScopes), yes(e.Edge), yes(e.Sensitive), e.signIn(), e.repeatable(),
			code(one(e.Route)),
		}, " | "))
	}
	return b.String()
}

func (e Entry) callers() string {
	if e.Public {
		return "**anyone**"
	}
	var who []string
	for _, kind := range e.Callers {
		word := string(kind)
		if len(e.Workloads) > 0 && kind == "workload" {
			word += " " + code(e.Workloads)
		}
		who = append(who, word)
	}
	return strings.Join(who, ", ")
}

func (e Entry) signIn() string {
	var demands []string
	if e.MaxAgeSeconds > 0 {
		demands = append(demands, fmt.Sprintf("within %g s", e.MaxAgeSeconds))
	}
	return strings.Join(append(demands, one(e.ACR)...), ", ")
}

func (e Entry) repeatable() string {
	switch e.Idempotency {
	case "NO_SIDE_EFFECTS":
		return "reads"
	case "IDEMPOTENT":
		return "yes"
	default:
		return ""
	}
}

// code sets words as code.
func code(words []string) string {
	set := make([]string, len(words))
	for i, word := range words {
		set[i] = "`" + word + "`"
	}
	return strings.Join(set, ", ")
}

// one is a list of the word, or of nothing where it is empty.
func one(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

func yes(so bool) string {
	if so {
		return "yes"
	}
	return ""
}
