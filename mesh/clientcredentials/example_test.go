package clientcredentials_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/realguardio/realguardio/mesh/clientcredentials"
)

// A process gets a token of its own, and keeps it: the second call asks nobody.
func Example() {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := r.BasicAuth()
		fmt.Println(client, "asks by", r.PostFormValue("grant_type"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"its-own","token_type":"Bearer","expires_in":300}`)
	}))
	defer issuer.Close()
	self, err := clientcredentials.New(clientcredentials.Config{TokenURL: issuer.URL + "/token", ClientID: "greeter", Secret: "read from a file"})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // mesh.Dial with mesh.AsService(self) does so for each call
		fmt.Println(self.Token(context.Background()))
	}
	// Output:
	// greeter asks by client_credentials
	// its-own <nil>
	// its-own <nil>
}
