package account

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
