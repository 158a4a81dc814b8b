package claims

// The mappings below are the documented conventions of products, and what tells their access tokens from their ID tokens.
// None of them takes a role or a scope over: which of them count here is for whoever trusts the issuer to say.

// Keycloak reads the access tokens of a Keycloak realm.
func Keycloak() Mapping {
	return Mapping{
		Types:   []string{"JWT"},
		Require: []Match{{Claim: Path{"typ"}, Values: []string{"Bearer", "DPoP"}}}, // "ID", "Refresh" and "Logout" are the others
		Client:  []Path{{"azp"}},
		Roles:   Names{From: []Path{{"realm_access", "roles"}}},
		// The realm's account of a client has a subject of its own. Only such an account's tokens name the client like this.
		ClientIf: []Match{{Claim: Path{"client_id"}}},
	}
}

// Okta reads the access tokens of an Okta custom authorization server.
func Okta() Mapping {
	return Mapping{
		Types:   []string{"", "JWT"},
		Require: []Match{{Claim: Path{"cid"}}, {Claim: Path{"scp"}}}, // ID tokens have neither
		Subject: []Path{{"uid"}, {"sub"}},                            // "sub" is a name, which people change
		Client:  []Path{{"cid"}},
		Roles:   Names{From: []Path{{"groups"}}},
		Scopes:  Names{From: []Path{{"scp"}}},
	}
}

// Auth0 reads the access tokens of an Auth0 API whose token profile is that of RFC 9068. By the older profile access
// tokens cannot be told from ID tokens.
func Auth0() Mapping {
	return Mapping{
		Client:   []Path{{"client_id"}},
		Scopes:   Names{From: []Path{{"scope"}, {"permissions"}}},
		ClientIf: []Match{{Claim: Path{"gty"}, Values: []string{"client-credentials"}}},
	}
}

// Entra reads the access tokens, of version 2.0, of one tenant of Microsoft Entra ID.
func Entra() Mapping {
	return Mapping{
		Types: []string{"JWT"},
		Require: []Match{
			{Claim: Path{"ver"}, Values: []string{"2.0"}},
			{Claim: Path{"azpacr"}}, // how the client proved itself: ID tokens do not say
		},
		Subject: []Path{{"oid"}}, // "sub" is another for each application
		Client:  []Path{{"azp"}},
		TokenID: []Path{{"uti"}},
		Scopes:  Names{From: []Path{{"scp"}}},
		// Tokens for an application on its own have no delegated permissions.
		ClientIf: []Match{{Claim: Path{"idtyp"}, Values: []string{"app"}}, {Claim: Path{"scp"}, Absent: true}},
	}
}

// Cognito reads the access tokens of an Amazon Cognito user pool. They name no audience: the audiences configured are the
// app clients that they may have been issued to.
func Cognito() Mapping {
	return Mapping{
		Types:    []string{"", "JWT"},
		Require:  []Match{{Claim: Path{"token_use"}, Values: []string{"access"}}},
		Client:   []Path{{"client_id"}},
		Audience: Path{"client_id"},
		Name:     []Path{{"username"}},
		Roles:    Names{From: []Path{{"cognito:groups"}}},
	}
}

// Preset is the mapping of a product by its name in lower case; false for one that has none.
func Preset(product string) (Mapping, bool) {
	preset, ok := map[string]func() Mapping{
		"keycloak": Keycloak, "okta": Okta, "auth0": Auth0, "entra": Entra, "cognito": Cognito,
	}[product]
	if !ok {
		return Mapping{}, false
	}
	return preset(), true
}
