package jwt_test

import (
	"strings"
	"testing"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestTheKeyThatATokenIsBoundTo(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := iss.Verifier(t, "customer")
	thumbprint := strings.Repeat("A", 43)
	for _, tt := range []struct {
		name string
		cnf  any
		want mesh.Confirmation
		bad  bool
	}{
		{name: "none", cnf: nil},
		{name: "a key of DPoP", cnf: map[string]any{"jkt": thumbprint}, want: mesh.Confirmation{JKT: thumbprint}},
		{name: "a certificate", cnf: map[string]any{"x5t#S256": thumbprint}, want: mesh.Confirmation{X5T: thumbprint}},
		{name: "both", cnf: map[string]any{"jkt": thumbprint, "x5t#S256": thumbprint}, bad: true},
		{name: "one of another kind", cnf: map[string]any{"kid": "k"}, bad: true},
		{name: "one that is known and one that is not", cnf: map[string]any{"jkt": thumbprint, "kid": "k"}, bad: true},
		{name: "an empty one", cnf: map[string]any{}, bad: true},
		{name: "a thumbprint that is too short", cnf: map[string]any{"jkt": "A"}, bad: true},
		{name: "a thumbprint that is no string", cnf: map[string]any{"jkt": 1}, bad: true},
		{name: "a word", cnf: "jkt", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := meshtest.Claims{}
			if tt.cnf != nil {
				claims.Extra = map[string]any{"cnf": tt.cnf}
			}
			id, err := v.Verify(t.Context(), iss.Token(t, claims))
			if (err != nil) != tt.bad || id.Confirmation != tt.want {
				t.Errorf("got %+v, %v", id.Confirmation, err)
			}
		})
	}
}
