package xds_test

import (
	"crypto/tls"
	"fmt"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/xds"
)

// Where the replicas of a part are is asked of the control plane that GRPC_XDS_BOOTSTRAP names; whom to trust is not.
func ExampleDial() {
	conn, err := xds.Dial(mesh.DialConfig{
		Target: "xds:///customer", Propagation: mesh.Forward(),
		TLS: &tls.Config{MinVersion: tls.VersionTLS13}, // in a part: TLSSource, by mesh.TLSFiles or package spiffe
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println(conn.Target())
	// Output: xds:///customer
}
