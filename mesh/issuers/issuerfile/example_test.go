package issuerfile_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
)

// A file names whom to trust, and what of their words counts. Package issuers' example has the service around it.
func Example() {
	dir, err := os.MkdirTemp("", "issuers")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "issuers.yaml")
	file := `
- name: acme
  issuer: https://id.acme.example/realms/staff
  product: keycloak
  audiences: [greeter]
  roles:
    rename: {alarm-admin: STAFF}
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		log.Fatal(err)
	}
	list, err := issuerfile.Read(path, false)
	if err != nil {
		log.Fatal(err)
	}
	for _, one := range list {
		fmt.Println(one.Name, one.JWT.Issuer, one.JWT.Claims.Roles.Rename)
	}
	// Output: acme https://id.acme.example/realms/staff map[alarm-admin:STAFF]
}
