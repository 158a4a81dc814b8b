package account

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/realguardio/realguardio/services/internal/name"
)

// Profile is what is known of a person besides name and e-mail address (OpenID Connect Core, section 5.1). Anything empty
// is not known.
type Profile struct {
	GivenName, FamilyName string
	// Locale is a BCP 47 tag, such as "en-US".
	Locale string
	// Zoneinfo is a name of the time zone database, such as "Europe/Berlin".
	Zoneinfo string
	// PhoneNumber is in E.164 form, such as "+14155550123".
	PhoneNumber string
	// PhoneNumberVerified tells whether somebody at PhoneNumber has shown to answer it.
	PhoneNumberVerified bool
	Address             Address
}

// Address is a postal address (OpenID Connect Core, section 5.1.1).
type Address struct {
	// Formatted is the whole address as it stands on a letter, lines separated by newlines.
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty"`
	Country       string `json:"country,omitempty"`
}

// The functions below say what is wrong with what somebody wants to be known of them, to follow its name in a sentence;
// nothing if it is empty and may be, or good.

// longestName is in characters, of whatever script.
const longestName = 200

// NameProblem is of a whole name, which may not be empty.
func NameProblem(value string) string {
	if utf8.RuneCountInString(value) > longestName {
		return "is too long"
	}
	return name.Problem(value)
}

// PartOfNameProblem is of a given or family name.
func PartOfNameProblem(value string) string { return optional(value, name.Problem) }

// languageTag is what a well-formed tag looks like (RFC 5646, section 2.1).
var languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$`)

// LocaleProblem is of a [Profile]'s Locale.
func LocaleProblem(value string) string {
	if value != "" && !languageTag.MatchString(value) {
		return "must be a BCP 47 tag such as en-US"
	}
	return ""
}

// zoneForm keeps what is looked up among the system's files to names of the time zone database.
var zoneForm = regexp.MustCompile(`^[A-Za-z0-9+-]+(/[A-Za-z0-9+_-]+)*$`)

// ZoneProblem is of a [Profile]'s Zoneinfo.
func ZoneProblem(value string) string {
	if value == "" {
		return ""
	}
	if _, err := time.LoadLocation(value); err != nil || value == "Local" || !zoneForm.MatchString(value) {
		return "must be a name of the time zone database such as Europe/Berlin"
	}
	return ""
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// PhoneProblem is of a [Profile]'s PhoneNumber.
func PhoneProblem(value string) string {
	if value != "" && !e164.MatchString(value) {
		return "must be in E.164 form such as +14155550123"
	}
	return ""
}

// Problem is of an address.
func (a Address) Problem() string {
	lines := strings.FieldsFunc(a.Formatted, func(r rune) bool { return r == '\n' || r == '\r' })
	for _, line := range append(lines, a.StreetAddress, a.Locality, a.Region, a.PostalCode, a.Country) {
		if problem := optional(strings.TrimFunc(line, unicode.IsSpace), name.Problem); problem != "" {
			return problem
		}
	}
	return ""
}

func optional(value string, problem func(string) string) string {
	if value == "" {
		return ""
	}
	return problem(value)
}
