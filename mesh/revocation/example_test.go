package revocation_test

import (
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// A session ends, and every token of it. In a service a [revocation.Feed] does what is done to the set here.
func Example() {
	set := revocation.NewSet(revocation.Config{})
	fmt.Println("stale before it has caught up:", set.Stale())
	set.Complete()

	caller := mesh.Identity{Kind: mesh.KindUser, Subject: "u-alice", ClientID: "web", SessionID: "s-1", Expiry: time.Now().Add(time.Hour)}
	ended := make(chan struct{})
	stop := set.Notify(caller, func() { close(ended) }) // as an open stream of hers does
	defer stop()
	fmt.Println("revoked:", set.Revoked(caller))

	if err := set.Add(revocation.Entry{Kind: revocation.Session, Value: "s-1", Expires: caller.Expiry}); err != nil {
		fmt.Println(err)
		return
	}
	<-ended
	fmt.Println("revoked:", set.Revoked(caller))
	// Output:
	// stale before it has caught up: true
	// revoked: false
	// revoked: true
}
