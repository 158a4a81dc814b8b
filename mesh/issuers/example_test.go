package issuers_test

import (
	"context"
	"log"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
)

// A service that trusts whom a file names, and nobody else.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	list, err := issuerfile.Read("issuers.yaml", false)
	if err != nil {
		log.Fatal(err) // one line for each thing that is wrong
	}
	trusted, err := issuerfile.Open(ctx, list, slog.Default(), nil)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := issuers.New(issuers.Config{Trusted: trusted})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = verifier.Run(ctx) }() // keeps keys fresh
	server, err := mesh.NewServer(mesh.ServerConfig{
		Name: "greeter", TLS: nil /* see mesh.TLSFiles */, Verifier: verifier, Revocations: mesh.NoRevocations(), Logger: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = server // register services, then Serve
}
