package claims_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
)

// clock is when the tokens below are read.
var clock = time.Unix(1_795_338_200, 0)

const (
	keycloakAccess = `{"exp":1795338445,"iat":1795338145,"jti":"onrtro:b11a300e","iss":"https://id.acme.example/realms/acme","aud":["urn:greeter","account"],
		"sub":"29332d0c-8b88","typ":"Bearer","azp":"web","sid":"6kJMvlH","acr":"1","realm_access":{"roles":["default-roles-acme","offline_access","alarm-admin"]},
		"resource_access":{"account":{"roles":["manage-account"]}},"scope":"openid profile email","email_verified":true,"name":"Kim Doe","preferred_username":"kim","email":"kim@acme.example"}`
	keycloakClient = `{"exp":1795338445,"iat":1795338145,"jti":"trrtcc:b0fee5f1","iss":"https://id.acme.example/realms/acme","aud":["urn:greeter","account"],
		"sub":"9e7e70d0-5a3b","typ":"Bearer","azp":"web","acr":"1","realm_access":{"roles":["alarm-admin"]},"scope":"profile email","email_verified":false,
		"clientHost":"192.0.2.1","preferred_username":"service-account-web","clientAddress":"192.0.2.1","client_id":"web"}`
	keycloakID = `{"exp":1795338445,"iat":1795338145,"jti":"9f918210","iss":"https://id.acme.example/realms/acme","aud":"urn:greeter","sub":"29332d0c-8b88",
		"typ":"ID","azp":"web","sid":"6kJMvlH","at_hash":"nUyabLUU3EkSe9HAy9d8lA","acr":"1","email_verified":true,"name":"Kim Doe","email":"kim@acme.example"}`
	keycloakRefresh = `{"exp":1795339945,"iat":1795338145,"jti":"e9903de8","iss":"https://id.acme.example/realms/acme","aud":"urn:greeter","sub":"29332d0c-8b88",
		"typ":"Refresh","azp":"web","sid":"6kJMvlH","scope":"openid profile"}`

	oktaAccess = `{"ver":1,"jti":"AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE","iss":"https://acme.okta.example/oauth2/default","aud":"urn:greeter","sub":"kim@acme.example",
		"iat":1795338145,"exp":1795338445,"cid":"0oaweb","uid":"00ukim","scp":["openid","greet"],"auth_time":1795338140,"groups":["Everyone","alarm-admin"]}`
	oktaClient = `{"ver":1,"jti":"AT.client","iss":"https://acme.okta.example/oauth2/default","aud":"urn:greeter","sub":"0oajob","iat":1795338145,"exp":1795338445,
		"cid":"0oajob","scp":["greet"]}`
	oktaID = `{"sub":"00ukim","name":"Kim","ver":1,"iss":"https://acme.okta.example/oauth2/default","aud":"urn:greeter","iat":1795338145,"exp":1795338445,"jti":"ID.x",
		"amr":["pwd"],"idp":"00o","auth_time":1795338140,"at_hash":"x"}`

	auth0Access = `{"iss":"https://acme.auth0.example/","sub":"auth0|kim","aud":["urn:greeter","https://acme.auth0.example/userinfo"],"iat":1795338145,"exp":1795338445,
		"scope":"openid greet","client_id":"web","jti":"j1","permissions":["alarm-admin"],"https://acme.example/roles":["staff"]}`
	auth0Client = `{"iss":"https://acme.auth0.example/","sub":"job@clients","aud":"urn:greeter","iat":1795338145,"exp":1795338445,"scope":"greet","gty":"client-credentials",
		"client_id":"job","jti":"j2"}`

	entraAccess = `{"aud":"urn:greeter","iss":"https://login.microsoftonline.example/t1/v2.0","iat":1795338145,"nbf":1795338145,"exp":1795338445,"aio":"x","azp":"web-id","azpacr":"1",
		"name":"Kim","oid":"oid-kim","preferred_username":"kim@acme.example","rh":"x","roles":["alarm-admin"],"scp":"greet","sub":"pairwise","tid":"t1","uti":"u1","ver":"2.0"}`
	entraClient = `{"aud":"urn:greeter","iss":"https://login.microsoftonline.example/t1/v2.0","iat":1795338145,"nbf":1795338145,"exp":1795338445,"azp":"job-id","azpacr":"1",
		"oid":"oid-job","roles":["alarm-admin"],"sub":"oid-job","tid":"t1","uti":"u2","ver":"2.0"}`
	entraID = `{"ver":"2.0","iss":"https://login.microsoftonline.example/t1/v2.0","sub":"pairwise","aud":"urn:greeter","exp":1795338445,"iat":1795338145,"nbf":1795338145,
		"name":"Kim","preferred_username":"kim@acme.example","oid":"oid-kim","tid":"t1","nonce":"n","uti":"u3"}`
	entraOverage = `{"aud":"urn:greeter","iss":"https://login.microsoftonline.example/t1/v2.0","iat":1795338145,"exp":1795338445,"azp":"web-id","azpacr":"1","oid":"oid-kim",
		"scp":"greet","sub":"pairwise","uti":"u4","ver":"2.0","_claim_names":{"roles":"src1"},"_claim_sources":{"src1":{"endpoint":"https://graph.example/groups"}}}`

	cognitoAccess = `{"sub":"aaaa-bbbb","cognito:groups":["alarm-admin"],"iss":"https://cognito-idp.eu-west-1.example/pool","version":2,"client_id":"urn:greeter","origin_jti":"o1",
		"token_use":"access","scope":"openid greet","auth_time":1795338140,"exp":1795338445,"iat":1795338145,"jti":"c1","username":"kim"}`
	cognitoID = `{"sub":"aaaa-bbbb","cognito:groups":["alarm-admin"],"iss":"https://cognito-idp.eu-west-1.example/pool","aud":"urn:greeter","client_id":"urn:greeter",
		"token_use":"id","auth_time":1795338140,"exp":1795338445,"iat":1795338145,"jti":"c2","email":"kim@acme.example"}`
)

// TestTheTokensOfProductsAreReadByConfigurationAlone has the shapes that the products document; Keycloak's are those that
// its version 26 issued.
func TestTheTokensOfProductsAreReadByConfigurationAlone(t *testing.T) {
	at, begun := time.Unix(1_795_338_145, 0), time.Unix(1_795_338_140, 0)
	for _, tt := range []struct {
		name, product, iss, typ, token string
		want                           mesh.Identity
		cause                          string
	}{
		{name: "a person of Keycloak", product: "keycloak", iss: "https://id.acme.example/realms/acme", typ: "JWT", token: keycloakAccess, want: mesh.Identity{
			Kind: mesh.KindUser, Subject: "acme:29332d0c-8b88", ClientID: "acme:web", SessionID: "acme:6kJMvlH", TokenID: "acme:onrtro:b11a300e",
			Name: "Kim Doe", Email: "kim@acme.example", Audience: []string{"urn:greeter", "account"}, Roles: []string{"ALARM_ADMIN"}}},
		{name: "a client of Keycloak", product: "keycloak", iss: "https://id.acme.example/realms/acme", typ: "JWT", token: keycloakClient, want: mesh.Identity{
			Kind: mesh.KindClient, Subject: "acme:web", ClientID: "acme:web", TokenID: "acme:trrtcc:b0fee5f1",
			Audience: []string{"urn:greeter", "account"}, Roles: []string{"ALARM_ADMIN"}}},
		{name: "an ID token of Keycloak", product: "keycloak", iss: "https://id.acme.example/realms/acme", typ: "JWT", token: keycloakID, cause: "wrong_type"},
		{name: "an ID token of Keycloak without its hash", product: "keycloak", iss: "https://id.acme.example/realms/acme", typ: "JWT", token: strings.Replace(keycloakID, "at_hash", "x", 1), cause: "required_claim"},
		{name: "a refresh token of Keycloak", product: "keycloak", iss: "https://id.acme.example/realms/acme", typ: "JWT", token: keycloakRefresh, cause: "required_claim"},

		{name: "a person of Okta", product: "okta", iss: "https://acme.okta.example/oauth2/default", token: oktaAccess, want: mesh.Identity{
			Kind: mesh.KindUser, Subject: "acme:00ukim", ClientID: "acme:0oaweb", TokenID: "acme:AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
			Audience: []string{"urn:greeter"}, Roles: []string{"ALARM_ADMIN"}, Scopes: []string{"greet"}, AuthTime: begun}},
		{name: "a client of Okta", product: "okta", iss: "https://acme.okta.example/oauth2/default", token: oktaClient, want: mesh.Identity{
			Kind: mesh.KindClient, Subject: "acme:0oajob", ClientID: "acme:0oajob", TokenID: "acme:AT.client", Audience: []string{"urn:greeter"}, Scopes: []string{"greet"}}},
		{name: "an ID token of Okta", product: "okta", iss: "https://acme.okta.example/oauth2/default", token: oktaID, cause: "wrong_type"},
		{name: "an ID token of Okta without its hash", product: "okta", iss: "https://acme.okta.example/oauth2/default", token: strings.Replace(oktaID, "at_hash", "x", 1), cause: "required_claim"},

		{name: "a person of Auth0", product: "auth0", iss: "https://acme.auth0.example/", typ: "at+jwt", token: auth0Access, want: mesh.Identity{
			Kind: mesh.KindUser, Subject: "acme:auth0|kim", ClientID: "acme:web", TokenID: "acme:j1",
			Audience: []string{"urn:greeter", "https://acme.auth0.example/userinfo"}, Scopes: []string{"greet"}}},
		{name: "a client of Auth0", product: "auth0", iss: "https://acme.auth0.example/", typ: "at+jwt", token: auth0Client, want: mesh.Identity{
			Kind: mesh.KindClient, Subject: "acme:job", ClientID: "acme:job", TokenID: "acme:j2", Audience: []string{"urn:greeter"}, Scopes: []string{"greet"}}},
		{name: "a token of Auth0 of the older profile", product: "auth0", iss: "https://acme.auth0.example/", typ: "JWT", token: auth0Access, cause: "wrong_type"},
		{name: "the issuer of Auth0 without its slash", product: "auth0", iss: "https://acme.auth0.example", typ: "at+jwt", token: auth0Access, cause: "issuer"},

		{name: "a person of Entra", product: "entra", iss: "https://login.microsoftonline.example/t1/v2.0", typ: "JWT", token: entraAccess, want: mesh.Identity{
			Kind: mesh.KindUser, Subject: "acme:oid-kim", ClientID: "acme:web-id", TokenID: "acme:u1", Name: "Kim", Audience: []string{"urn:greeter"},
			Roles: []string{"ALARM_ADMIN"}, Scopes: []string{"greet"}}},
		{name: "a client of Entra", product: "entra", iss: "https://login.microsoftonline.example/t1/v2.0", typ: "JWT", token: entraClient, want: mesh.Identity{
			Kind: mesh.KindClient, Subject: "acme:job-id", ClientID: "acme:job-id", TokenID: "acme:u2", Audience: []string{"urn:greeter"}, Roles: []string{"ALARM_ADMIN"}}},
		{name: "an ID token of Entra", product: "entra", iss: "https://login.microsoftonline.example/t1/v2.0", typ: "JWT", token: entraID, cause: "required_claim"},
		{name: "more groups than Entra puts into a token give none", product: "entra", iss: "https://login.microsoftonline.example/t1/v2.0", typ: "JWT", token: entraOverage, want: mesh.Identity{
			Kind: mesh.KindUser, Subject: "acme:oid-kim", ClientID: "acme:web-id", TokenID: "acme:u4", Audience: []string{"urn:greeter"}, Scopes: []string{"greet"}}},

		{name: "a person of Cognito", product: "cognito", iss: "https://cognito-idp.eu-west-1.example/pool", token: cognitoAccess, want: mesh.Identity{
			Kind: mesh.KindUser, Subject: "acme:aaaa-bbbb", ClientID: "acme:urn:greeter", TokenID: "acme:c1", Name: "kim", Audience: []string{"urn:greeter"},
			Roles: []string{"ALARM_ADMIN"}, Scopes: []string{"greet"}, AuthTime: begun}},
		{name: "an ID token of Cognito", product: "cognito", iss: "https://cognito-idp.eu-west-1.example/pool", token: cognitoID, cause: "required_claim"},
		{name: "a token of Cognito for another of its clients", product: "cognito", iss: "https://cognito-idp.eu-west-1.example/pool",
			token: strings.Replace(cognitoAccess, `"client_id":"urn:greeter"`, `"client_id":"other"`, 1), cause: "audience"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := claims.Preset(tt.product)
			if !ok {
				t.Fatalf("no preset for %s", tt.product)
			}
			m.Namespace = "acme"
			m.Roles.Rename = map[string]string{"alarm-admin": "ALARM_ADMIN"}
			m.Scopes.Allow = []string{"greet"}
			got, err := read(t, claims.Config{Issuer: tt.iss, Audiences: []string{"urn:greeter"}, Mapping: &m}, tt.typ, tt.token)
			if cause(err) != tt.cause {
				t.Fatalf("got %v, want %q", err, tt.cause)
			}
			if tt.cause != "" {
				return
			}
			want := tt.want
			want.Issuer, want.IssuedAt, want.Expiry = tt.iss, at, at.Add(5*time.Minute)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("identity differs (-want +got):\n%s", diff)
			}
		})
	}
}
