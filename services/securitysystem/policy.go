package securitysystem

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// Roles is a set of roles that the customer service grants.
type Roles uint8

const (
	// CompanyAdmin views all systems of the company and manages them, but neither arms nor disarms.
	CompanyAdmin Roles = 1 << iota
	Armer
	Disarmer
	Viewer
)

// Has tells whether any of these roles is in r.
func (r Roles) Has(any Roles) bool { return r&any != 0 }

// Grant is a role at one location, or, where LocationID is empty, at every location of the customer.
type Grant struct {
	Roles      Roles
	CustomerID string
	LocationID string
}

// Rights is what one caller may do, and where. The zero value is nothing, nowhere.
type Rights struct {
	// platform is set for a platform admin: views and manages every system, arms and disarms none, whatever else was
	// granted.
	platform  bool
	customers map[string]Roles
	locations map[string]Grant
}

// PlatformAdmin is what a platform admin may do.
func PlatformAdmin() Rights { return Rights{platform: true} }

// RightsFrom adds up grants.
func RightsFrom(grants []Grant) Rights {
	r := Rights{customers: map[string]Roles{}, locations: map[string]Grant{}}
	for _, g := range grants {
		if g.Roles == 0 {
			continue
		}
		if g.LocationID == "" {
			r.customers[g.CustomerID] |= g.Roles
			continue
		}
		g.Roles |= r.locations[g.LocationID].Roles
		r.locations[g.LocationID] = g
	}
	return r
}

// digestSize is that of a [Rights.Digest], in bytes.
const digestSize = 12

type digest [digestSize]byte

// Digest is the same for the same rights, and for others another one.
func (r Rights) Digest() digest {
	hash := sha256.New()
	fmt.Fprintf(hash, "%t\n", r.platform)
	for _, id := range slices.Sorted(maps.Keys(r.customers)) {
		fmt.Fprintf(hash, "c %q %d\n", id, r.customers[id])
	}
	for _, id := range slices.Sorted(maps.Keys(r.locations)) {
		fmt.Fprintf(hash, "l %q %q %d\n", id, r.locations[id].CustomerID, r.locations[id].Roles)
	}
	return digest(hash.Sum(nil)[:digestSize])
}

// at returns the roles held at the system's location.
func (r Rights) at(s System) Roles {
	return r.customers[s.CustomerID] | r.locations[s.LocationID].Roles
}

// Decision is what policy says of one action on one object.
type Decision int

const (
	// Hidden: the caller may not know that the object exists. The zero value, so that what nobody decided is refused.
	Hidden Decision = iota
	// RoleMissing: the caller may view the object, but not do this to it.
	RoleMissing
	Allowed
)

// MayView decides who sees a system: any role there does.
func MayView(r Rights, s System) Decision {
	if r.platform || r.at(s) != 0 {
		return Allowed
	}
	return Hidden
}

// MayWatch decides who is told of changes as they happen: who may view some system, or would if there were one.
func MayWatch(r Rights) Decision {
	if r.platform || len(r.customers) > 0 || len(r.locations) > 0 {
		return Allowed
	}
	return RoleMissing
}

// May decides who does a to a system.
func May(r Rights, s System, a Action) Decision {
	if MayView(r, s) != Allowed {
		return Hidden
	}
	needed := map[Action]Roles{Arm: Armer, Disarm: Disarmer, Acknowledge: Disarmer}[a]
	if !r.platform && r.at(s).Has(needed) {
		return Allowed
	}
	return RoleMissing
}

// MayManage decides who removes a system and registers its panel.
func MayManage(r Rights, s System) Decision {
	if MayView(r, s) != Allowed {
		return Hidden
	}
	if MayInstall(r, s.CustomerID) {
		return Allowed
	}
	return RoleMissing
}

// MayInstall decides who installs systems at the locations of a customer.
func MayInstall(r Rights, customerID string) bool {
	return r.platform || r.customers[customerID].Has(CompanyAdmin)
}

// AllowedActions returns what the caller may do to s as it is now.
func AllowedActions(r Rights, s System) []Action {
	var allowed []Action
	for _, a := range actions {
		if s.Accepts(a) && May(r, s, a) == Allowed {
			allowed = append(allowed, a)
		}
	}
	return allowed
}

// Visible is [MayView] for a query: the systems of these customers and those at these locations, or all there are.
type Visible struct {
	All bool
	// Customers and Locations are sorted. No location of one of the customers is listed.
	Customers []string
	Locations []string
}

// VisibleTo returns which systems MayView allows.
func VisibleTo(r Rights) Visible {
	if r.platform {
		return Visible{All: true}
	}
	v := Visible{Customers: slices.Sorted(maps.Keys(r.customers))}
	for id, grant := range r.locations {
		if r.customers[grant.CustomerID] == 0 {
			v.Locations = append(v.Locations, id)
		}
	}
	slices.Sort(v.Locations)
	return v
}
