package introspection_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/introspection"
)

// An opaque token is shown to its issuer once, and the answer is remembered for moments. Of what the issuer says only
// what is named counts.
func Example() {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked")
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("token") != "opaque-token-of-alice" {
			fmt.Fprint(w, `{"active":false}`)
			return
		}
		fmt.Fprintf(w, `{"active":true,"token_type":"Bearer","sub":"42","client_id":"web","aud":"urn:example:greeter","scope":"greet admin","iat":%d,"exp":%d}`,
			time.Now().Unix(), time.Now().Add(time.Hour).Unix())
	}))
	defer issuer.Close()
	verifier, err := introspection.New(introspection.Config{
		Issuer: issuer.URL, URL: issuer.URL + "/introspect", ClientID: "greeter", Secret: "read from a file", Audiences: []string{"urn:example:greeter"},
		Claims: claims.Mapping{Namespace: "acme", Scopes: claims.Names{Allow: []string{"greet"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		caller, err := verifier.Verify(context.Background(), "opaque-token-of-alice")
		fmt.Println(caller, caller.Scopes, err)
	}
	_, err = verifier.Verify(context.Background(), "opaque-token-of-nobody")
	fmt.Println("refused:", err != nil)
	// Output:
	// asked
	// user acme:42 via acme:web [greet] <nil>
	// user acme:42 via acme:web [greet] <nil>
	// asked
	// refused: true
}
