package jwt

import (
	"strings"

	"github.com/realguardio/realguardio/mesh"
)

// compact returns id with its texts in one piece of memory and its lists in another; what many have in common, their kind,
// issuer and key, they share. An identity is remembered for as long as its token lives, and the collector looks at each piece of
// it in every cycle: what was read claim by claim is more than a dozen.
func compact(id mesh.Identity) mesh.Identity {
	texts := [...]*string{
		&id.Subject, &id.ClientID, &id.SessionID, &id.TokenID, &id.GrantID, &id.ACR, &id.Confirmation.JKT, &id.Confirmation.X5T,
		&id.Name, &id.Email,
	}
	lists := [...]*[]string{&id.Roles, &id.Scopes, &id.Audience, &id.Actors, &id.DerivedFrom, &id.DerivedKeys}
	size, items := 0, 0
	for _, text := range texts {
		size += len(*text)
	}
	for _, list := range lists {
		items += len(*list)
		for _, item := range *list {
			size += len(item)
		}
	}
	var all strings.Builder
	all.Grow(size)
	into := func(text string) string {
		from := all.Len()
		all.WriteString(text)
		return all.String()[from:]
	}
	for _, text := range texts {
		*text = into(*text)
	}
	held := make([]string, 0, items)
	for _, list := range lists {
		from := len(held)
		for _, item := range *list {
			held = append(held, into(item))
		}
		if *list != nil {
			*list = held[from:len(held):len(held)]
		}
	}
	return id
}
