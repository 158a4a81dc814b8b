package assembly

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listeners are where a part can be reached.
type Listeners struct {
	// GRPC and Ops have every part; HTTP the token service and the gateway; MTLS, where clients are asked for certificates, those two
	// if they are to have it.
	GRPC, HTTP, MTLS, Ops net.Listener
}

// Addresses are host:port to listen on; an empty one is not listened on.
type Addresses struct{ GRPC, HTTP, MTLS, Ops string }

// Listen takes all addresses, or says which could not be taken and takes none.
func Listen(a Addresses) (Listeners, error) {
	var l Listeners
	var problems error
	for _, each := range []struct {
		address string
		into    *net.Listener
	}{{a.GRPC, &l.GRPC}, {a.HTTP, &l.HTTP}, {a.MTLS, &l.MTLS}, {a.Ops, &l.Ops}} {
		if each.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", each.address)
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("cannot listen on %s: %w", each.address, reason(err)))
			continue
		}
		*each.into = listener
	}
	if problems != nil {
		l.Close()
		return Listeners{}, problems
	}
	return l, nil
}

// Close gives the addresses back.
func (l Listeners) Close() {
	for _, listener := range []net.Listener{l.GRPC, l.HTTP, l.MTLS, l.Ops} {
		if listener != nil {
			_ = listener.Close() // one that is served has been closed already
		}
	}
}

// reason is the part of a network error that does not repeat the address.
func reason(err error) error {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	if address, ok := errors.AsType[*net.AddrError](err); ok {
		return errors.New(address.Err)
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New(name.Err)
	}
	return err
}
