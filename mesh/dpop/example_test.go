package dpop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
)

// A client calls an API with a token that is bound to its key; the API checks the proofs.
func Example() {
	nonces, err := dpop.NewNonces(5*time.Minute, []byte(strings.Repeat("k", 32)))
	if err != nil {
		fmt.Println(err)
		return
	}
	checker, err := dpop.New(dpop.Config{Replays: dpop.NewMemory(100_000, time.Now), Nonces: nonces})
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := dpop.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	var api *httptest.Server
	api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := checker.Check(r.Context(), dpop.Request{
			Proofs: r.Header["Dpop"], Method: r.Method, URLs: []string{api.URL + r.URL.EscapedPath()},
			AccessToken: strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP "), Thumbprint: key.Thumbprint(), // as the token says
		})
		if errors.Is(err, dpop.ErrUseNonce) {
			w.Header().Set("DPoP-Nonce", checker.Nonce())
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		}
		if err != nil {
			fmt.Println("refused:", errors.Is(err, dpop.ErrUseNonce))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("let in: %s %s\n", r.Method, body)
	}))
	defer api.Close()

	client := &http.Client{Transport: &dpop.Transport{
		Key: key, Token: func(context.Context) (string, error) { return "the-access-token", nil },
	}}
	for range 2 { // the first request learns the nonce
		answer, err := client.Post(api.URL+"/api/v1/things?of=mine", "text/plain", strings.NewReader("hello"))
		if err != nil {
			fmt.Println(err)
			return
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}
	// Output:
	// refused: true
	// let in: POST hello
	// 200
	// let in: POST hello
	// 200
}
