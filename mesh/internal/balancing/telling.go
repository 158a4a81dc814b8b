package balancing

import (
	"time"

	"google.golang.org/grpc/credentials"
)

// Ejected is told of a replica that is passed over, and for how long. It must not block.
type Ejected func(address string, pause time.Duration)

// Telling has the balancer of a connection tell of ejections. It does so by the connection's transport security, which
// stays what it is: grpc makes balancers by a name in a registry, and hands them nothing else of the connection.
func Telling(security credentials.TransportCredentials, ejected Ejected) credentials.TransportCredentials {
	return telling{security, ejected}
}

type telling struct {
	credentials.TransportCredentials
	ejected Ejected
}

func (t telling) Clone() credentials.TransportCredentials {
	return telling{t.TransportCredentials.Clone(), t.ejected}
}

// toldBy returns whom a connection with this transport security tells of ejections.
func toldBy(security credentials.TransportCredentials) Ejected {
	if t, ok := security.(telling); ok {
		return t.ejected
	}
	return func(string, time.Duration) {}
}
