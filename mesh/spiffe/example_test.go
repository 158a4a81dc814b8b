package spiffe_test

import (
	"context"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/spiffe"
)

// A part takes its certificate from the agent on its machine, and calls another whatever that one's DNS name is.
func Example() {
	const agent = "unix:///nowhere/agent.sock" // in production: /run/spire/agent.sock, or what SPIFFE_ENDPOINT_SOCKET says
	if err := spiffe.CheckSocket(agent); err != nil {
		fmt.Println(err)
		return
	}
	ids, err := mesh.ParseWorkloadIDs("spiffe://cluster.local/ns/alarms/sa/{part}")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	source, err := spiffe.New(ctx, spiffe.Config{Part: "greeter", WorkloadIDs: ids, Socket: agent})
	if err != nil {
		fmt.Println("without an agent a part does not start")
		return
	}
	defer source.Close()
	conn, err := mesh.Dial(mesh.DialConfig{
		Target: "customer:9101", TLSSource: source.To("customer"), WorkloadIDs: ids, Propagation: mesh.Forward(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	// Output: without an agent a part does not start
}
