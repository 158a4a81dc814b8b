package tokenexchange_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tokenexchange"
)

// A part gets, for the token of its caller, one that is for another part alone.
func Example() {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := r.BasicAuth()
		fmt.Println(client, "asks for", r.PostFormValue("audience"), r.PostFormValue("scope"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"narrow","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":300,"scope":"greet"}`)
	}))
	defer issuer.Close()
	exchanger, err := tokenexchange.New(tokenexchange.Config{TokenURL: issuer.URL + "/token", ClientID: "front", Secret: "read from a file"})
	if err != nil {
		log.Fatal(err)
	}

	// A connection does this by itself: mesh.Dial with mesh.Exchange.
	got, err := exchanger.Exchange(context.Background(), mesh.ExchangeRequest{
		SubjectToken: "wide", Audience: "urn:example:greeter", Scopes: []string{"greet"},
	})
	fmt.Println(got.Token, err)

	exchanges, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: exchanger})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := mesh.Dial(mesh.DialConfig{
		Target: "greeter:9000", TLSSource: mesh.TLSFiles{CA: "ca.pem", Cert: "front.pem", Key: "front-key.pem"},
		Propagation: mesh.Exchange(exchanges, mesh.Callee{Audience: "urn:example:greeter", Scopes: []string{"greet"}}),
	})
	if err != nil {
		return // there are no such files here
	}
	defer conn.Close()
	// Output:
	// front asks for urn:example:greeter greet
	// narrow <nil>
}
