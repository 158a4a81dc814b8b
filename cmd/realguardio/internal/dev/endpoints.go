package dev

import (
	"errors"
	"net"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
)

// ports are those of the table in the manual.
var ports = map[string]assembly.Addresses{
	assembly.Token:          {GRPC: "9100", HTTP: "9000", MTLS: "9001", Ops: "9190"},
	assembly.Customer:       {GRPC: "9101", Ops: "9191"},
	assembly.SecuritySystem: {GRPC: "9102", Ops: "9192"},
	assembly.Notification:   {GRPC: "9103", Ops: "9193"},
	assembly.Gateway:        {GRPC: "8090", HTTP: "8080", Ops: "8091"},
}

// endpoints are where the parts can be reached, loopback only.
type endpoints map[string]assembly.Listeners

// listen takes the address of every part, or says which are taken already and takes none. Clients show certificates only
// where there is TLS.
func listen(random, tls bool) (endpoints, error) {
	e := endpoints{}
	var problems error
	for _, part := range assembly.Names {
		at := func(port string) string {
			switch {
			case port == "":
				return ""
			case random:
				port = "0"
			}
			return net.JoinHostPort("127.0.0.1", port)
		}
		addresses := assembly.Addresses{GRPC: at(ports[part].GRPC), HTTP: at(ports[part].HTTP), Ops: at(ports[part].Ops)}
		if tls {
			addresses.MTLS = at(ports[part].MTLS)
		}
		l, err := assembly.Listen(addresses)
		problems = errors.Join(problems, err)
		e[part] = l
	}
	if problems != nil {
		e.close()
		return nil, errors.Join(problems, errors.New("another realguardio dev may be running; --random-ports uses free ones"))
	}
	return e, nil
}

func (e endpoints) close() {
	for _, l := range e {
		l.Close()
	}
}

func local(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "localhost:" + port
}

// grpc and ops give the addresses of every part as the ready file has them.
func (e endpoints) grpc() map[string]string {
	all := map[string]string{}
	for part, l := range e {
		all[part] = local(l.GRPC)
	}
	return all
}

func (e endpoints) ops() map[string]string {
	all := map[string]string{}
	for part, l := range e {
		all[part] = "http://" + local(l.Ops)
	}
	return all
}

// peers are addresses without a name to look up, so that no call tries ::1 first.
func (e endpoints) peers() assembly.Peers {
	return assembly.Peers{
		Token: e[assembly.Token].GRPC.Addr().String(), Customer: e[assembly.Customer].GRPC.Addr().String(),
		SecuritySystem: e[assembly.SecuritySystem].GRPC.Addr().String(), Notification: e[assembly.Notification].GRPC.Addr().String(),
	}
}
