package member_test

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/member"
)

// certificates are those of a part; elsewhere they are mesh.TLSFiles.
type certificates struct{}

func (certificates) Server() (*tls.Config, error) {
	return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert}, nil
}

func (certificates) Client() (*tls.Config, error) {
	return &tls.Config{MinVersion: tls.VersionTLS13}, nil
}

// A part joins the mesh. Until it knows the issuer's keys and what has ended, it lets nobody in.
func Example() {
	ctx := context.Background()
	greeter, err := member.New(ctx, member.Config{
		Name: "greeter", Issuer: "http://localhost:1", Secret: "read from a file", Revocations: "localhost:1", TLS: certificates{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer greeter.Close()
	fmt.Println("knows the keys:", greeter.Verifier.Ready())
	fmt.Println("knows what has ended:", !greeter.Revocations.Stale())

	// Whoever calls greeter is who calls customer.
	customer, err := greeter.Dial("customer:9101", mesh.Forward())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer customer.Close()
	// Then greeter.ListenAndServe(ctx, ":9200", register), where register registers its services.

	// Output:
	// knows the keys: false
	// knows what has ended: false
}
