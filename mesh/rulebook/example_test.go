package rulebook_test

import (
	"fmt"
	"log"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh/rulebook"
)

// Who may call a service, as its proto says.
func Example() {
	entries, err := rulebook.Read(meshv1.File_realguardio_mesh_v1_revocation_proto.Services().ByName("RevocationService"))
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Printf("%s: %s\n", e.Name(), e.Needs)
	}
	// Output: Watch: Needs: a part.
}
