package claims_test

import (
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/realguardio/realguardio/mesh/claims"
)

// An issuer that is trusted for who its people are, and for one role.
func Example() {
	acme := claims.Keycloak()
	acme.Namespace = "acme"
	acme.Roles.Rename = map[string]string{"alarm-admin": "STAFF"}
	reader, err := claims.New(claims.Config{Issuer: "https://id.acme.example", Audiences: []string{"greeter"}, Mapping: &acme})
	if err != nil {
		log.Fatal(err)
	}
	var token map[string]json.RawMessage
	if err := json.Unmarshal([]byte(`{
		"iss": "https://id.acme.example", "sub": "42", "azp": "web", "aud": "greeter", "exp": 1800000300, "iat": 1800000000,
		"typ": "Bearer", "realm_access": {"roles": ["alarm-admin", "REALGUARDIO_ADMIN"]}
	}`), &token); err != nil {
		log.Fatal(err)
	}
	identity, err := reader.Read(token, "what was signed", time.Unix(1_800_000_000, 0))
	fmt.Println(identity, identity.Roles, err)
	// Output: user acme:42 via acme:web [STAFF] <nil>
}
