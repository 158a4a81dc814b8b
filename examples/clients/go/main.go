// Command login signs a person in to RealGuardIO from a program on their own machine, by coreos/go-oidc and x/oauth2. It is
// told who the issuer is and finds the rest by itself.
//
//	go run . -issuer http://localhost:9000
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func main() {
	issuer := flag.String("issuer", "http://localhost:9000", "the identity provider")
	client := flag.String("client", "demo-mobile", "a public client with the redirect URI http://127.0.0.1/callback")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := login(ctx, *issuer, *client, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// login prints the address to open, waits until somebody has signed in there, and prints who it was.
func login(ctx context.Context, issuer, client string, out io.Writer) error {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // any free port will do (RFC 8252, section 7.3)
	if err != nil {
		return err
	}
	config := oauth2.Config{ClientID: client, Endpoint: provider.Endpoint(), RedirectURL: "http://" + listener.Addr().String() + "/callback",
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}}
	state, nonce, pkce := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	fmt.Fprintln(out, "Open", config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(pkce)))
	answer, err := receive(ctx, listener, state)
	if err != nil {
		return err
	}
	if answer.Get("iss") != issuer || answer.Has("error") { // RFC 9207
		return fmt.Errorf("not signed in: %s %s", answer.Get("error"), answer.Get("error_description"))
	}
	tokens, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(pkce))
	if err != nil {
		return err
	}
	text, _ := tokens.Extra("id_token").(string)
	idToken, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: client}).Verify(ctx, text)
	if err != nil {
		return err
	}
	if idToken.Nonce != nonce {
		return fmt.Errorf("the ID token was issued for another sign-in")
	}
	// From here on the token source is all that is needed: it renews the access token whenever it has ended.
	person, err := provider.UserInfo(ctx, config.TokenSource(ctx, tokens))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "Signed in:", person.Email, person.Subject)
	return err
}

// receive serves one redirect: the one with our state, whatever else finds the port.
func receive(ctx context.Context, listener net.Listener, state string) (url.Values, error) {
	answers := make(chan url.Values, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" || r.FormValue("state") != state {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, "You can close this page.")
		select {
		case answers <- r.Form:
		default: // it came a second time
		}
	})}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	defer func() { _ = server.Shutdown(context.WithoutCancel(ctx)) }()
	select {
	case answer := <-answers:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
