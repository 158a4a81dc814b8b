package rulebook

import (
	"strings"

	"github.com/realguardio/realguardio/mesh"
)

// Sentence says a rule in words, such as "Needs: a person, an application or an API key, with scope securitysystem.arm."
func Sentence(rule mesh.Rule) string {
	if rule.Public {
		return "Open to anyone, without a credential."
	}
	var who []string
	for _, kind := range rule.Callers {
		switch kind {
		case mesh.KindUser:
			who = append(who, "a person")
		case mesh.KindClient:
			who = append(who, "an application", "an API key")
		case mesh.KindWorkload:
			for _, name := range rule.Workloads {
				if name == mesh.AnyWorkload {
					who = append(who, "a part")
					continue
				}
				who = append(who, "the part "+name)
			}
		}
	}
	demands := []string{either(who)}
	if len(rule.AnyRole) > 0 {
		demands = append(demands, "with role "+either(rule.AnyRole))
	}
	if len(rule.AllScopes) > 0 {
		demands = append(demands, "with scope "+strings.Join(rule.AllScopes, " and "))
	}
	if rule.MaxAge > 0 {
		demands = append(demands, "signed in less than "+rule.MaxAge.String()+" ago")
	}
	if rule.ACR != "" {
		demands = append(demands, "signed in by "+rule.ACR)
	}
	sentence := "Needs: " + strings.Join(demands, ", ") + "."
	if rule.Sensitive {
		sentence += " Refused while revocations cannot be followed."
	}
	return sentence
}

// either joins words to "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
