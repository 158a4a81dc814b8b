package customer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Given is a grant of some caller, directly or by a team, whether it is in force or not.
type Given struct {
	Held
	// Start is zero when the grant has always been in force.
	Start time.Time
}

// Explanation is why somebody has a role at a place, or not.
type Explanation struct {
	Allowed bool
	// Decision is what they may do with the place itself.
	Decision Decision
	Summary  string
	Grants   []ExplainedGrant
}

// ExplainedGrant is a grant and what it has to do with what was asked.
type ExplainedGrant struct {
	Given
	Allows  bool
	Because string
}

// Explain tells whether who has that standing has a role at a location ("": in the customer as a whole), by the decisions
// that everything else is decided by. The empty role is any that shows the place. given are all their grants there.
func Explain(who Standing, locationID string, role Role, given []Given, now time.Time) Explanation {
	e := Explanation{Decision: DecideCustomer(who)}
	if locationID != "" {
		e.Decision = DecideLocation(who, locationID)
	}
	var by []string
	for _, g := range given {
		held := slices.ContainsFunc(who.Held, func(h Held) bool { return h == g.Held })
		explained := ExplainedGrant{Given: g}
		switch {
		case role != "" && g.Role != role:
			explained.Because = "It gives another role."
		case !g.covers(locationID) && locationID == "":
			explained.Because = "It is for one location only."
		case !g.covers(locationID):
			explained.Because = "It is for another location."
		case !held && now.Before(g.Start):
			explained.Because = "It begins at " + g.Start.Format(time.RFC3339) + "."
		case !held:
			explained.Because = "It ended at " + g.End.Format(time.RFC3339) + "."
		default:
			explained.Allows, explained.Because = true, g.reason()
			by = append(by, g.GrantID)
		}
		e.Grants = append(e.Grants, explained)
	}
	e.Allowed = len(by) > 0
	if role == "" {
		e.Allowed = e.Decision != Hidden
	}
	e.Summary = e.summary(role, by, who.PlatformAdmin)
	return e
}

// reason says how a grant in force reaches its holder and the place.
func (g Given) reason() string {
	words := []string{"It is given"}
	if g.TeamID != "" {
		words = append(words, "to the team "+g.TeamID)
	} else {
		words = append(words, "directly")
	}
	if g.LocationID == "" {
		words = append(words, "for every location of the customer")
	} else {
		words = append(words, "for this location")
	}
	if !g.End.IsZero() {
		words = append(words, "until "+g.End.Format(time.RFC3339))
	}
	return strings.Join(words, ", ") + "."
}

func (e Explanation) summary(role Role, by []string, platformAdmin bool) string {
	what := string(role)
	if role == "" {
		what = "a role that shows it"
	}
	switch {
	case len(by) > 0:
		return fmt.Sprintf("Allowed by %s.", strings.Join(by, ", "))
	case e.Allowed && platformAdmin:
		return "Allowed by the role REALGUARDIO_ADMIN in the token."
	case e.Allowed:
		return "Allowed as one who belongs to the customer."
	case len(e.Grants) == 0:
		return fmt.Sprintf("Missing: %s. There is no grant in this customer.", what)
	}
	return fmt.Sprintf("Missing: %s. None of the grants in this customer gives it here and now.", what)
}
